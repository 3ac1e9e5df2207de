//! Steps in tests: the helper sees what the engine would see.

use std::sync::atomic::{AtomicUsize, Ordering};

use heddle_sdk::arrow::array::Int64Array;
use heddle_sdk::config::Object;
use heddle_sdk::{Call, Config, Context, Error, Plugin, Resource, Result, Row, Step, Table, testing};

static CLOSED: AtomicUsize = AtomicUsize::new(0);

#[derive(Row, Debug, PartialEq)]
struct Number {
    x: i64,
}

struct Store {
    offset: i64,
}

#[derive(Config)]
struct StoreConfig {
    offset: i64,
}

impl Resource for Store {
    const NAME: &'static str = "store";
    type Config = StoreConfig;

    fn open(config: StoreConfig) -> Result<Self> {
        if config.offset < 0 {
            return Err(Error::config("the setting `offset` must not be negative"));
        }
        Ok(Self { offset: config.offset })
    }

    fn close(&self) -> Result<()> {
        CLOSED.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[derive(Config)]
struct Limit {
    limit: i64,
}

fn shift(input: Table, call: Call<()>) -> Result<Table> {
    let store = call.resource::<Store>("store")?;
    let shifted = input.rows::<Number>()?.into_iter().map(|n| Number { x: n.x + store.offset });
    Table::from_rows(shifted.collect())
}

fn below(input: Table, call: Call<Limit>) -> Result<Table> {
    let limit = call.config().limit;
    let x = input.column::<Int64Array>("x")?;
    let above = x.values().iter().enumerate().filter(|(_, x)| **x > limit).map(|(row, _)| row);
    call.reject(above, format!("x is above {limit}"));
    call.info("looked", &[("rows", &input.num_rows())]);
    call.metric("limit", limit as f64, "");
    call.progress(1, 2, "half");
    Ok(input)
}

fn plugin() -> Plugin {
    Plugin::new("tests")
        .resource::<Store>()
        .step(Step::map("shift", shift).slot::<Store>("store").input::<Number>().output::<Number>())
        .step(Step::map("below", below).input::<Number>().check(|config: &Limit| {
            if config.limit < 0 {
                Err(Error::config("the setting `limit` must not be negative"))
            } else {
                Ok(())
            }
        }))
        .step(Step::filter("filter_rejects", below))
        .step(Step::map("loses", |input: Table, _: Call<()>| Ok(input.slice(0, 1))))
        .step(Step::map("panics", |_: Table, _: Call<()>| -> Result<Table> { panic!("on purpose") }))
        .step(Step::map("other_type", |input: Table, _: Call<()>| Ok(input)).output::<Texts>())
        .step(Step::source("count", |call: Call<Limit>| {
            let limit = call.config().limit;
            Ok((0..limit).map(move |x| {
                if x == 3 {
                    return Err("x".parse::<i64>().unwrap_err().into());
                }
                Table::from_rows(vec![Number { x }])
            }))
        }))
        .step(Step::sink("nowhere", |_: Table, call: Call<()>| call.cancellation().check()))
        .step(Step::optional_input("either", |input: Option<Table>, _: Call<()>| {
            Ok(input.unwrap_or(Table::from_rows(vec![Number { x: -1 }])?))
        }))
        .step(Step::source("where", |call: Call<()>| {
            let paths = vec![Text { x: call.path("a.csv").display().to_string() }];
            Ok([Table::from_rows(paths)])
        }))
        .step(Step::<()>::declared("declared"))
}

#[derive(Row)]
struct Texts {
    #[row(name = "x")]
    _x: String,
}

#[derive(Row)]
struct Text {
    x: String,
}

fn numbers(numbers: impl IntoIterator<Item = i64>) -> Table {
    Table::from_rows(numbers.into_iter().map(|x| Number { x }).collect()).unwrap()
}

fn message(call: testing::TestCall<'_>) -> String {
    call.run().unwrap_err().message().to_owned()
}

#[test]
fn resources_are_opened_and_closed() {
    let plugin = plugin();
    let settings: Object = serde_json::from_str(r#"{"offset": 10}"#).unwrap();
    let call = testing::step(&plugin, "shift").input(numbers([1])).resource("store", "store", settings);
    assert_eq!(call.run().unwrap().table().rows::<Number>().unwrap(), [Number { x: 11 }]);
    assert_eq!(CLOSED.load(Ordering::SeqCst), 1);

    let call = testing::step(&plugin, "shift").input(numbers([1]));
    assert_eq!(message(call), "step `shift` needs a `store` in the slot `store`");
    let settings: Object = serde_json::from_str(r#"{"offset": -1}"#).unwrap();
    let call = testing::step(&plugin, "shift").input(numbers([1])).resource("store", "store", settings);
    let error = call.run().unwrap_err();
    assert!(error.is_config(), "{error}");
}

#[test]
fn rejections_logs_and_metrics_are_seen() {
    let plugin = plugin();
    let outcome =
        testing::step(&plugin, "below").setting("limit", 5).input(numbers([1, 9, 7])).run().unwrap();
    assert_eq!(outcome.rejected_rows(), [1, 2]);
    assert_eq!(outcome.rejections[0].reason, "x is above 5");
    assert_eq!(outcome.rejections[0].error_type, "Rejected");
    assert_eq!((outcome.logs[0].message.as_str(), outcome.logs[0].fields["rows"].as_str()), ("looked", "3"));
    assert_eq!((outcome.metrics[0].name.as_str(), outcome.metrics[0].value), ("limit", 5.0));
    assert_eq!(outcome.progress, [(1, 2)]);
}

#[test]
fn contracts_are_checked() {
    let plugin = plugin();
    let call = |name| testing::step(&plugin, name).input(numbers([1, 9]));
    assert_eq!(message(call("below").setting("limit", -1)), "the setting `limit` must not be negative");
    assert!(message(call("filter_rejects").setting("limit", 1)).contains("only a `map` step may do"));
    assert!(message(call("loses")).contains("returns 2 rows, not 1"));
    assert!(message(call("other_type")).contains("has `x` as int, but it is declared as string"));
    assert!(message(call("count").setting("limit", 1)).contains("takes no rows"));
    assert!(message(testing::step(&plugin, "below").setting("limit", 1)).contains("needs rows"));
    assert!(message(call("belwo")).contains("there is no step `belwo`"));
    assert!(message(call("declared")).contains("has no body"));
    let texts = Table::from_rows(vec![Text { x: "a".into() }]).unwrap();
    let call = testing::step(&plugin, "below").setting("limit", 1).input(texts);
    assert!(message(call).contains("has `x` as string, but it is declared as int"));
}

#[test]
fn panics_and_errors_are_failures() {
    let plugin = plugin();
    let error = testing::step(&plugin, "panics").input(numbers([1])).run().unwrap_err();
    assert_eq!((error.error_type(), error.message()), ("panic", "on purpose"));
    assert!(error.stack_trace().contains("tests/steps.rs"), "{}", error.stack_trace());

    let outcome = testing::step(&plugin, "count").setting("limit", 3).run().unwrap();
    assert_eq!(outcome.tables.len(), 3);
    let error = testing::step(&plugin, "count").setting("limit", 5).run().unwrap_err();
    assert_eq!(error.error_type(), "ParseIntError");
}

#[test]
fn calls_may_be_cancelled_and_say_where_they_are() {
    let plugin = plugin();
    let error = testing::step(&plugin, "nowhere").input(numbers([1])).cancelled().run().unwrap_err();
    assert!(error.is_cancelled());
    let context = Context { run_id: "r".into(), ..Context::default() };
    let outcome = testing::step(&plugin, "nowhere").input(numbers([1])).context(context).run().unwrap();
    assert!(outcome.tables.is_empty());
    let outcome = testing::step(&plugin, "where").base("/data").run().unwrap();
    assert_eq!(outcome.table().rows::<Text>().unwrap()[0].x, "/data/a.csv");
}

#[test]
fn input_may_be_optional() {
    let plugin = plugin();
    let run = |call: testing::TestCall<'_>| call.run().unwrap().table().rows::<Number>().unwrap()[0].x;
    assert_eq!(run(testing::step(&plugin, "either")), -1);
    assert_eq!(run(testing::step(&plugin, "either").input(numbers([4]))), 4);
}

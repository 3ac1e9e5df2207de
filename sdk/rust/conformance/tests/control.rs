//! The control channel: description, settings, resources.

mod engine;

use std::time::Duration;
use std::{collections::HashMap, thread};

use arrow_array::{Int64Array, StringArray};
use heddle_sdk::wire;
use wire::failure::Kind;

use engine::{Engine, handshake, numbers, wait_until};

fn refused(engine: &mut Engine, step: &str, config: &str) -> String {
    let failure = engine.try_bind(step, config, &[]).unwrap_err();
    assert_eq!(failure.kind(), Kind::Config);
    failure.message
}

#[test]
fn versions_without_a_common_one_are_told() {
    let mut engine = Engine::start_without_handshake();
    let response: wire::HandshakeResponse = engine.control.ask("Handshake", &handshake(2, 3));
    assert_eq!(response.protocol, 0);
    let message = response.failure.unwrap().message;
    assert!(message.contains("(Heddle 9.9) speaks the plugin protocol 2 to 3"), "{message}");
    assert!(message.contains("update the crate heddle-sdk"), "{message}");

    let response: wire::HandshakeResponse = engine.control.ask("Handshake", &handshake(0, 0));
    assert!(response.failure.unwrap().message.ends_with("update Heddle"));

    let response: wire::HandshakeResponse = engine.control.ask("Handshake", &handshake(0, 7));
    assert_eq!((response.protocol, response.namespace.as_str()), (1, "conformance"));
    assert_eq!(response.environment, ["CONFORMANCE_REGION"]);
}

#[test]
fn the_description_is_whole() {
    let mut engine = Engine::start();
    let described: wire::DescribeResponse = engine.control.ask("Describe", &wire::DescribeRequest::default());
    assert_eq!((described.version.as_str(), described.doc.as_str()), ("1.2.3", "What every SDK must do."));
    assert_eq!(described.steps.len(), 21);
    let steps: HashMap<&str, &wire::Step> = described.steps.iter().map(|s| (s.name.as_str(), s)).collect();
    let add = steps["add"];
    assert_eq!((add.rows.as_str(), add.passthrough, add.deterministic), ("map", true, Some(true)));
    assert!(add.input.as_ref().unwrap().open);
    let sink = steps["sink"];
    assert_eq!((&sink.output, sink.effect), (&None, Some(true)));
    assert_eq!((sink.slots[0].name.as_str(), sink.slots[0].required), ("counter", true));
    assert_eq!((steps["numbers"].input_mode.as_str(), &steps["numbers"].input), ("none", &None));
    assert!(!steps["declared"].runnable);
    assert!(steps["schema_of"].output_from_config);
    let settings = &steps["settings"].config;
    let json: HashMap<&str, &str> =
        settings.iter().map(|f| (f.name.as_str(), f.default_json.as_str())).collect();
    assert_eq!((json["ratio"], json["level"], json["tags"], json["limit"]), ("0.5", "\"low\"", "[]", "null"));
    let level = settings.iter().find(|f| f.name == "level").unwrap().r#type.clone().unwrap();
    assert_eq!(
        (level.kind.as_str(), level.choices_json.as_slice()),
        ("choice", &["\"low\"".into(), "\"high\"".into()][..])
    );
    let token = described.resources[0].config.iter().find(|f| f.name == "token").unwrap();
    assert!(token.secret);
}

#[test]
fn declared_variables_are_set() {
    let mut engine = Engine::start();
    let request = wire::DescribeRequest {
        environment: HashMap::from([
            ("CONFORMANCE_REGION".to_owned(), "north".to_owned()),
            ("OTHER".to_owned(), "no".to_owned()),
        ]),
    };
    let _: wire::DescribeResponse = engine.control.ask("Describe", &request);
    let mut value = |name: &str| {
        let binding = engine.bind("environment", &format!(r#"{{"name": "{name}"}}"#));
        let reply = engine.lane().call(binding, None);
        let column = reply.table().column::<StringArray>("value").unwrap();
        column.iter().next().unwrap().map(str::to_owned)
    };
    assert_eq!(value("CONFORMANCE_REGION").as_deref(), Some("north"));
    assert_eq!(value("OTHER"), None);
}

#[test]
fn refused_settings_are_named() {
    let mut engine = Engine::start();
    let mut message = |config| refused(&mut engine, "add", config);
    assert_eq!(message("{}"), "step `add` needs the setting `amount` (int)");
    assert_eq!(
        message(r#"{"amount": "1"}"#),
        "the setting `amount` of step `add` is a string where int is wanted"
    );
    assert_eq!(
        message(r#"{"amount": 1.0}"#),
        "the setting `amount` of step `add` is a float where int is wanted"
    );
    assert_eq!(
        message(r#"{"amount": true}"#),
        "the setting `amount` of step `add` is a bool where int is wanted"
    );
    assert_eq!(
        message(r#"{"amount": 1, "amuont": 2}"#),
        "`amuont` is not a setting of step `add`; did you mean `amount`?"
    );
    assert_eq!(message("[]"), "the settings of step `add` are no JSON object");
    assert!(message("{").contains("no JSON"));
    let settings = |rest: &str| format!(r#"{{"flag": true, "count": 1, "name": "n"{rest}}}"#);
    let mut message = |rest: &str| refused(&mut engine, "settings", &settings(rest));
    assert!(message(r#", "level": "mid""#).ends_with(r#"is a string where "low" or "high" is wanted"#));
    assert!(
        message(r#", "tags": ["a", 1]"#).starts_with("the setting `tags.1` of step `settings` is an int")
    );
    assert!(message(r#", "place": {"zip": "1"}"#).contains("needs the setting `place.city`"));
    assert!(message(r#", "place": {"city": "B", "town": 1}"#).starts_with("`place.town` is not a setting"));
    assert!(message(r#", "weights": {"a": null}"#).contains("`weights.a`"));
    assert!(refused(&mut engine, "numbers", r#"{"count": 1, "batch_rows": 0}"#).contains("`batch_rows`"));
    assert!(refused(&mut engine, "schema_of", r#"{"columns": {"a": "integer"}}"#).contains("`columns.a`"));
}

#[test]
fn settings_come_with_their_defaults() {
    let mut engine = Engine::start();
    let mut json = |config: &str| {
        let binding = engine.bind("settings", config);
        let reply = engine.lane().call(binding, None);
        reply.table().column::<StringArray>("json").unwrap().value(0).to_owned()
    };
    assert_eq!(
        json(r#"{"flag": true, "count": 3, "name": "n"}"#),
        r#"{"count":3,"flag":true,"level":"low","limit":null,"name":"n","place":null,"ratio":0.5,"tags":[],"weights":{}}"#
    );
    assert_eq!(
        json(
            r#"{"flag": false, "count": -1, "name": "ä", "ratio": 2, "level": "high", "tags": ["b", "a"],
                "weights": {"z": 1, "a": 0.25}, "limit": 9, "place": {"city": "Bern"}}"#
        ),
        concat!(
            r#"{"count":-1,"flag":false,"level":"high","limit":9,"name":"ä","place":{"city":"Bern","zip":""},"#,
            r#""ratio":2.0,"tags":["b","a"],"weights":{"a":0.25,"z":1.0}}"#
        )
    );
}

#[test]
fn the_output_follows_from_the_settings() {
    let mut engine = Engine::start();
    let binding = engine.bind("schema_of", r#"{"columns": {"b": "int", "a": "string?"}}"#);
    let request = wire::InferSchemaRequest { binding_id: binding, input: None };
    let response: wire::InferSchemaResponse = engine.control.ask("InferSchema", &request);
    let row = response.output.unwrap();
    assert!(!row.open);
    let reply = engine.lane().call(binding, None);
    assert_eq!(reply.table().num_rows(), 0);
    let names: Vec<&str> = reply.table().schema().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["b", "a"]);

    let add = engine.bind("add", r#"{"amount": 1}"#);
    let request = wire::InferSchemaRequest { binding_id: add, input: None };
    let response: wire::InferSchemaResponse = engine.control.ask("InferSchema", &request);
    assert_eq!(response.failure.unwrap().kind(), Kind::Unsupported);
}

#[test]
fn resources_are_opened_used_checked_and_closed() {
    let mut engine = Engine::start();
    let counter = engine.open_counter(r#"{"start": -5, "token": "hidden"}"#, 0.0).unwrap();
    let health = |engine: &mut Engine| -> String {
        let request = wire::CheckResourceRequest { resource_id: counter };
        let response: wire::CheckResourceResponse = engine.control.ask("CheckResource", &request);
        response.failure.map_or(response.problem, |failure| format!("{:?}", failure.kind()))
    };
    assert_eq!(health(&mut engine), "the counter is negative");
    let sink = engine.try_bind("sink", "", &[("counter", counter)]).unwrap();
    let count = engine.try_bind("count", "", &[("counter", counter)]).unwrap();
    let mut lane = engine.lane();
    let reply = lane.call_inline(sink, &numbers(0..8));
    assert_eq!((reply.batches.len(), reply.failure), (0, None));
    let reply = lane.call(count, None);
    assert_eq!(reply.table().column::<Int64Array>("count").unwrap().value(0), 3);
    assert_eq!(health(&mut engine), "");

    let request = wire::CloseResourceRequest { resource_id: counter };
    for _ in 0..2 {
        let response: wire::CloseResourceResponse = engine.control.ask("CloseResource", &request);
        assert_eq!(response.failure, None);
    }
    assert_eq!(health(&mut engine), "Expired");
    assert_eq!(lane.call(count, None).failure().kind(), Kind::Expired);
}

#[test]
fn what_does_not_fit_a_resource_is_told() {
    let mut engine = Engine::start();
    let failure = engine.open_counter(r#"{"fail": true}"#, 0.0).unwrap_err();
    assert_eq!(
        (failure.message.as_str(), failure.error_type.as_str()),
        ("the counter is broken", "CounterBroken")
    );
    assert!(failure.transient);
    let failure = engine.open_counter(r#"{"token": 12345}"#, 0.0).unwrap_err();
    assert_eq!(failure.message, "the setting `token` of resource `counter` is an int where string is wanted");
    assert_eq!(failure.kind(), Kind::Config);
    let failure = engine.try_bind("sink", "", &[]).unwrap_err();
    assert_eq!(failure.message, "step `sink` needs a `counter` in the slot `counter`");
    let failure = engine.try_bind("sink", "", &[("other", 1)]).unwrap_err();
    assert!(failure.message.contains("has no slot `other`"));
    assert_eq!(engine.try_bind("sink", "", &[("counter", 99)]).unwrap_err().kind(), Kind::Expired);
}

#[test]
fn a_lease_runs_out_when_nothing_uses_the_resource() {
    let mut engine = Engine::start();
    let counter = engine.open_counter("{}", 0.4).unwrap();
    let count = engine.try_bind("count", "", &[("counter", counter)]).unwrap();
    let mut lane = engine.lane();
    for _ in 0..8 {
        thread::sleep(Duration::from_millis(100));
        assert_eq!(lane.call(count, None).failure, None, "each call renews the lease");
    }
    let mut last = None;
    wait_until("the lease is over", || {
        thread::sleep(Duration::from_millis(500));
        last = lane.call(count, None).failure;
        last.is_some()
    });
    assert_eq!(last.unwrap().kind(), Kind::Expired);
}

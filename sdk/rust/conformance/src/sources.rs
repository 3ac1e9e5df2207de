//! Steps that make rows of nothing.

use std::collections::BTreeMap;

use heddle_sdk::config::Json;
use heddle_sdk::{Call, Choice, Config, Error, Plugin, Result, Row, RowSetting, RowType, Step, Table};

use crate::PlainCall;

#[derive(Config)]
struct Numbers {
    count: i64,
    #[config(default = 1000)]
    batch_rows: i64,
}

#[derive(Row)]
struct Number {
    n: i64,
}

#[derive(Choice)]
enum Level {
    Low,
    High,
}

#[derive(Config)]
struct Place {
    city: String,
    #[config(default = "")]
    zip: String,
}

#[derive(Config)]
struct Settings {
    flag: bool,
    count: i64,
    #[config(default = 0.5)]
    ratio: f64,
    name: String,
    #[config(default = Level::Low)]
    level: Level,
    #[config(default)]
    tags: Vec<String>,
    #[config(default)]
    weights: BTreeMap<String, f64>,
    limit: Option<i64>,
    place: Option<Place>,
}

#[derive(Row)]
struct Text {
    json: String,
}

#[derive(Row)]
struct ContextRow {
    run_id: String,
    workflow: String,
    step: String,
    attempt: i64,
    idempotency_key: Option<String>,
    deadline: Option<f64>,
}

#[derive(Config)]
struct SchemaOf {
    columns: RowSetting,
}

#[derive(Config)]
struct Environment {
    name: String,
}

#[derive(Row)]
struct Variable {
    value: Option<String>,
}

/// Adds these steps.
pub fn register(plugin: Plugin) -> Plugin {
    plugin
        .step(Step::source("numbers", numbers).output::<Number>().deterministic(true).check(
            |numbers: &Numbers| {
                if numbers.batch_rows < 1 {
                    return Err(Error::config("the setting `batch_rows` of step `numbers` must be above 0"));
                }
                Ok(())
            },
        ))
        .step(Step::source("settings", settings).output::<Text>().deterministic(true))
        .step(Step::source("context", context).output::<ContextRow>())
        .step(
            Step::source("schema_of", |call: Call<SchemaOf>| {
                Ok([Ok(Table::empty(call.config().columns.0.clone()))])
            })
            .output_from_config(|config, _| Ok(RowType::closed(config.columns.0.clone()))),
        )
        .step(Step::source("environment", environment).output::<Variable>())
}

fn numbers(call: Call<Numbers>) -> Result<impl Iterator<Item = Result<Table>>> {
    let (count, batch_rows) = (call.config().count, call.config().batch_rows);
    let begins = (0..count).step_by(usize::try_from(batch_rows)?);
    Ok(begins.map(move |begin| {
        let end = begin.saturating_add(batch_rows).min(count);
        Table::from_rows((begin..end).map(|n| Number { n }).collect())
    }))
}

fn settings(call: Call<Settings>) -> Result<[Result<Table>; 1]> {
    let mut settings = Json::Object(call.config().to_object());
    settings.sort_all_objects();
    Ok([Table::from_rows(vec![Text { json: settings.to_string() }])])
}

fn context(call: PlainCall) -> Result<[Result<Table>; 1]> {
    let context = call.context();
    let row = ContextRow {
        run_id: context.run_id.clone(),
        workflow: context.workflow.clone(),
        step: context.step.clone(),
        attempt: context.attempt.into(),
        idempotency_key: context.idempotency_key.clone(),
        deadline: context.deadline.map(|deadline| deadline.as_secs_f64()),
    };
    Ok([Table::from_rows(vec![row])])
}

fn environment(call: Call<Environment>) -> Result<[Result<Table>; 1]> {
    let value = std::env::var(&call.config().name).ok();
    Ok([Table::from_rows(vec![Variable { value }])])
}

//! Tests of steps without an engine: the same settings checks, the same calls, in the test's own process.
//!
//! ```
//! use heddle_sdk::config::Json;
//! use heddle_sdk::{Call, Config, Plugin, Result, Row, Step, Table, testing};
//!
//! #[derive(Config)]
//! struct Add { amount: i64 }
//!
//! #[derive(Row)]
//! struct Number { x: i64 }
//!
//! fn add(numbers: Table, call: Call<Add>) -> Result<Table> {
//!     let numbers = numbers.rows::<Number>()?;
//!     Table::from_rows(numbers.iter().map(|n| Number { x: n.x + call.config().amount }).collect())
//! }
//!
//! let plugin = Plugin::new("maths").step(Step::map("add", add).input::<Number>().output::<Number>());
//! let numbers = Table::from_rows(vec![Number { x: 1 }])?;
//! let outcome = testing::step(&plugin, "add").setting("amount", 2).input(numbers).run()?;
//! assert_eq!(outcome.table().rows::<Number>()?[0].x, 3);
//!
//! let error = testing::step(&plugin, "add").setting("amount", "2").run().unwrap_err();
//! assert_eq!(error.message(), "the setting `amount` of step `add` is a string where int is wanted");
//! # Ok::<(), heddle_sdk::Error>(())
//! ```

mod contract;
mod outcome;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub use self::outcome::{LogLine, Measurement, Outcome, RejectedRows};
use crate::bound_step::{AnyStep, BoundStep};
use crate::call::{CallCore, Context, OpenSlot};
use crate::cancellation::Cancellation;
use crate::config::{Json, Object};
use crate::error::{Error, Result};
use crate::plugin::Plugin;
use crate::resource::AnyResource;
use crate::step::{InputMode, Output};
use crate::table::Table;
use crate::testing::outcome::Recorder;
use crate::trace::guarded;

/// A call of a step that a test prepares.
#[must_use = "a call is made by `run`"]
pub struct TestCall<'a> {
    plugin: &'a Plugin,
    step: &'a str,
    settings: Object,
    input: Option<Table>,
    resources: Vec<(String, String, Object)>,
    context: Context,
    base: PathBuf,
    cancellation: Cancellation,
}

/// Prepares a call of a step of the plugin.
pub fn step<'a>(plugin: &'a Plugin, step: &'a str) -> TestCall<'a> {
    let context = Context { step: step.to_owned(), attempt: 1, ..Context::default() };
    TestCall {
        plugin,
        step,
        settings: Object::new(),
        input: None,
        resources: Vec::new(),
        context,
        base: PathBuf::from("."),
        cancellation: Cancellation::default(),
    }
}

impl TestCall<'_> {
    /// Gives a setting.
    pub fn setting(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// Gives all settings at once.
    pub fn settings(mut self, settings: Object) -> Self {
        self.settings = settings;
        self
    }

    /// Gives the rows of the input.
    pub fn input(mut self, input: impl Into<Table>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Opens a resource of the plugin for the call, by its type's name, and puts it into a slot.
    pub fn resource(mut self, slot: &str, resource_type: &str, settings: Object) -> Self {
        self.resources.push((slot.to_owned(), resource_type.to_owned(), settings));
        self
    }

    /// Says what the call is part of.
    pub fn context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// The folder from which paths of the settings are taken.
    pub fn base(mut self, base: impl AsRef<Path>) -> Self {
        self.base = base.as_ref().to_owned();
        self
    }

    /// The call begins as a cancelled one.
    pub fn cancelled(self) -> Self {
        self.cancellation.cancel();
        self
    }

    /// Makes the call. Resources are closed before it returns.
    ///
    /// # Errors
    /// What the engine would see as the call's failure: refused settings, an error or a panic of the step, and what
    /// its declaration does not allow.
    pub fn run(self) -> Result<Outcome> {
        let step = self.plugin.find_step(self.step).ok_or_else(|| {
            let names = self.plugin.steps.iter().map(|step| &*step.definition().name);
            Error::contract(format!(
                "there is no step `{}`; there is {}",
                self.step,
                crate::text::listed(names)
            ))
        })?;
        let bound = step.bind(&self.settings)?;
        let opened = self.open_resources(step.as_ref())?;
        let result = self.call(step.as_ref(), bound.as_ref(), &opened);
        let closed: Vec<Result<()>> = opened.iter().rev().map(|(_, resource)| resource.close()).collect();
        let closed = closed.into_iter().collect::<Result<()>>();
        result.and_then(|outcome| closed.map(|()| outcome))
    }

    fn call(
        &self,
        step: &dyn AnyStep,
        bound: &dyn BoundStep,
        opened: &[(String, Arc<dyn AnyResource>)],
    ) -> Result<Outcome> {
        let definition = step.definition();
        let input = contract::given(definition, self.input.as_ref())?;
        let recorder = Arc::new(Recorder::default());
        let resources =
            opened.iter().map(|(slot, opened)| OpenSlot { slot: slot.clone(), resource: opened.resource() });
        let core = Arc::new(CallCore {
            step: definition.name.clone(),
            rows: definition.rows,
            input_rows: input.map_or(0, |table| table.num_rows() as u64),
            context: self.context.clone(),
            begin: Instant::now(),
            base: self.base.as_path().into(),
            cancellation: self.cancellation.clone(),
            resources: resources.collect(),
            events: recorder.clone(),
            violation: Mutex::default(),
        });
        let tables = match bound.run(input.cloned(), &core)? {
            Output::Nothing => Vec::new(),
            Output::Table(table) => vec![table],
            Output::Stream(mut tables) => std::iter::from_fn(|| {
                let next = guarded(|| tables.next().transpose());
                core.checked(next).transpose()
            })
            .collect::<Result<Vec<_>>>()?,
        };
        let outcome = recorder.outcome(tables);
        contract::check(definition, input, &outcome)?;
        Ok(outcome)
    }

    fn open_resources(&self, step: &dyn AnyStep) -> Result<Vec<(String, Arc<dyn AnyResource>)>> {
        let definition = step.definition();
        for slot in definition.slots.iter().filter(|slot| slot.required) {
            if self.resources.iter().all(|(given, ..)| *given != slot.name) {
                let (step, wanted, name) = (&definition.name, slot.resource, &slot.name);
                return Err(Error::config(format!("step `{step}` needs a `{wanted}` in the slot `{name}`")));
            }
        }
        let open = |(slot, resource_type, settings): &(String, String, Object)| {
            if definition.slots.iter().all(|known| known.name != *slot || known.resource != resource_type) {
                let step = &definition.name;
                return Err(Error::config(format!(
                    "step `{step}` has no slot `{slot}` for a `{resource_type}`"
                )));
            }
            let resource = self
                .plugin
                .find_resource(resource_type)
                .ok_or_else(|| Error::config(format!("the resource `{resource_type}` is not registered")))?;
            Ok((slot.clone(), (resource.open)(settings)?))
        };
        self.resources.iter().map(open).collect()
    }
}

/// Whether a call needs rows.
fn needs_input(mode: InputMode) -> bool {
    mode == InputMode::Required
}

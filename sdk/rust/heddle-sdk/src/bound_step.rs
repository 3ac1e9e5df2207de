//! Steps whose type of settings is not known: what a plugin offers, and a step with its settings.

use std::sync::Arc;

use crate::call::{Call, CallCore};
use crate::config::{Config, Object};
use crate::error::{Error, Result};
use crate::row::RowType;
use crate::step::{Infer, Output, Run, Step, StepDefinition};
use crate::table::Table;
use crate::trace::guarded;
use crate::wire;

/// A step that a plugin offers.
pub(crate) trait AnyStep: Send + Sync {
    fn definition(&self) -> &StepDefinition;
    fn bind(&self, values: &Object) -> Result<Arc<dyn BoundStep>>;
}

/// A step with its settings.
pub(crate) trait BoundStep: Send + Sync {
    fn run(&self, input: Option<Table>, core: &Arc<CallCore>) -> Result<Output>;
    fn infer(&self, input: &RowType) -> Result<RowType>;
}

struct Bound<C> {
    step: Arc<str>,
    config: Arc<C>,
    run: Option<Run<C>>,
    infer: Option<Infer<C>>,
}

impl<C: Config> AnyStep for Step<C> {
    fn definition(&self) -> &StepDefinition {
        &self.definition
    }

    fn bind(&self, values: &Object) -> Result<Arc<dyn BoundStep>> {
        let step = self.definition.name.clone();
        let owner = format!("step `{step}`");
        let config = guarded(|| C::read(values).map_err(|problem| problem.of(&owner)))?;
        if let Some(check) = &self.check {
            guarded(|| check(&config)).map_err(|error| Error::config(error.message()))?;
        }
        let config = Arc::new(config);
        Ok(Arc::new(Bound { step, config, run: self.run.clone(), infer: self.infer.clone() }))
    }
}

impl<C: Config> BoundStep for Bound<C> {
    fn run(&self, input: Option<Table>, core: &Arc<CallCore>) -> Result<Output> {
        let Some(run) = &self.run else {
            return Err(unsupported(format!("step `{}` is declared, but has no body", self.step)));
        };
        let call = Call::new(core.clone(), self.config.clone());
        core.checked(guarded(|| run(input, call)))
    }

    fn infer(&self, input: &RowType) -> Result<RowType> {
        let Some(infer) = &self.infer else {
            let message = format!("the columns of step `{}` do not follow from its settings", self.step);
            return Err(unsupported(message));
        };
        guarded(|| infer(&self.config, input))
    }
}

fn unsupported(message: String) -> Error {
    Error::plain(wire::failure::Kind::Unsupported, "Unsupported", message)
}

//! A call of a step, as user code sees it: settings, resources, context, and what it tells the engine.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cancellation::Cancellation;
use crate::error::{Error, Result};
use crate::resource::Resource;
use crate::step::Rows;
use crate::text::{clipped, listed};
use crate::wire;
use crate::wire::plugin_frame::Kind;

/// So many rejected rows go in one frame, which is then about half of what a lane takes.
const REJECTED_ROWS_MAX: usize = 1 << 20;

/// The error type of rejected rows unless the step says otherwise.
const REJECTED: &str = "Rejected";

/// What a call is part of.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The run's id.
    pub run_id: String,
    /// The workflow's name.
    pub workflow: String,
    /// The step's name in the program.
    pub step: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The same for all attempts of a call, for services that do a thing once per key.
    pub idempotency_key: Option<String>,
    /// How long the call may take, counted from its begin. The engine cancels it when the time is over.
    pub deadline: Option<Duration>,
}

/// A call of a step with the settings `C`. A clone is the same call; clones may be used by other threads until the
/// step has returned, what they tell the engine after that is dropped.
pub struct Call<C> {
    core: Arc<CallCore>,
    config: Arc<C>,
}

/// Where a call's events go: a lane, or a test.
pub(crate) trait Events: Send + Sync {
    fn send(&self, event: Kind);
}

/// What a call is made of, whatever the type of its settings.
pub(crate) struct CallCore {
    pub step: Arc<str>,
    pub rows: Rows,
    pub input_rows: u64,
    pub context: Context,
    pub begin: Instant,
    pub base: Arc<Path>,
    pub cancellation: Cancellation,
    pub resources: Vec<OpenSlot>,
    pub events: Arc<dyn Events>,
    /// The first thing that the step did and may not do.
    pub violation: Mutex<Option<Error>>,
}

/// A slot and the resource in it.
pub(crate) struct OpenSlot {
    pub slot: String,
    pub resource: Arc<dyn Any + Send + Sync>,
}

impl<C> Call<C> {
    pub(crate) fn new(core: Arc<CallCore>, config: Arc<C>) -> Self {
        Self { core, config }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &C {
        &self.config
    }

    /// The resource in a slot.
    ///
    /// # Errors
    /// When the step has no such slot, when an optional slot is empty, or when the resource is of another type.
    pub fn resource<R: Resource>(&self, slot: &str) -> Result<Arc<R>> {
        let Some(found) = self.core.resources.iter().find(|open| open.slot == slot) else {
            let slots = listed(self.core.resources.iter().map(|open| open.slot.as_str()));
            let message =
                format!("step `{}` has no resource in the slot `{slot}`; it has {slots}", self.core.step);
            return Err(Error::contract(message));
        };
        found.resource.clone().downcast().map_err(|_| {
            Error::contract(format!(
                "the resource in the slot `{slot}` of step `{}` is no `{}`",
                self.core.step,
                R::NAME
            ))
        })
    }

    /// Whether a resource is in a slot: for slots that are optional.
    #[must_use]
    pub fn has_resource(&self, slot: &str) -> bool {
        self.core.resources.iter().any(|open| open.slot == slot)
    }

    /// What the call is part of.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.core.context
    }

    /// The time that is left until the deadline; None without one.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let deadline = self.core.context.deadline?;
        Some(deadline.saturating_sub(self.core.begin.elapsed()))
    }

    /// Whether the call was cancelled.
    #[must_use]
    pub fn cancellation(&self) -> &Cancellation {
        &self.core.cancellation
    }

    /// A path of the settings, taken from the program's folder when it is relative.
    #[must_use]
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.core.base.join(path)
    }

    /// Refuses rows of the input, counted from 0, with the error type `Rejected`. For `map` steps: the table that
    /// the step returns is as long as its input, or leaves the rejected rows out.
    pub fn reject(&self, rows: impl IntoIterator<Item = usize>, reason: impl Into<String>) {
        self.reject_as(REJECTED, rows, reason);
    }

    /// Refuses rows as [`Call::reject`] does, with an error type of its own.
    pub fn reject_as(
        &self,
        error_type: impl Into<String>,
        rows: impl IntoIterator<Item = usize>,
        reason: impl Into<String>,
    ) {
        let mut rows: Vec<u64> = rows.into_iter().map(|row| row as u64).collect();
        rows.sort_unstable();
        rows.dedup();
        let Some(last) = rows.last() else { return };
        if let Some(violation) = self.core.refused_rejection(*last) {
            let mut first = self.core.violation.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(violation);
            return;
        }
        let (reason, error_type) = (clipped(reason.into()), clipped(error_type.into()));
        for part in rows.chunks(REJECTED_ROWS_MAX) {
            self.core.events.send(Kind::Rejection(wire::Rejection {
                rows: part.iter().flat_map(|row| row.to_le_bytes()).collect(),
                reason: reason.clone(),
                error_type: error_type.clone(),
            }));
        }
    }

    /// Logs what helps to find a fault.
    pub fn debug(&self, message: impl Into<String>, fields: &[(&str, &dyn Display)]) {
        self.log("debug", message, fields);
    }

    /// Logs what users may want to know: `call.info("fetched", &[("rows", &rows), ("page", &page)])`.
    pub fn info(&self, message: impl Into<String>, fields: &[(&str, &dyn Display)]) {
        self.log("info", message, fields);
    }

    /// Logs what users should look at.
    pub fn warning(&self, message: impl Into<String>, fields: &[(&str, &dyn Display)]) {
        self.log("warning", message, fields);
    }

    /// Logs what went wrong, though the call goes on.
    pub fn error(&self, message: impl Into<String>, fields: &[(&str, &dyn Display)]) {
        self.log("error", message, fields);
    }

    /// Says how far the call is; `rows_total` is 0 when it is not known.
    pub fn progress(&self, rows_done: u64, rows_total: u64, message: impl Into<String>) {
        let message = clipped(message.into());
        self.core.events.send(Kind::Progress(wire::Progress { rows_done, rows_total, message }));
    }

    /// A number that was measured, with its unit, such as `ms` or `rows`.
    pub fn metric(&self, name: impl Into<String>, value: f64, unit: impl Into<String>) {
        let (name, unit) = (clipped(name.into()), clipped(unit.into()));
        self.core.events.send(Kind::Metric(wire::Metric { name, value, unit }));
    }

    fn log(&self, level: &str, message: impl Into<String>, fields: &[(&str, &dyn Display)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), clipped(value.to_string())));
        self.core.events.send(Kind::Log(wire::Log {
            level: level.to_owned(),
            message: clipped(message.into()),
            fields: fields.collect::<HashMap<_, _>>(),
        }));
    }
}

impl CallCore {
    /// Why rows may not be rejected; None when they may.
    fn refused_rejection(&self, last: u64) -> Option<Error> {
        let step = &self.step;
        if self.rows != Rows::Map {
            let message = format!(
                "step `{step}` rejected rows, which only a `map` step may do; it is a `{}` step",
                self.rows.name()
            );
            return Some(Error::contract(message));
        }
        (last >= self.input_rows).then(|| {
            let message =
                format!("step `{step}` rejected row {last}, but its input has {} rows", self.input_rows);
            Error::contract(message)
        })
    }

    /// The step's result, or what it did and may not do.
    pub fn checked<T>(&self, result: Result<T>) -> Result<T> {
        let violation = self.violation.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.and_then(|value| violation.map_or(Ok(value), Err))
    }
}

impl<C> Clone for Call<C> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), config: self.config.clone() }
    }
}

impl<C> fmt::Debug for Call<C> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Call").field("step", &self.core.step).field("context", &self.core.context).finish()
    }
}

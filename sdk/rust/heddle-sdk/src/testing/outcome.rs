//! What a step did in a test.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::call::Events;
use crate::table::Table;
use crate::wire::plugin_frame::Kind;

/// What a call returned and told.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The tables that it returned: one, or as many as a source made, or none for a sink.
    pub tables: Vec<Table>,
    /// The rows that it refused.
    pub rejections: Vec<RejectedRows>,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// The numbers that it measured.
    pub metrics: Vec<Measurement>,
    /// How far it said it is: rows done and rows in total.
    pub progress: Vec<(u64, u64)>,
}

/// Rows that were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRows {
    /// Rows of the input, ascending.
    pub rows: Vec<usize>,
    /// Why.
    pub reason: String,
    /// `Rejected` unless the step says otherwise.
    pub error_type: String,
}

/// A line that was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `debug`, `info`, `warning` or `error`.
    pub level: String,
    /// The text.
    pub message: String,
    /// The fields as text.
    pub fields: BTreeMap<String, String>,
}

/// A number that was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// What was measured.
    pub name: String,
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: String,
}

impl Outcome {
    /// The only table.
    ///
    /// # Panics
    /// When the call did not return exactly one.
    #[must_use]
    pub fn table(&self) -> &Table {
        match self.tables.as_slice() {
            [table] => table,
            tables => panic!("the call returned {} tables, not one", tables.len()),
        }
    }

    /// The refused rows, ascending.
    #[must_use]
    pub fn rejected_rows(&self) -> Vec<usize> {
        let mut rows: Vec<usize> =
            self.rejections.iter().flat_map(|rejected| rejected.rows.iter().copied()).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}

/// Keeps the events of a call.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Vec<Kind>>);

impl Events for Recorder {
    fn send(&self, event: Kind) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

impl Recorder {
    pub fn outcome(&self, tables: Vec<Table>) -> Outcome {
        let mut outcome = Outcome { tables, ..Outcome::default() };
        for event in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            match event {
                Kind::Rejection(rejection) => outcome.rejections.push(RejectedRows {
                    rows: rejection.rows.chunks_exact(8).map(row_number).collect(),
                    reason: rejection.reason,
                    error_type: rejection.error_type,
                }),
                Kind::Log(log) => outcome.logs.push(LogLine {
                    level: log.level,
                    message: log.message,
                    fields: log.fields.into_iter().collect(),
                }),
                Kind::Metric(metric) => {
                    outcome.metrics.push(Measurement {
                        name: metric.name,
                        value: metric.value,
                        unit: metric.unit,
                    });
                }
                Kind::Progress(progress) => outcome.progress.push((progress.rows_done, progress.rows_total)),
                Kind::Batch(_) | Kind::Need(_) | Kind::Result(_) => {}
            }
        }
        outcome
    }
}

fn row_number(bytes: &[u8]) -> usize {
    let mut number = [0; 8];
    number.copy_from_slice(bytes);
    u64::from_le_bytes(number) as usize
}

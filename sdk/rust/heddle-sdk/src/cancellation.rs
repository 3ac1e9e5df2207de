//! How user code learns that its call was cancelled.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Whether a call was cancelled. A clone tells the same, also on other threads.
#[derive(Clone, Default)]
pub struct Cancellation(Arc<Shared>);

#[derive(Default)]
struct Shared {
    cancelled: Mutex<bool>,
    changed: Condvar,
}

impl Cancellation {
    /// Whether the call was cancelled: what it returns is of no interest any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error when the call was cancelled: `call.cancellation().check()?` in a loop ends it.
    ///
    /// # Errors
    /// When the call was cancelled.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Sleeps; a cancellation ends the sleep with an error.
    ///
    /// # Errors
    /// When the call was cancelled.
    pub fn sleep(&self, time: Duration) -> Result<()> {
        let end = Instant::now().checked_add(time);
        let mut cancelled = self.0.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
        while !*cancelled {
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(());
            }
            let waited = self.0.changed.wait_timeout(cancelled, left);
            cancelled = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(Error::cancelled())
    }

    pub(crate) fn cancel(&self) {
        *self.0.cancelled.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Cancellation({})", if self.is_cancelled() { "cancelled" } else { "not cancelled" })
    }
}

//! The calls under way, for cancellation and for an orderly end.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::cancellation::Cancellation;
use crate::error::{Error, Result};

/// A cancellation may overtake its call, which comes another way; so many of them are remembered.
const EARLY_CANCELLATIONS_MAX: usize = 256;

#[derive(Default)]
pub(crate) struct Calls {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    under_way: HashMap<u64, Cancellation>,
    cancelled_early: VecDeque<u64>,
    draining: bool,
}

/// A call under way; it ends when this is dropped.
pub(crate) struct UnderWay {
    calls: Arc<Calls>,
    call_id: u64,
    pub cancellation: Cancellation,
}

impl Calls {
    /// Refused when the plugin is about to end.
    pub fn begin(self: &Arc<Self>, call_id: u64) -> Result<UnderWay> {
        let cancellation = Cancellation::default();
        let mut state = self.locked();
        if state.draining {
            return Err(Error::protocol("the plugin is being drained and takes no more calls"));
        }
        if state.cancelled_early.contains(&call_id) {
            cancellation.cancel();
        }
        state.under_way.insert(call_id, cancellation.clone());
        Ok(UnderWay { calls: self.clone(), call_id, cancellation })
    }

    pub fn cancel(&self, call_id: u64) {
        let mut state = self.locked();
        if let Some(cancellation) = state.under_way.get(&call_id) {
            cancellation.cancel();
            return;
        }
        if state.cancelled_early.len() == EARLY_CANCELLATIONS_MAX {
            state.cancelled_early.pop_front();
        }
        state.cancelled_early.push_back(call_id);
    }

    pub fn count(&self) -> usize {
        self.locked().under_way.len()
    }

    /// Takes no more calls, and waits until those under way have ended.
    pub fn drain(&self) {
        let mut state = self.locked();
        state.draining = true;
        while !state.under_way.is_empty() {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.calls.locked();
        state.under_way.remove(&self.call_id);
        if state.draining {
            self.calls.ended.notify_all();
        }
    }
}

//! The open resources and their leases.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::resource::AnyResource;

/// All open resources by their ids, which grow in the order in which they were opened.
#[derive(Default)]
pub(crate) struct Resources {
    open: Mutex<Open>,
    changed: Condvar,
}

#[derive(Default)]
struct Open {
    last_id: u64,
    by_id: BTreeMap<u64, Arc<OpenResource>>,
    has_lease_thread: bool,
}

/// One open resource.
pub(crate) struct OpenResource {
    /// The program's name for it.
    pub name: String,
    pub resource_type: &'static str,
    resource: Arc<dyn AnyResource>,
    lease: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    uses: u32,
    last_use: Instant,
    closed: bool,
}

/// Something uses the resource: its lease does not run out before this is dropped.
pub(crate) struct Use(Arc<OpenResource>);

impl Resources {
    /// Adds a resource; without a lease it stays open until it is closed.
    pub fn add(
        self: &Arc<Self>,
        name: String,
        resource_type: &'static str,
        resource: Arc<dyn AnyResource>,
        lease: Option<Duration>,
    ) -> u64 {
        let state = Mutex::new(State { uses: 0, last_use: Instant::now(), closed: false });
        let opened = Arc::new(OpenResource { name, resource_type, resource, lease, state });
        let mut open = locked(&self.open);
        open.last_id += 1;
        let id = open.last_id;
        open.by_id.insert(id, opened);
        if lease.is_some() {
            if !open.has_lease_thread {
                let resources = Arc::clone(self);
                let started =
                    thread::Builder::new().name("leases".into()).spawn(move || resources.end_leases());
                open.has_lease_thread = started.is_ok();
            }
            self.changed.notify_all();
        }
        id
    }

    /// The resource with this id.
    pub fn get(&self, id: u64) -> Result<Arc<OpenResource>> {
        let found = locked(&self.open).by_id.get(&id).cloned();
        found.ok_or_else(|| Error::expired(format!("resource {id} is not open any more; open it anew")))
    }

    /// Closes one; it is fine when it is closed already.
    pub fn close(&self, id: u64) -> Result<()> {
        let removed = locked(&self.open).by_id.remove(&id);
        removed.map_or(Ok(()), |resource| resource.close())
    }

    /// Closes all, the last opened first, and tells what that raised.
    pub fn close_all(&self) -> Vec<String> {
        let all = std::mem::take(&mut locked(&self.open).by_id);
        let closed = all.values().rev().filter_map(|resource| {
            let error = resource.close().err()?;
            Some(format!("closing `{}`: {error}", resource.name))
        });
        closed.collect()
    }

    /// What is wrong with the open resources.
    pub fn problems(&self) -> Vec<String> {
        let all: Vec<_> = locked(&self.open).by_id.values().cloned().collect();
        let problem = |resource: &Arc<OpenResource>| {
            let error = resource.resource.health().err()?;
            Some(format!("`{}`: {}", resource.name, error.message()))
        };
        all.iter().filter_map(problem).collect()
    }

    /// Closes what nothing used for as long as its lease says, for as long as the process lives.
    fn end_leases(&self) {
        let mut open = locked(&self.open);
        loop {
            let now = Instant::now();
            let expired: Vec<u64> =
                open.by_id.iter().filter(|(_, resource)| resource.expire(now)).map(|(id, _)| *id).collect();
            let expired: Vec<_> = expired.iter().filter_map(|id| open.by_id.remove(id)).collect();
            if !expired.is_empty() {
                drop(open);
                for resource in expired {
                    if let Err(error) = resource.resource.close() {
                        eprintln!("closing `{}` when its lease was over: {error}", resource.name);
                    }
                }
                open = locked(&self.open);
                continue;
            }
            let next = open.by_id.values().filter_map(|resource| resource.lease_left(now)).min();
            open = match next {
                None => self.changed.wait(open).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.changed.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}

impl OpenResource {
    /// Marks it as used. Fails when it was closed.
    pub fn enter(self: &Arc<Self>) -> Result<Use> {
        let mut state = locked(&self.state);
        if state.closed {
            return Err(Error::expired(format!(
                "the resource `{}` was closed because nothing used it; open it anew",
                self.name
            )));
        }
        state.uses += 1;
        Ok(Use(self.clone()))
    }

    fn close(&self) -> Result<()> {
        locked(&self.state).closed = true;
        self.resource.close()
    }

    /// Whether the lease is over; then nothing can enter any more.
    fn expire(&self, now: Instant) -> bool {
        let mut state = locked(&self.state);
        let over = self.lease.is_some_and(|lease| now.saturating_duration_since(state.last_use) >= lease);
        state.closed |= over && state.uses == 0;
        state.closed
    }

    /// How long the lease lasts from now on if nothing happens.
    fn lease_left(&self, now: Instant) -> Option<Duration> {
        let (lease, state) = (self.lease?, locked(&self.state));
        let used = now.saturating_duration_since(state.last_use);
        Some(if state.uses > 0 { lease } else { lease.saturating_sub(used) })
    }
}

impl Use {
    pub fn resource(&self) -> &Arc<dyn AnyResource> {
        &self.0.resource
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut state = locked(&self.0.state);
        state.uses -= 1;
        state.last_use = Instant::now();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Notices that the engine closed a lane while a call is under way: that cancels the call.
//!
//! The thread of a lane is busy with user code then, so one thread waits for all of them.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::cancellation::Cancellation;

/// The lanes that are watched.
pub(crate) struct Watch {
    lanes: Mutex<Vec<Lane>>,
    wake: UnixStream,
}

struct Lane {
    connection: Arc<UnixStream>,
    current: Arc<Current>,
}

/// The call that a lane carries now.
#[derive(Default)]
pub(crate) struct Current(Mutex<Option<Cancellation>>);

impl Current {
    pub fn set(&self, cancellation: Option<Cancellation>) {
        *locked(&self.0) = cancellation;
    }
}

impl Watch {
    /// Starts the thread that watches.
    pub fn start() -> io::Result<Arc<Self>> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let watch = Arc::new(Self { lanes: Mutex::default(), wake });
        let watching = watch.clone();
        thread::Builder::new().name("watch".into()).spawn(move || watching.run(&woken))?;
        Ok(watch)
    }

    pub fn add(&self, connection: Arc<UnixStream>, current: Arc<Current>) {
        locked(&self.lanes).push(Lane { connection, current });
        // A full pipe wakes the thread as well.
        let _ = (&self.wake).write(&[0]);
    }

    fn run(&self, woken: &UnixStream) {
        loop {
            let mut polled: Vec<libc::pollfd> =
                locked(&self.lanes).iter().map(|lane| entry(lane.connection.as_raw_fd(), 0)).collect();
            polled.push(entry(woken.as_raw_fd(), libc::POLLIN));
            // SAFETY: `polled` is an array of so many entries, and their descriptors are open: only this thread
            // drops lanes.
            let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, -1) };
            if ready < 0 {
                continue;
            }
            let _ = (&*woken).read(&mut [0; 64]);
            let ended = polled.split_last().map_or(&[][..], |(_, lanes)| lanes);
            let mut lanes = locked(&self.lanes);
            for index in (0..ended.len()).rev().filter(|&index| ended[index].revents != 0) {
                let lane = lanes.swap_remove(index);
                if let Some(cancellation) = &*locked(&lane.current.0) {
                    cancellation.cancel();
                }
            }
        }
    }
}

/// Hang-ups are reported whatever the events that are asked for.
fn entry(fd: libc::c_int, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The end of the process: resources are closed, the folder is removed, and nothing can hold it up for long.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{fs, process, thread};

use crate::serve::resources::Resources;
use crate::serve::{CONTROL_SOCKET, Host, LANES_SOCKET};

/// So long the resources may take to close.
const CLOSING_MAX: Duration = Duration::from_secs(2);

pub(crate) struct End {
    folder: PathBuf,
    resources: Arc<Resources>,
    begun: AtomicBool,
}

impl End {
    pub fn new(folder: PathBuf, resources: Arc<Resources>) -> Self {
        Self { folder, resources, begun: AtomicBool::new(false) }
    }

    /// Ends the process with status 0, whatever its other threads do.
    pub fn end(&self) -> ! {
        if self.begun.swap(true, Ordering::SeqCst) {
            loop {
                thread::park();
            }
        }
        let (closed, wait) = mpsc::channel();
        let resources = self.resources.clone();
        let close = move || {
            for problem in resources.close_all() {
                eprintln!("{problem}");
            }
            let _ = closed.send(());
        };
        if thread::Builder::new().name("close".into()).spawn(close).is_ok() {
            let _ = wait.recv_timeout(CLOSING_MAX);
        }
        remove(&self.folder);
        process::exit(0);
    }
}

/// End of file on stdin means that the engine is gone.
pub(crate) fn watch_stdin(host: Arc<Host>) -> io::Result<()> {
    let watch = move || {
        let mut stdin = io::stdin().lock();
        let mut ignored = [0; 256];
        loop {
            match stdin.read(&mut ignored) {
                Ok(0) => host.end.end(),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => host.end.end(),
            }
        }
    };
    thread::Builder::new().name("stdin".into()).spawn(watch)?;
    Ok(())
}

/// Removes the sockets and their folder. A folder that holds something else is left alone: it is not the engine's.
fn remove(folder: &Path) {
    for socket in [CONTROL_SOCKET, LANES_SOCKET] {
        let _ = fs::remove_file(folder.join(socket));
    }
    let _ = fs::remove_dir(folder);
}

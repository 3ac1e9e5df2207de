//! Serving an engine: the process's life, the control channel and the lanes.

mod bindings;
mod calls;
mod control;
mod end;
mod frames;
mod lane;
mod link;
mod output;
mod resources;
mod segments;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::describe;
use crate::plugin::Plugin;

/// The name and version of this SDK, for the handshake.
pub(crate) const SDK: &str = concat!("heddle-rust ", env!("CARGO_PKG_VERSION"));
/// What the first line on stdout says when the sockets are there.
const READY: &str = "heddle-plugin 1";
const FOLDER_VARIABLE: &str = "HEDDLE_PLUGIN_FOLDER";
const CONTROL_SOCKET: &str = "control.sock";
const LANES_SOCKET: &str = "lanes.sock";
/// Threads of lanes run user code, which may need more than the 2 MB that threads have by default.
const STACK_BYTES: usize = 8 << 20;
/// How long to wait when there are too many descriptors or threads for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// The exit status of a plugin that cannot serve.
const EXIT_UNUSABLE: u8 = 2;

/// All that a serving process knows.
pub(crate) struct Host {
    plugin: Plugin,
    limits: Limits,
    resources: Arc<resources::Resources>,
    bindings: bindings::Bindings,
    calls: Arc<calls::Calls>,
    segments: segments::Segments,
    watch: Arc<watch::Watch>,
    end: end::End,
}

/// What the engine said in the handshake, or the protocol's values until then.
pub(crate) struct Limits {
    inline_bytes_max: AtomicU32,
    frame_bytes_max: AtomicU32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { inline_bytes_max: AtomicU32::new(64 << 10), frame_bytes_max: AtomicU32::new(16 << 20) }
    }
}

impl Limits {
    pub fn inline_bytes_max(&self) -> usize {
        self.inline_bytes_max.load(Ordering::Relaxed) as usize
    }

    pub fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max.load(Ordering::Relaxed) as usize
    }

    /// Takes what the engine said; 0 is nothing.
    pub fn set(&self, inline_bytes_max: u32, frame_bytes_max: u32) {
        for (limit, said) in
            [(&self.inline_bytes_max, inline_bytes_max), (&self.frame_bytes_max, frame_bytes_max)]
        {
            if said > 0 {
                limit.store(said, Ordering::Relaxed);
            }
        }
    }
}

pub(crate) fn serve(plugin: Plugin) -> ExitCode {
    let problems = plugin.problems();
    if !problems.is_empty() {
        eprintln!("plugin {:?} cannot be served:", plugin.namespace);
        problems.iter().for_each(|problem| eprintln!("  {problem}"));
        return ExitCode::from(EXIT_UNUSABLE);
    }
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else {
        print!("{}", describe::for_people(&plugin));
        return ExitCode::SUCCESS;
    };
    match serve_in(plugin, &folder) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("the plugin cannot be served in {}: {error}", Path::new(&folder).display());
            ExitCode::from(EXIT_UNUSABLE)
        }
    }
}

/// Serves until the engine is gone; then the process ends.
fn serve_in(plugin: Plugin, folder: &OsString) -> io::Result<std::convert::Infallible> {
    let folder = PathBuf::from(folder);
    let control = UnixListener::bind(folder.join(CONTROL_SOCKET))?;
    let lanes = UnixListener::bind(folder.join(LANES_SOCKET))?;
    let resources = Arc::new(resources::Resources::default());
    let host = Arc::new(Host {
        plugin,
        limits: Limits::default(),
        end: end::End::new(folder, resources.clone()),
        resources,
        bindings: bindings::Bindings::default(),
        calls: Arc::default(),
        segments: segments::Segments::default(),
        watch: watch::Watch::start()?,
    });
    control::start(host.clone(), control)?;
    end::watch_stdin(host.clone())?;
    let mut out = io::stdout();
    writeln!(out, "{READY}")?;
    out.flush()?;
    loop {
        let accepted = lanes.accept().and_then(|(connection, _)| {
            let host = host.clone();
            let lane = move || lane::serve(&host, connection);
            thread::Builder::new().name("lane".into()).stack_size(STACK_BYTES).spawn(lane)
        });
        if let Err(error) = accepted {
            eprintln!("heddle: a lane could not be opened: {error}");
            thread::sleep(ACCEPT_PAUSE);
        }
    }
}

//! The engine's side of the protocol, as far as tests need it.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

mod control;
mod lane;
mod segment;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use heddle_sdk::wire;

pub use control::Control;
pub use lane::{Lane, bytes_of, call, inline, numbers};
pub use segment::SharedMemory;

const WAIT_MAX: Duration = Duration::from_secs(20);

/// A plugin process that this test started.
pub struct Engine {
    pub folder: PathBuf,
    pub control: Control,
    process: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<ChildStderr>,
}

impl Engine {
    /// Starts the conformance plugin and shakes hands.
    pub fn start() -> Self {
        let mut engine = Self::start_without_handshake();
        let request = handshake(1, 1);
        let response: wire::HandshakeResponse = engine.control.ask("Handshake", &request);
        assert_eq!(response.protocol, 1, "{:?}", response.failure);
        engine
    }

    pub fn start_without_handshake() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("heddle-rust-{}-{number}", process::id()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_conformance"))
            .env("HEDDLE_PLUGIN_FOLDER", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "heddle-plugin 1\n");
        let stderr = process.stderr.take();
        let control = Control::connect(&folder.join("control.sock"));
        Self { folder, control, process, stdout: Some(stdout), stderr }
    }

    pub fn lane(&self) -> Lane {
        Lane::new(UnixStream::connect(self.folder.join("lanes.sock")).unwrap())
    }

    /// Binds a step; the failure is why it was refused.
    pub fn try_bind(
        &mut self,
        step: &str,
        config: &str,
        resources: &[(&str, u64)],
    ) -> Result<u64, wire::Failure> {
        let request = wire::BindStepRequest {
            step: step.into(),
            config_json: config.into(),
            resources: resources.iter().map(|(slot, id)| ((*slot).to_owned(), *id)).collect(),
            base: ".".into(),
            link: None,
        };
        let response: wire::BindStepResponse = self.control.ask("BindStep", &request);
        response.failure.map_or(Ok(response.binding_id), Err)
    }

    pub fn bind(&mut self, step: &str, config: &str) -> u64 {
        self.try_bind(step, config, &[]).unwrap()
    }

    pub fn open_counter(&mut self, config: &str, lease_s: f64) -> Result<u64, wire::Failure> {
        let request = wire::OpenResourceRequest {
            r#type: "counter".into(),
            name: "tally".into(),
            config_json: config.into(),
            lease_s,
        };
        let response: wire::OpenResourceResponse = self.control.ask("OpenResource", &request);
        response.failure.map_or(Ok(response.resource_id), Err)
    }

    pub fn cancel(&mut self, call_id: u64) {
        let _: wire::CancelResponse = self.control.ask("Cancel", &wire::CancelRequest { call_id });
    }

    pub fn calls(&mut self) -> u32 {
        let response: wire::HealthResponse = self.control.ask("Health", &wire::HealthRequest {});
        response.calls
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// The engine goes away.
    pub fn close_stdin(&mut self) {
        drop(self.process.stdin.take());
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(format!("-{signal}")).arg(self.id().to_string()).status();
        assert!(status.unwrap().success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the plugin has ended", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// What the plugin wrote; it must have ended.
    pub fn written(&mut self) -> (String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (out, err)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn handshake(protocol_min: u32, protocol_max: u32) -> wire::HandshakeRequest {
    wire::HandshakeRequest {
        protocol_min,
        protocol_max,
        engine_version: "9.9".into(),
        inline_bytes_max: 64 << 10,
        frame_bytes_max: 16 << 20,
    }
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT_MAX;
    while !condition() {
        assert!(Instant::now() < end, "waited too long until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

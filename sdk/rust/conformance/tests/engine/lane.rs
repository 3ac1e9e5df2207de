//! A lane, from the engine's end.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use heddle_sdk::{Table, wire};
use prost::Message;
use wire::batch::Place;
use wire::engine_frame::Kind as Sent;
use wire::plugin_frame::Kind as Received;

use super::SharedMemory;

const READ_MAX: Duration = Duration::from_secs(20);

pub struct Lane {
    connection: UnixStream,
    /// What a `Need` is answered with.
    pub grant: Option<Arc<SharedMemory>>,
    granted: HashMap<u64, Arc<SharedMemory>>,
}

/// All that a plugin sent for one call.
#[derive(Default)]
pub struct Reply {
    pub tables: Vec<Table>,
    pub batches: Vec<wire::Batch>,
    pub rejections: Vec<wire::Rejection>,
    pub logs: Vec<wire::Log>,
    pub progress: Vec<wire::Progress>,
    pub metrics: Vec<wire::Metric>,
    pub needs: Vec<u64>,
    pub released: Vec<u64>,
    pub failure: Option<wire::Failure>,
}

impl Lane {
    pub fn new(connection: UnixStream) -> Self {
        connection.set_read_timeout(Some(READ_MAX)).unwrap();
        Self { connection, grant: None, granted: HashMap::new() }
    }

    pub fn send(&mut self, kind: Sent) {
        let body = wire::EngineFrame { kind: Some(kind) }.encode_to_vec();
        let mut frame = (body.len() as u32).to_le_bytes().to_vec();
        frame.extend_from_slice(&body);
        self.send_bytes(&frame);
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.connection.write_all(bytes).unwrap();
    }

    /// The next frame; None when the plugin closed the lane.
    pub fn receive(&mut self) -> Option<wire::PluginFrame> {
        let mut prefix = [0; 4];
        if self.connection.read_exact(&mut prefix).is_err() {
            return None;
        }
        let length = u32::from_le_bytes(prefix);
        assert!(length <= 16 << 20, "a frame of {length} bytes");
        let mut body = vec![0; length as usize];
        self.connection.read_exact(&mut body).unwrap();
        Some(wire::PluginFrame::decode(body.as_slice()).unwrap())
    }

    /// Sends a call with one batch.
    pub fn begin(&mut self, binding_id: u64, batch: Option<wire::Batch>) -> u64 {
        let call = call(binding_id, batch);
        let call_id = call.call_id;
        self.send(Sent::Call(call));
        call_id
    }

    /// A whole call with one batch.
    pub fn call(&mut self, binding_id: u64, batch: Option<wire::Batch>) -> Reply {
        self.begin(binding_id, batch);
        self.finish()
    }

    /// A whole call with one table, inline.
    pub fn call_inline(&mut self, binding_id: u64, table: &Table) -> Reply {
        self.call(binding_id, Some(inline(table)))
    }

    /// Receives until the call's result.
    pub fn finish(&mut self) -> Reply {
        let mut reply = Reply::default();
        loop {
            let frame = self.receive().expect("the plugin closed the lane in mid-call");
            reply.released.extend(&frame.released);
            match frame.kind.unwrap() {
                Received::Batch(batch) => {
                    let table = match batch.place.as_ref().unwrap() {
                        Place::Inline(bytes) => table_of(bytes),
                        Place::Slice(slice) => {
                            let id = slice.segment.as_ref().unwrap().id;
                            let memory = self.granted.get(&id).or(self.grant.as_ref()).unwrap();
                            table_of(memory.bytes(slice))
                        }
                    };
                    reply.tables.push(table);
                    reply.batches.push(batch);
                }
                Received::Rejection(rejection) => reply.rejections.push(rejection),
                Received::Log(log) => reply.logs.push(log),
                Received::Progress(progress) => reply.progress.push(progress),
                Received::Metric(metric) => reply.metrics.push(metric),
                Received::Need(need) => {
                    reply.needs.push(need.size_bytes);
                    let segment = self.grant.as_ref().map(|memory| memory.segment());
                    self.send(Sent::Grant(wire::Grant { segment }));
                }
                Received::Result(result) => {
                    reply.failure = result.failure;
                    return reply;
                }
            }
        }
    }

    /// Remembers memory that a call grants itself.
    pub fn remember(&mut self, memory: &Arc<SharedMemory>) {
        self.granted.insert(memory.id, memory.clone());
    }
}

impl Reply {
    pub fn table(&self) -> &Table {
        assert_eq!(self.failure, None);
        assert_eq!(self.tables.len(), 1);
        &self.tables[0]
    }

    pub fn failure(&self) -> &wire::Failure {
        self.failure.as_ref().expect("the call failed")
    }
}

pub fn call(binding_id: u64, batch: Option<wire::Batch>) -> wire::Call {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    wire::Call {
        call_id: NUMBER.fetch_add(1, Ordering::Relaxed),
        binding_id,
        context: Some(wire::Context {
            run_id: "run-1".into(),
            workflow: "Main".into(),
            step: "the_step".into(),
            attempt: 2,
            idempotency_key: Some("key".into()),
            deadline_s: Some(1.5),
        }),
        has_input: batch.is_some(),
        end: batch.is_some(),
        batch,
        ..wire::Call::default()
    }
}

pub fn inline(table: &Table) -> wire::Batch {
    wire::Batch { place: Some(Place::Inline(bytes_of(table))), columns: Vec::new() }
}

pub fn bytes_of(table: &Table) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), table.schema()).unwrap();
    for batch in table.batches() {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

pub fn table_of(bytes: &[u8]) -> Table {
    let reader = StreamReader::try_new(bytes, None).unwrap();
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert!(!batches.is_empty(), "a payload has at least one batch");
    Table::new(schema, batches).unwrap()
}

/// A table with the column `x`.
pub fn numbers(numbers: impl IntoIterator<Item = i64>) -> Table {
    let x = Int64Array::from_iter_values(numbers);
    Table::from_columns([("x", Arc::new(x) as _)]).unwrap()
}

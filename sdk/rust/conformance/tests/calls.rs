//! Calls: rows in, rows out, and what a step tells beside them.

mod engine;

use std::sync::Arc;

use arrow_array::{Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::Schema;
use heddle_sdk::{Table, wire};
use wire::batch::Place;
use wire::engine_frame::Kind as Sent;
use wire::failure::Kind;

use engine::{Engine, SharedMemory, bytes_of, inline, numbers};

fn texts(table: &Table, column: &str) -> Vec<Option<String>> {
    let column = table.column::<StringArray>(column).unwrap();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

#[test]
fn small_tables_go_inline() {
    let mut engine = Engine::start();
    let add = engine.bind("add", r#"{"amount": 10}"#);
    let mut lane = engine.lane();
    for _ in 0..3 {
        let reply = lane.call_inline(add, &numbers([1, 2]));
        let table = reply.table();
        assert_eq!(reply.batches[0].columns, [-1, 0], "`x` is the input's");
        assert_eq!(table.column::<Int64Array>("y").unwrap().values(), &[11, 12]);
    }
}

#[test]
fn an_untouched_table_does_not_travel_back() {
    let mut engine = Engine::start();
    let identity = engine.bind("identity", "{}");
    let reply = engine.lane().call_inline(identity, &numbers(0..5));
    assert_eq!(reply.batches[0].columns, [-1]);
    assert_eq!((reply.table().num_rows(), reply.table().schema().fields().len()), (5, 0));
}

#[test]
fn a_copy_travels_back() {
    let mut engine = Engine::start();
    let rebuild = engine.bind("rebuild", "");
    let given = numbers(0..5);
    let reply = engine.lane().call_inline(rebuild, &given);
    assert!(reply.batches[0].columns.is_empty());
    assert_eq!(reply.table(), &given);
}

#[test]
fn input_may_come_in_several_batches() {
    let mut engine = Engine::start();
    let rebuild = engine.bind("rebuild", "");
    let mut lane = engine.lane();
    let mut call =
        wire::Call { call_id: 9999, binding_id: rebuild, has_input: true, ..wire::Call::default() };
    call.batch = Some(inline(&numbers([1, 2])));
    lane.send(Sent::Call(call));
    lane.send(Sent::Batch(inline(&numbers([3]))));
    lane.send(Sent::Batch(inline(&numbers([]))));
    lane.send(Sent::End(wire::EndInput {}));
    let reply = lane.finish();
    assert_eq!(reply.table().column::<Int64Array>("x").unwrap().values(), &[1, 2, 3]);
}

#[test]
fn segments_are_read_and_written_in_place() {
    let mut engine = Engine::start();
    let (identity, rebuild) = (engine.bind("identity", ""), engine.bind("rebuild", ""));
    let mut lane = engine.lane();
    let given = numbers(0..100_000);
    let memory = SharedMemory::with(64, &bytes_of(&given));

    let reply = lane.call(identity, Some(memory.batch(64)));
    assert_eq!(reply.batches[0].columns, [-1]);
    assert_eq!(reply.released, [memory.id], "given back with the result");

    lane.grant = Some(SharedMemory::new(1 << 20));
    let reply = lane.call(rebuild, Some(memory.batch(64)));
    assert_eq!(reply.table(), &given);
    assert_eq!(reply.released, [memory.id]);
    assert_eq!(reply.needs.len(), 1);

    let granted = SharedMemory::new(1 << 20);
    lane.remember(&granted);
    let mut call =
        wire::Call { call_id: 77, binding_id: rebuild, has_input: true, end: true, ..wire::Call::default() };
    call.batch = Some(memory.batch(64));
    call.grant = Some(wire::Grant { segment: Some(granted.segment()) });
    lane.send(Sent::Call(call));
    let reply = lane.finish();
    assert_eq!(reply.table(), &given);
    assert!(reply.needs.is_empty(), "the call's grant was enough");
    let Some(Place::Slice(slice)) = &reply.batches[0].place else { panic!("in a segment") };
    assert_eq!(slice.segment.as_ref().unwrap().id, granted.id);
}

#[test]
fn a_small_grant_is_not_used() {
    let mut engine = Engine::start();
    let rebuild = engine.bind("rebuild", "");
    let mut lane = engine.lane();
    lane.grant = Some(SharedMemory::new(1 << 20));
    let small = SharedMemory::new(4096);
    let given = numbers(0..20_000);
    let mut call =
        wire::Call { call_id: 78, binding_id: rebuild, has_input: true, end: true, ..wire::Call::default() };
    call.batch = Some(inline(&given));
    call.grant = Some(wire::Grant { segment: Some(small.segment()) });
    lane.send(Sent::Call(call));
    let reply = lane.finish();
    assert_eq!(reply.table(), &given);
    assert_eq!(reply.needs.len(), 1);
}

#[test]
fn without_memory_the_output_is_cut_into_frames() {
    let mut engine = Engine::start();
    let rebuild = engine.bind("rebuild", "");
    let mut lane = engine.lane();
    let given = numbers(0..5_000_000);
    let memory = SharedMemory::with(0, &bytes_of(&given));
    let reply = lane.call(rebuild, Some(memory.batch(0)));
    assert_eq!(reply.failure, None);
    assert!(reply.batches.len() > 2);
    assert!(reply.batches.iter().all(|batch| matches!(batch.place, Some(Place::Inline(_)))));
    let found: Vec<i64> = reply
        .tables
        .iter()
        .flat_map(|table| table.column::<Int64Array>("x").unwrap().values().to_vec())
        .collect();
    assert!(found.into_iter().eq(0..5_000_000));
}

#[test]
fn a_source_streams_its_batches() {
    let mut engine = Engine::start();
    let source = engine.bind("numbers", r#"{"count": 2500}"#);
    let reply = engine.lane().call(source, None);
    assert_eq!(reply.failure, None);
    assert_eq!(reply.tables.iter().map(Table::num_rows).collect::<Vec<_>>(), [1000, 1000, 500]);
}

#[test]
fn rejections_count_over_the_whole_input() {
    let mut engine = Engine::start();
    let reject = engine.bind("reject_negative", "");
    let mut lane = engine.lane();
    let mut call = wire::Call { call_id: 5, binding_id: reject, has_input: true, ..wire::Call::default() };
    call.batch = Some(inline(&numbers([1, -2])));
    lane.send(Sent::Call(call));
    lane.send(Sent::Batch(inline(&numbers([3, -4]))));
    lane.send(Sent::End(wire::EndInput {}));
    let reply = lane.finish();
    let rejection = &reply.rejections[0];
    let rows: Vec<u8> = [1_i64, 3].iter().flat_map(|row| row.to_le_bytes()).collect();
    assert_eq!(rejection.rows, rows);
    assert_eq!((rejection.reason.as_str(), rejection.error_type.as_str()), ("x is negative", "Negative"));
    assert_eq!(reply.table().num_rows(), 4);
}

#[test]
fn steps_of_all_kinds_of_rows() {
    let mut engine = Engine::start();
    let mut lane = engine.lane();
    let mut run = |step: &str, config: &str| {
        let binding = engine.bind(step, config);
        let reply = lane.call_inline(binding, &numbers(0..4));
        let table = reply.table();
        table.column::<Int64Array>(table.schema().field(0).name()).unwrap().values().to_vec()
    };
    assert_eq!(run("keep_even", ""), [0, 2]);
    assert_eq!(run("repeat", ""), [0, 0, 1, 1, 2, 2, 3, 3]);
    assert!(run("repeat", r#"{"times": 0}"#).is_empty());
    assert_eq!(run("total", ""), [6]);
}

#[test]
fn a_table_without_columns_has_rows() {
    let mut engine = Engine::start();
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    for step in ["identity", "rebuild"] {
        let binding = engine.bind(step, "");
        assert_eq!(engine.lane().call_inline(binding, &batch.clone().into()).table().num_rows(), 3);
    }
}

#[test]
fn logs_progress_metrics_and_output() {
    let mut engine = Engine::start();
    let log = engine.bind("log", r#"{"message": "hello"}"#);
    let reply = engine.lane().call_inline(log, &numbers([1, 2]));
    assert_eq!(reply.table().num_rows(), 2);
    assert_eq!((reply.logs[0].level.as_str(), reply.logs[0].message.as_str()), ("info", "hello"));
    assert_eq!(reply.logs[0].fields["rows"], "2");
    assert_eq!((reply.progress[0].rows_done, reply.progress[0].rows_total), (2, 2));
    let metric = &reply.metrics[0];
    assert_eq!((metric.name.as_str(), metric.value, metric.unit.as_str()), ("seen", 2.0, "rows"));
    engine.close_stdin();
    assert!(engine.wait().success());
    let (out, err) = engine.written();
    assert_eq!((out.as_str(), err.as_str()), ("out: hello\n", "err: hello\n"));
}

#[test]
fn the_context_arrives() {
    let mut engine = Engine::start();
    let context = engine.bind("context", "");
    let reply = engine.lane().call(context, None);
    let row = reply.table().batch().unwrap();
    assert_eq!(texts(reply.table(), "run_id"), [Some("run-1".to_owned())]);
    assert_eq!(texts(reply.table(), "idempotency_key"), [Some("key".to_owned())]);
    assert_eq!(row.column_by_name("attempt").unwrap().to_data(), Int64Array::from(vec![2]).to_data());
    assert!(format!("{row:?}").contains("1.5"));
}

#[test]
fn errors_are_failures_of_their_call_only() {
    let mut engine = Engine::start();
    let fail = engine.bind("fail", r#"{"message": "no luck", "transient": true}"#);
    let (declared, add) = (engine.bind("declared", ""), engine.bind("add", r#"{"amount": 1}"#));
    let mut lane = engine.lane();
    let reply = lane.call_inline(fail, &numbers([1]));
    let failure = reply.failure();
    assert_eq!((failure.message.as_str(), failure.error_type.as_str()), ("no luck", "ConformanceError"));
    assert_eq!((failure.kind(), failure.transient), (Kind::Step, true));
    assert!(failure.stack_trace.contains("trouble::fail"), "{}", failure.stack_trace);

    let reply = lane.call_inline(declared, &numbers([1]));
    assert_eq!(reply.failure().kind(), Kind::Unsupported);

    let other = Table::from_columns([("z", Arc::new(Int64Array::from(vec![1])) as _)]).unwrap();
    let reply = lane.call_inline(add, &other);
    assert_eq!(reply.failure().message, "there is no column `x`; the table has `z`");
    assert_eq!(lane.call_inline(add, &numbers([1])).table().num_rows(), 1);
}

#[test]
fn a_crash_ends_the_process_with_its_status() {
    let mut engine = Engine::start();
    let crash = engine.bind("crash", "");
    let mut lane = engine.lane();
    lane.begin(crash, Some(inline(&numbers([1]))));
    assert!(lane.receive().is_none());
    assert_eq!(engine.wait().code(), Some(3));
}

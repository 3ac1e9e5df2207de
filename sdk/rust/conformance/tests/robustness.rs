//! Cancellation, ends of all kinds, and what the engine must not send.

mod engine;

use std::process::Command;
use std::time::{Duration, Instant};

use heddle_sdk::wire;
use wire::engine_frame::Kind as Sent;
use wire::failure::Kind;

use engine::{Engine, SharedMemory, bytes_of, inline, numbers, wait_until};

#[test]
fn a_call_is_cancelled_over_the_control_channel() {
    let mut engine = Engine::start();
    let sleep = engine.bind("sleep", r#"{"seconds": 60}"#);
    let mut lane = engine.lane();
    let call = lane.begin(sleep, Some(inline(&numbers([1]))));
    wait_until("the call is under way", || engine.calls() == 1);
    engine.cancel(call);
    let reply = lane.finish();
    let failure = reply.failure();
    assert_eq!((failure.kind(), failure.error_type.as_str()), (Kind::Cancelled, "CancelledError"));
}

#[test]
fn a_cancellation_may_overtake_its_call() {
    let mut engine = Engine::start();
    let sleep = engine.bind("sleep", r#"{"seconds": 60}"#);
    let mut lane = engine.lane();
    engine.cancel(4711);
    let mut call =
        wire::Call { call_id: 4711, binding_id: sleep, has_input: true, end: true, ..wire::Call::default() };
    call.batch = Some(inline(&numbers([1])));
    lane.send(Sent::Call(call));
    assert_eq!(lane.finish().failure().kind(), Kind::Cancelled);
}

#[test]
fn a_closed_lane_cancels_its_call() {
    let mut engine = Engine::start();
    let sleep = engine.bind("sleep", r#"{"seconds": 60}"#);
    let mut lane = engine.lane();
    lane.begin(sleep, Some(inline(&numbers([1]))));
    wait_until("the call is under way", || engine.calls() == 1);
    drop(lane);
    wait_until("the call has ended", || engine.calls() == 0);
}

#[test]
fn garbage_ends_its_lane_only() {
    let mut engine = Engine::start();
    let add = engine.bind("add", r#"{"amount": 1}"#);
    let garbage: [&[u8]; 6] = [
        &[0xFF; 64],
        &[0; 4],
        &[3, 0, 0, 0, 0xFF, 0xFF, 0xFF],
        &(17_u32 << 20).to_le_bytes(),
        b"GET / HTTP/1.1\r\n\r\n",
        &[2, 0, 0, 0, 0x1A, 0],
    ];
    for bytes in garbage {
        let mut lane = engine.lane();
        lane.send_bytes(bytes);
        assert!(lane.receive().is_none(), "{bytes:?}");
    }
    let mut half = engine.lane();
    half.send_bytes(&[100, 0, 0, 0, 1, 2, 3]);
    drop(half);
    assert_eq!(engine.lane().call_inline(add, &numbers([1])).table().num_rows(), 1);
}

#[test]
fn payloads_that_are_none_fail_their_call() {
    let mut engine = Engine::start();
    let add = engine.bind("add", r#"{"amount": 1}"#);
    let mut lane = engine.lane();
    let whole = bytes_of(&numbers(0..100));
    let broken = [Vec::new(), vec![0xFF; 100], whole[..whole.len() - 200].to_vec(), vec![0; 1000]];
    for bytes in broken {
        let batch = wire::Batch { place: Some(wire::batch::Place::Inline(bytes)), columns: vec![] };
        assert_eq!(lane.call(add, Some(batch)).failure().kind(), Kind::Protocol);
    }
    assert_eq!(lane.call(add, Some(wire::Batch::default())).failure().kind(), Kind::Protocol);
    assert_eq!(lane.call_inline(424242, &numbers([1])).failure().message, "there is no binding 424242");
    assert_eq!(lane.call_inline(add, &numbers([1])).table().num_rows(), 1);
}

#[test]
fn segments_that_cannot_be_mapped_fail_their_call() {
    let mut engine = Engine::start();
    let add = engine.bind("add", r#"{"amount": 1}"#);
    let mut lane = engine.lane();
    let memory = SharedMemory::with(0, &bytes_of(&numbers(0..10)));
    let with = |change: &dyn Fn(&mut wire::Slice)| {
        let mut batch = memory.batch(0);
        let Some(wire::batch::Place::Slice(slice)) = &mut batch.place else { unreachable!() };
        change(slice);
        batch
    };
    let segment = |slice: &mut wire::Slice| slice.segment.clone().unwrap();
    let broken = [
        with(&|slice| slice.segment = None),
        with(&|slice| slice.segment = Some(wire::Segment { path: "/nowhere".into(), ..segment(slice) })),
        with(&|slice| {
            slice.segment = Some(wire::Segment { id: 1 << 40, size_bytes: 1 << 40, ..segment(slice) })
        }),
        with(&|slice| slice.offset = u64::MAX),
        with(&|slice| slice.length += 1),
    ];
    for batch in broken {
        assert_eq!(lane.call(add, Some(batch)).failure().kind(), Kind::Protocol);
    }
    assert_eq!(lane.call(add, Some(memory.batch(0))).released, [memory.id]);
}

#[test]
fn forgotten_segments_are_unmapped() {
    let mut engine = Engine::start();
    let add = engine.bind("add", r#"{"amount": 1}"#);
    let mut lane = engine.lane();
    let memory = SharedMemory::with(0, &bytes_of(&numbers(0..10_000)));
    lane.grant = Some(SharedMemory::new(1 << 20));
    lane.call(add, Some(memory.batch(0)));
    let maps = || std::fs::read_to_string(format!("/proc/{}/maps", engine.id())).unwrap();
    let path = memory.path.to_str().unwrap();
    assert!(maps().contains(path), "kept for the next call");
    let mut call =
        wire::Call { call_id: 5, binding_id: add, has_input: true, end: true, ..wire::Call::default() };
    call.batch = Some(inline(&numbers([1])));
    call.forgotten = vec![memory.id];
    lane.send(Sent::Call(call));
    lane.finish();
    assert!(!maps().contains(path));
}

#[test]
fn memory_and_descriptors_do_not_grow() {
    let mut engine = Engine::start();
    let rebuild = engine.bind("rebuild", "");
    let descriptors =
        |engine: &Engine| std::fs::read_dir(format!("/proc/{}/fd", engine.id())).unwrap().count();
    engine.lane().call_inline(rebuild, &numbers(0..100));
    wait_until("the first lane is gone", || descriptors(&engine) <= 16);
    let before = descriptors(&engine);
    for _ in 0..200 {
        engine.lane().call_inline(rebuild, &numbers(0..100));
    }
    wait_until("all lanes are closed", || descriptors(&engine) <= before);
}

#[test]
fn end_of_file_ends_the_process() {
    let mut engine = Engine::start();
    engine.open_counter(r#"{"start": 4}"#, 0.0).unwrap();
    engine.close_stdin();
    assert!(engine.wait().success());
    assert!(!engine.folder.exists());
    assert_eq!(engine.written().1, "counter closed at 4\n");
}

#[test]
fn end_of_file_ends_a_process_that_hangs() {
    let mut engine = Engine::start();
    let hang = engine.bind("hang", "");
    let mut lane = engine.lane();
    lane.begin(hang, Some(inline(&numbers([1]))));
    wait_until("the call is under way", || engine.calls() == 1);
    let begin = Instant::now();
    engine.close_stdin();
    assert!(engine.wait().success());
    assert!(begin.elapsed() < Duration::from_secs(3));
    assert!(!engine.folder.exists());
}

#[test]
fn sigterm_is_like_end_of_file_and_sigint_is_nothing() {
    let mut engine = Engine::start();
    engine.open_counter("{}", 0.0).unwrap();
    engine.signal("INT");
    assert_eq!(engine.calls(), 0);
    assert!(engine.is_running());
    engine.signal("TERM");
    assert!(engine.wait().success());
    assert!(!engine.folder.exists());
    assert_eq!(engine.written().1, "counter closed at 0\n");
}

#[test]
fn drain_waits_for_calls_and_closes_resources() {
    let mut engine = Engine::start();
    let sleep = engine.bind("sleep", r#"{"seconds": 0.3}"#);
    engine.open_counter("{}", 0.0).unwrap();
    let mut lane = engine.lane();
    lane.begin(sleep, Some(inline(&numbers([1]))));
    wait_until("the call is under way", || engine.calls() == 1);
    let drained: wire::DrainResponse = engine.control.ask("Drain", &wire::DrainRequest {});
    assert!(drained.problems.is_empty());
    assert_eq!(lane.finish().table().num_rows(), 1);
    assert!(lane.call_inline(sleep, &numbers([1])).failure().message.contains("drained"));
    engine.close_stdin();
    engine.wait();
    assert_eq!(engine.written().1, "counter closed at 0\n");
}

#[test]
fn by_hand_it_says_what_it_offers() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_conformance")).env_remove("HEDDLE_PLUGIN_FOLDER").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("plugin conformance 1.2.3\n  What every SDK must do.\n"));
    assert!(text.contains("step add { amount: int }\n    {x: int, ..} -> {x: int, y: int, ..}\n"));
}

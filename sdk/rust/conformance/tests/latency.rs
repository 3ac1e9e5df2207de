//! What a call costs, seen from the engine's end of a lane. Run it with `make latency`.

mod engine;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::StringArray;
use heddle_sdk::{Table, wire};
use wire::engine_frame::Kind as Sent;

use engine::{Engine, Lane, SharedMemory, bytes_of, call, inline, numbers};

const WARM_UP: usize = 200;
const CALLS: usize = 3000;
const LARGE_CALLS: usize = 10;
const LARGE_ROWS: i64 = 30_000_000;

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    println!("{what:<44} p50 {:>9.1} µs   p99 {:>9.1} µs", at(0.5), at(0.99));
}

/// Time from the first byte sent until the result is there, decoding apart.
fn measure(lane: &mut Lane, calls: usize, mut frame: impl FnMut() -> wire::Call) -> Vec<Duration> {
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let call = frame();
        let begin = Instant::now();
        lane.send(Sent::Call(call));
        loop {
            let frame = lane.receive().expect("a frame");
            if let Some(wire::plugin_frame::Kind::Result(result)) = frame.kind {
                assert_eq!(result.failure, None);
                break;
            }
        }
        times.push(begin.elapsed());
    }
    times
}

#[test]
#[ignore = "measures, and needs a quiet machine"]
fn latency() {
    let mut engine = Engine::start();
    let mut lane = engine.lane();
    for (step, config) in [("identity", ""), ("add", r#"{"amount": 1}"#), ("rebuild", "")] {
        let binding = engine.bind(step, config);
        for rows in [1, 1000] {
            let batch = inline(&numbers(0..rows));
            measure(&mut lane, WARM_UP, || call(binding, Some(batch.clone())));
            let times = measure(&mut lane, CALLS, || call(binding, Some(batch.clone())));
            report(&format!("{step}, {rows} rows inline"), times);
        }
    }
    let texts = StringArray::from_iter_values((0..LARGE_ROWS / 2).map(|row| format!("text {row}")));
    let texts = Table::from_columns([("text", Arc::new(texts) as _)]).unwrap();
    let (numbers, texts) = (bytes_of(&numbers(0..LARGE_ROWS)), bytes_of(&texts));
    large(
        &mut engine,
        "numbers",
        &numbers,
        &[("identity", ""), ("rebuild", ""), ("add", r#"{"amount": 1}"#)],
    );
    large(&mut engine, "texts", &texts, &[("identity", ""), ("rebuild", "")]);
    let bytes = numbers;
    let mut copy = vec![0_u8; bytes.len()];
    let times = (0..LARGE_CALLS).map(|_| {
        let begin = Instant::now();
        copy.copy_from_slice(std::hint::black_box(&bytes));
        begin.elapsed()
    });
    report(&format!("memcpy of {} MB", bytes.len() >> 20), times.collect());
}

/// Calls with rows in a segment; the output goes into a granted one.
fn large(engine: &mut Engine, what: &str, bytes: &[u8], steps: &[(&str, &str)]) {
    let mut lane = engine.lane();
    let memory = SharedMemory::with(0, bytes);
    let granted = SharedMemory::new(bytes.len() + 4096);
    for (step, config) in steps {
        let binding = engine.bind(step, config);
        let prepare = || {
            let mut call = call(binding, Some(memory.batch(0)));
            call.grant = Some(wire::Grant { segment: Some(granted.segment()) });
            call
        };
        measure(&mut lane, 2, prepare);
        let times = measure(&mut lane, LARGE_CALLS, prepare);
        report(&format!("{step}, {} MB of {what} in a segment", bytes.len() >> 20), times);
    }
}

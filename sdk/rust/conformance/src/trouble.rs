//! Steps that fail, wait, end the process, and tell.

use std::process;
use std::thread;
use std::time::{Duration, Instant};

use heddle_sdk::{Call, Config, Error, Plugin, Result, Step, Table};

use crate::PlainCall;

const CANCEL_CHECK: Duration = Duration::from_millis(10);

#[derive(Config)]
struct Fail {
    message: String,
    #[config(default = false)]
    transient: bool,
}

#[derive(Config)]
struct Sleep {
    seconds: f64,
}

#[derive(Config)]
struct Log {
    message: String,
}

#[derive(Config)]
struct Grow {
    mebibytes: usize,
}

/// Adds these steps.
pub fn register(plugin: Plugin) -> Plugin {
    plugin
        .step(Step::table("fail", fail))
        .step(Step::table("crash", crash))
        .step(Step::map("sleep", sleep).deterministic(true))
        .step(Step::map("hang", hang))
        .step(Step::map("log", log))
        .step(Step::table("grow", grow))
}

fn fail(_: Table, call: Call<Fail>) -> Result<Table> {
    let error = Error::new("ConformanceError", call.config().message.clone());
    Err(if call.config().transient { error.transient() } else { error })
}

fn crash(_: Table, _: PlainCall) -> Result<Table> {
    process::exit(3)
}

fn sleep(input: Table, call: Call<Sleep>) -> Result<Table> {
    let begin = Instant::now();
    let time = Duration::try_from_secs_f64(call.config().seconds)?;
    while begin.elapsed() < time {
        call.cancellation().check()?;
        thread::sleep(CANCEL_CHECK.min(time.saturating_sub(begin.elapsed())));
    }
    Ok(input)
}

fn hang(_: Table, _: PlainCall) -> Result<Table> {
    loop {
        thread::park();
    }
}

fn log(input: Table, call: Call<Log>) -> Result<Table> {
    let message = &call.config().message;
    let rows = input.num_rows();
    let context = call.context();
    let key = context.idempotency_key.as_deref().unwrap_or_default();
    call.info(message, &[("rows", &rows), ("step", &context.step), ("key", &key)]);
    println!("out: {message}");
    eprintln!("err: {message}");
    call.progress(rows as u64, rows as u64, "");
    call.metric("seen", rows as f64, "rows");
    Ok(input)
}

fn grow(input: Table, call: Call<Grow>) -> Result<Table> {
    let mut memory = vec![0_u8; call.config().mebibytes << 20];
    for byte in memory.iter_mut().step_by(1024) {
        *byte = 1;
    }
    std::hint::black_box(&memory);
    Ok(input)
}

//! What every SDK must do, in Rust: `tests/conformance/README.md` says what each step is.

mod counter;
mod rows;
mod sources;
mod trouble;

use std::process::ExitCode;

use heddle_sdk::{Call, Plugin, Step};

use counter::Counter;

fn main() -> ExitCode {
    let plugin = Plugin::new("conformance")
        .version("1.2.3")
        .doc("What every SDK must do.")
        .environment(["CONFORMANCE_REGION"])
        .resource::<Counter>();
    let plugin = trouble::register(sources::register(rows::register(plugin)));
    plugin
        .step(Step::sink("sink", counter::sink).slot::<Counter>("counter"))
        .step(Step::source("count", counter::count).slot::<Counter>("counter").output::<counter::Count>())
        .step(Step::<()>::declared("declared"))
        .serve()
}

/// A call without settings.
type PlainCall = Call<()>;

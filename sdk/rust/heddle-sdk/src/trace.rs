//! The door between this crate and user code: panics become errors, and stack traces show user code only.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::error::{Error, Result};

thread_local! {
    static IN_USER_CODE: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

struct Panic {
    place: String,
    backtrace: Backtrace,
}

/// Calls user code; a panic in it is an error of the type `panic`.
pub(crate) fn guarded<T>(user_code: impl FnOnce() -> Result<T>) -> Result<T> {
    watch_panics();
    let outer = IN_USER_CODE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(|| heddle_user_code(user_code)));
    IN_USER_CODE.set(outer);
    result.unwrap_or_else(|payload| Err(panic_error(payload.as_ref())))
}

/// The name of this frame marks where user code begins in a stack trace.
#[inline(never)]
fn heddle_user_code<T>(user_code: impl FnOnce() -> Result<T>) -> Result<T> {
    std::hint::black_box(user_code())
}

/// Keeps the place and the backtrace of a panic in user code instead of printing them; other panics go to
/// the hook that was there before.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            if IN_USER_CODE.get() {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                let backtrace = Backtrace::force_capture();
                PANIC.set(Some(Panic { place, backtrace }));
            } else {
                previous(info);
            }
        }));
    });
}

fn panic_error(payload: &(dyn Any + Send)) -> Error {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned());
    let Some(Panic { place, backtrace }) = PANIC.take() else {
        return Error::panic(message, String::new());
    };
    let stack_trace = format!("at {place}\n{}", of_user_code(&backtrace.to_string()));
    Error::panic(message, stack_trace)
}

/// The frames between the error or panic and the call of user code, from the text of a [`Backtrace`].
pub(crate) fn of_user_code(backtrace: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut in_machinery = true;
    for line in backtrace.lines() {
        if is_frame(line) {
            if line.contains("heddle_user_code") {
                break;
            }
            in_machinery = lines.is_empty() && is_machinery(line);
        }
        if !in_machinery {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// Frames begin with their number; the lines below say where they are.
fn is_frame(line: &str) -> bool {
    line.trim_start().starts_with(|c: char| c.is_ascii_digit())
}

fn is_machinery(frame: &str) -> bool {
    const MACHINERY: [&str; 7] = [
        "backtrace",
        "heddle_sdk::",
        "std::panicking",
        "core::panicking",
        "rust_begin_unwind",
        "__rustc",
        "core::convert",
    ];
    const RESULTS: [&str; 2] = ["core::result", "core::option"];
    MACHINERY.iter().chain(&RESULTS).any(|name| frame.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_place() {
        let error = guarded::<()>(|| panic!("no {}", "luck")).unwrap_err();
        assert_eq!(error.error_type(), "panic");
        assert_eq!(error.message(), "no luck");
        assert!(error.stack_trace().starts_with("at heddle-sdk/src/trace.rs:"));
    }

    #[test]
    fn a_trace_ends_where_user_code_begins() {
        let trace = of_user_code(
            "   0: std::backtrace::Backtrace::force_capture\n   1: heddle_sdk::error::Error::new\n             \
             at x.rs:1\n   2: mine::step\n             at mine.rs:2\n   3: heddle_sdk::trace::heddle_user_code\n   4: main",
        );
        assert_eq!(trace, "   2: mine::step\n             at mine.rs:2");
    }
}

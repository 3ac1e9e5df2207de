//! What a step or a resource answers when it fails.

use std::backtrace::Backtrace;
use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::trace;
use crate::wire;

/// The result of user code.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error type of a call that ended because it was cancelled.
pub(crate) const CANCELLED: &str = "CancelledError";

/// Why a call failed: a message in plain words, the name of the error's type, and whether another attempt
/// may succeed.
///
/// `?` turns any standard error into one: its type's name becomes the error type, its sources are part of the
/// message, and connection errors and time-outs of [`std::io::Error`] are transient.
///
/// ```
/// use heddle_sdk::Error;
///
/// let error = Error::new("RateLimited", "the service asks for a pause").transient();
/// assert!(error.is_transient());
/// ```
pub struct Error(Box<Parts>);

struct Parts {
    kind: wire::failure::Kind,
    error_type: String,
    message: String,
    transient: bool,
    trace: Trace,
}

enum Trace {
    Captured(Backtrace),
    Text(String),
    None,
}

impl Error {
    /// `error_type` is the name that handlers of a program see, such as `NotFound`; `message` is one sentence.
    #[must_use]
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self::with_trace(
            wire::failure::Kind::Step,
            error_type.into(),
            message.into(),
            Trace::Captured(Backtrace::force_capture()),
        )
    }

    /// Marks the error as one where another attempt may succeed.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.0.transient = true;
        self
    }

    /// Settings that do not fit: `message` names the setting.
    #[must_use]
    pub fn config(message: impl Into<String>) -> Self {
        Self::plain(wire::failure::Kind::Config, "ConfigError", message)
    }

    /// The call ended because it was cancelled.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::plain(wire::failure::Kind::Cancelled, CANCELLED, "the call was cancelled")
    }

    /// The error type's name.
    #[must_use]
    pub fn error_type(&self) -> &str {
        &self.0.error_type
    }

    /// The message, without the error type.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether another attempt may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// Whether settings were refused.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.0.kind == wire::failure::Kind::Config
    }

    /// Whether the call ended because it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.kind == wire::failure::Kind::Cancelled
    }

    /// Where user code failed, innermost call first; empty where it is not known.
    #[must_use]
    pub fn stack_trace(&self) -> String {
        match &self.0.trace {
            Trace::Captured(backtrace) => trace::of_user_code(&backtrace.to_string()),
            Trace::Text(text) => text.clone(),
            Trace::None => String::new(),
        }
    }

    pub(crate) fn plain(kind: wire::failure::Kind, error_type: &str, message: impl Into<String>) -> Self {
        Self::with_trace(kind, error_type.to_owned(), message.into(), Trace::None)
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::plain(wire::failure::Kind::Protocol, "ProtocolViolation", message)
    }

    /// This error, as the end of a call that was cancelled.
    pub(crate) fn of_cancelled_call(mut self) -> Self {
        self.0.kind = wire::failure::Kind::Cancelled;
        self
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::plain(wire::failure::Kind::Expired, "ResourceExpired", message)
    }

    /// What the contract of a step forbids, such as a column that it did not return.
    pub(crate) fn contract(message: impl Into<String>) -> Self {
        Self::plain(wire::failure::Kind::Step, "StepContractError", message)
    }

    pub(crate) fn panic(message: String, stack_trace: String) -> Self {
        let trace = Trace::Text(stack_trace);
        Self::with_trace(wire::failure::Kind::Step, "panic".to_owned(), message, trace)
    }

    pub(crate) fn into_failure(self) -> wire::Failure {
        let stack_trace = self.stack_trace();
        let Parts { kind, error_type, message, transient, .. } = *self.0;
        wire::Failure {
            kind: kind.into(),
            message: crate::text::clipped(message),
            error_type,
            stack_trace: crate::text::clipped(stack_trace),
            transient,
        }
    }

    fn with_trace(kind: wire::failure::Kind, error_type: String, message: String, trace: Trace) -> Self {
        Self(Box::new(Parts { kind, error_type, message, transient: false, trace }))
    }
}

impl<E> From<E> for Error
where
    E: StdError + 'static,
{
    fn from(error: E) -> Self {
        let mut result = Self::new(short_type_name::<E>(), with_sources(&error));
        result.0.transient = causes(&error).any(is_connection_error);
        result
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.0.error_type, self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// `std::num::ParseIntError` -> `ParseIntError`, `Wrapped<a::B>` -> `Wrapped<B>`.
fn short_type_name<T>() -> String {
    let full = std::any::type_name::<T>();
    let parts = full.split_inclusive(['<', '>', ',', ' ', '(', ')', '&']);
    parts.map(|part| part.rsplit_once("::").map_or(part, |(_, name)| name)).collect()
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The messages of an error and of its sources; a source whose text is in the message already is left out.
fn with_sources(error: &(dyn StdError + 'static)) -> String {
    let mut message = error.to_string();
    for source in causes(error).skip(1) {
        let text = source.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
    }
    message
}

fn is_connection_error(error: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind as Kind;
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            Kind::ConnectionRefused
                | Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::NotConnected
                | Kind::BrokenPipe
                | Kind::TimedOut
                | Kind::HostUnreachable
                | Kind::NetworkUnreachable
                | Kind::NetworkDown
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_error_keeps_its_name_and_text() {
        let error = Error::from("x".parse::<i64>().unwrap_err());
        assert_eq!(error.error_type(), "ParseIntError");
        assert_eq!(error.message(), "invalid digit found in string");
        assert!(!error.is_transient());
    }

    #[test]
    fn connection_errors_are_transient() {
        let error = Error::from(io::Error::new(io::ErrorKind::ConnectionRefused, "refused"));
        assert!(error.is_transient());
        assert!(!Error::from(io::Error::new(io::ErrorKind::NotFound, "gone")).is_transient());
    }

    #[test]
    fn a_failure_carries_all_parts() {
        let failure = Error::new("NotFound", "no such order").transient().into_failure();
        assert_eq!(failure.error_type, "NotFound");
        assert_eq!(failure.message, "no such order");
        assert!(failure.transient);
    }
}

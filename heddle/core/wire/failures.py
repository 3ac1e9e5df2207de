"""Failures of user code on the wire."""

from __future__ import annotations

from typing import Final

from heddle.core.failure import FailureKind, StepError
from heddle.core.wire.plugin_pb2 import Failure

TEXT_CHARS_MAX: Final = 64 << 10
"""Of a message, and of a stack trace, whose end is kept."""

_KINDS: Final[dict[FailureKind, Failure.Kind]] = {
    "step": Failure.STEP,
    "config": Failure.CONFIG,
    "unsupported": Failure.UNSUPPORTED,
    "cancelled": Failure.CANCELLED,
    "expired": Failure.EXPIRED,
    "protocol": Failure.PROTOCOL,
}
_NAMES: Final = {number: name for name, number in _KINDS.items()}


def encode_failure(error: StepError) -> Failure:
    return Failure(
        kind=_KINDS[error.kind],
        message=wire_text(error.message)[:TEXT_CHARS_MAX],
        error_type=wire_text(error.error_type),
        stack_trace=wire_text(error.stack_trace)[-TEXT_CHARS_MAX:],
        transient=error.transient,
    )


def decode_failure(failure: Failure) -> StepError:
    """A kind that is not known here is a failure of the step."""
    return StepError(
        _NAMES.get(failure.kind, "step"),
        failure.message,
        failure.error_type or "Error",
        failure.stack_trace,
        transient=failure.transient,
    )


def wire_text(text: str) -> str:
    """Text without lone surrogates, which Python allows (in file names) and UTF-8 does not."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()

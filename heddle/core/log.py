"""Python's logging -> the reports of a call."""

from __future__ import annotations

import logging
from typing import Final

from heddle.core.failure import stack_trace_of
from heddle.core.report import StepLogged, Tell

_STANDARD: Final = frozenset(
    (*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message")
)


def call_logger(name: str, tell: Tell) -> logging.Logger:
    """A logger of one call's own, which tells everything that is logged."""
    logger = logging.Logger(name)
    logger.addHandler(TellHandler(tell))
    return logger


class TellHandler(logging.Handler):
    """Turns each record into a `StepLogged`; what `extra` gave becomes its fields."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        try:
            told = logged(record)
        except Exception:  # the arguments do not fit the message's %-signs: logging shows where
            self.handleError(record)
            return
        self._tell(told)


def logged(record: logging.LogRecord) -> StepLogged:
    fields = {key: str(value) for key, value in vars(record).items() if key not in _STANDARD}
    if record.exc_info and record.exc_info[1] is not None:
        fields["stack_trace"] = stack_trace_of(record.exc_info[1])
    return StepLogged(_level(record.levelno), record.getMessage(), fields)


def _level(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"

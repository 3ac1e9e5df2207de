"""Where a plugin process's log lines go: over the lane of the call that logs, else to stderr."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar

from heddle.core.log import logged
from heddle.core.report import StepLogged, Tell

CURRENT: ContextVar[Tell | None] = ContextVar("heddle_call", default=None)
"""What the call of this thread tells, while one is under way."""


class CallOrStderr(logging.Handler):
    """The root handler of a plugin process."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = logged(record)
        except Exception:  # the arguments do not fit the message's %-signs: logging shows where
            self.handleError(record)
            return
        tell = CURRENT.get()
        if tell is not None:
            tell(line)
        else:
            to_stderr(line)


def to_stderr(line: StepLogged) -> None:
    fields = "".join(f" {name}={value}" for name, value in line.fields.items() if name != "stack_trace")
    trace = line.fields.get("stack_trace", "")
    sys.stderr.write(f"{line.level}: {line.message}{fields}\n{trace}")

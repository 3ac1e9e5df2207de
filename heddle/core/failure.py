"""What user code raises, as data: `StepError` carries what a user needs of an exception.

`failure_of` makes one of any exception, with the stack trace of the user's own frames.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from heddle.core.step import Transient
from heddle.core.table import TableError

FailureKind: TypeAlias = Literal["step", "config", "unsupported", "cancelled", "expired", "protocol"]
"""User code failed; the settings were refused; declared without a body; ended because it was cancelled; a
resource's lease ran out; the engine sent what it must not send."""

CONTRACT: Final = "ContractError"
"""The error type of a step that returned what it must not return."""

_PACKAGES: Final = Path(__file__).parents[2]
_CONNECTORS: Final = f"{_PACKAGES / 'fhub'}/"
_OWN_FOLDERS: Final = (f"{_PACKAGES / 'heddle'}/", _CONNECTORS)


class StepError(Exception):
    """A failure of user code. `error_type` is the exception's class name; `transient` says that another
    attempt may succeed."""

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        error_type: str,
        stack_trace: str = "",
        *,
        transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.message = message
        self.error_type = error_type
        self.stack_trace = stack_trace
        self.transient = transient


def contract_error(message: str) -> StepError:
    """A step returned what its signature does not allow."""
    return StepError("step", message, CONTRACT)


def failure_of(error: BaseException, kind: FailureKind = "step", prefix: str = "") -> StepError:
    """The failure that an exception of user code is; a `StepError` is one already."""
    if isinstance(error, StepError):
        return error
    if isinstance(error, TableError):
        return contract_error(f"{prefix}{error}")
    name = type(error).__name__
    message = text_of(error) or name
    if isinstance(error, SystemExit):
        message = f"it called sys.exit({error.code!r})"
    return StepError(kind, f"{prefix}{message}", name, stack_trace_of(error), transient=is_transient(error))


def text_of(error: BaseException) -> str:
    """What the exception says of itself, however badly its class is written."""
    try:
        return str(error)
    except Exception as broken:
        return f"its message cannot be shown, because its __str__ raises {type(broken).__name__}"


def is_transient(error: BaseException) -> bool:
    """Whether another attempt may succeed: connection errors, time-outs, and what is marked so."""
    marked = getattr(error, "transient", False) is True
    return marked or isinstance(error, Transient | ConnectionError | TimeoutError)


def stack_trace_of(error: BaseException) -> str:
    """The stack trace without the frames of Heddle and its connectors, causes included. It is empty for what
    a connector says, unless code of the user's is in between: the libraries below are not the user's."""
    summary = traceback.TracebackException.from_exception(error)
    pending: list[Any] = [summary]
    left: list[str] = []
    of_connector = False
    while pending:
        current = pending.pop()
        of_connector = of_connector or any(f.filename.startswith(_CONNECTORS) for f in current.stack)
        user = [frame for frame in current.stack if not frame.filename.startswith(_OWN_FOLDERS)]
        left += [frame.filename for frame in user]
        current.stack = traceback.StackSummary.from_list(user)
        pending += [part for part in (current.__cause__, current.__context__) if part is not None]
        pending += getattr(current, "exceptions", None) or ()
    if of_connector and all(map(_is_library, left)):
        return ""
    return "".join(summary.format())


def _is_library(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package. Compiled modules name theirs without its
    folder."""
    import sysconfig

    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return not file.startswith("/") or file.startswith(tuple(f"{folder}/" for folder in folders))

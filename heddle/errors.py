"""The tree of operating failures: what the engine raises when a program is right and the world is not.

    HeddleError                 exit code 1: the program's data or code failed
    ├── ProgramError            exit code 2: the program has diagnostics
    ├── UsageError              exit code 2: a command's arguments are wrong
    ├── ServiceUnavailable      exit code 3: a service cannot be reached
    ├── StageError              a stage failed; names stage, step and attempt
    └── Cancelled               exit code 130: interrupted

A user's mistake in a program is a `Diagnostic`, not an exception; `ProgramError` only carries them
out of a front door. Messages never hold secrets.
"""

from __future__ import annotations

from collections.abc import Sequence

from heddle.diagnostics import Diagnostic


class HeddleError(Exception):
    """`message` says what failed and where, `help` how to go on. The cause is `__cause__`."""

    exit_code = 1

    def __init__(self, message: str, *, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


class ProgramError(HeddleError):
    exit_code = 2

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        first = next((d for d in diagnostics if d.severity == "error"), None)
        super().__init__(first.message if first else "the program has diagnostics")
        self.diagnostics = tuple(diagnostics)


class UsageError(HeddleError):
    exit_code = 2


class ServiceUnavailable(HeddleError):
    exit_code = 3


class StageError(HeddleError):
    """A stage of a run failed. `stage` is its stable path, `step` what the program calls it."""

    def __init__(
        self,
        message: str,
        *,
        stage: str,
        step: str,
        error_type: str,
        stack_trace: str = "",
        attempt: int = 1,
        help: str | None = None,
    ) -> None:
        super().__init__(message, help=help)
        self.stage = stage
        self.step = step
        self.error_type = error_type
        self.stack_trace = stack_trace
        self.attempt = attempt


class Cancelled(HeddleError):
    exit_code = 130

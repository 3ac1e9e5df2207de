"""What an engine says when it fails, in Heddle's words and at the program's place.

DataFusion raises bare `Exception` with a text, DuckDB many types; `engine_errors` is the only place that
catches them, and `stage_error` translates the text. The cause stays attached for `HEDDLE_DEBUG`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from heddle.diagnostics import did_you_mean
from heddle.errors import HeddleError, StageError
from heddle.logical.plan import Fragment
from heddle.physical.channel import ChannelClosed
from heddle.physical.failures import StageFailed
from heddle.physical.inputs import FileBinding

_NO_MEMORY: Final = r"Resources exhausted|Out of Memory Error"
_NO_DISK: Final = r"No space left on device|File too large|max_temp_directory_size"
_EXHAUSTED: Final = f"{_NO_MEMORY}|{_NO_DISK}"


class EngineError(Exception):
    """A failure inside an engine; the message is its own text."""


class Surroundings(Protocol):
    """What a failure is told with, such as a `RunEnvironment`."""

    @property
    def memory_bytes(self) -> int: ...

    @property
    def base(self) -> Path: ...

    def masked(self, text: str) -> str: ...


@contextmanager
def engine_errors() -> Iterator[None]:
    try:
        yield
    except (StageFailed, ChannelClosed, EngineError, HeddleError):
        raise
    except Exception as error:  # the engines share no narrower type
        raise EngineError(str(error)) from error
    except BaseException as error:
        from heddle.core.panics import is_panic

        if not is_panic(error):
            raise
        raise EngineError(str(error)) from error


def is_exhausted(error: EngineError) -> bool:
    """Whether memory or disk ran out, so that another try would fare no better."""
    return re.search(_EXHAUSTED, str(error)) is not None


def stage_error(
    error: EngineError, fragment: Fragment, files: Iterable[FileBinding], env: Surroundings
) -> StageError:
    """The failure of a fragment that reads `files`."""
    text = str(error)
    message, help_text, kind = explain(text, env.memory_bytes)
    if kind == "BadFile":
        from heddle.std.locate import locate

        places = (locate(text, file.step, file.config, env.base) for file in files)
        place = next((p for p in places if p is not None), None)
        if place is not None and place not in message:
            message = f"{place}: {message}"
    return StageError(
        env.masked(message), stage=fragment.path, step=fragment.path, error_type=kind, help=help_text
    )


def explain(text: str, memory_bytes: int) -> tuple[str, str | None, str]:
    """(message, help, error type) for an engine's text."""
    if re.search(_NO_MEMORY, text):
        budget = f"{memory_bytes / 1e9:.1f} GB" if memory_bytes >= 1e9 else f"{memory_bytes / 1e6:.0f} MB"
        message = f"the query needs more memory than the run's budget of {budget} leaves it"
        return (
            message,
            "give the run more with --memory, or filter and select earlier",
            "OutOfMemory",
        )
    from heddle.std.reader_errors import explain_error

    from_reader = explain_error(text)
    if from_reader is not None:
        return from_reader[0], from_reader[1], "BadFile"
    for pattern, translate in _TRANSLATIONS:
        if found := re.search(pattern, text):
            return translate(found)
    return f"the query failed: {_innermost(text)}", None, "QueryError"


Translation = Callable[[re.Match[str]], tuple[str, str | None, str]]


def _missing_column(found: re.Match[str]) -> tuple[str, str | None, str]:
    name = found["name"].split(".")[-1].strip('"')
    known = [part.split(".")[-1].strip("\"' ") for part in (found["known"] or "").rstrip(".").split(",")]
    known = [part for part in known if part]
    near = did_you_mean(name, known)
    hint = f"did you mean `{near}`?" if near else f"it has: {', '.join(known)}" if known else None
    return f"the data has no column `{name}`", hint, "MissingColumn"


_TRANSLATIONS: Final[tuple[tuple[str, Translation], ...]] = (
    (
        r"^offset overflow",
        lambda _: (
            "the texts of a column are longer than 2 GB in one batch",
            "make them shorter: a batch has up to 65,536 rows",
            "TooLong",
        ),
    ),
    (
        r"(?i)Divide by zero",
        lambda _: (
            "a division by zero",
            "filter the zeros out, or use `case [d != 0 => n / d]`",
            "DivideByZero",
        ),
    ),
    (
        r"(?m)No field named (?P<name>\S+?)\.(?:\s+Valid fields are (?P<known>.*))?$",
        _missing_column,
    ),
    (
        r"(?:Cannot cast|Could not convert) string '(?P<value>.*?)' to (?:value of )?(?P<type>\w+)",
        lambda m: (
            f"the text '{m['value']}' is not a value of type {m['type']}",
            None,
            "CastError",
        ),
    ),
    (
        r"(?i)(?:Overflow happened on|Arithmetic overflow|Out of Range Error): (?P<what>.*)",
        lambda m: (
            f"a number got too big for its type: {m['what']}",
            "cast to float or decimal first",
            "Overflow",
        ),
    ),
    (
        _NO_DISK,
        lambda _: (
            "no space is left for temporary files",
            "free space or set TMPDIR to a larger disk",
            "DiskFull",
        ),
    ),
)

_WRAPPING = r"^(?:DataFusion error: |Arrow error: |External error: |Execution error: |\w+: (?=\w+ error: ))+"


def _innermost(text: str) -> str:
    """The text without the layers of prefixes that say which library spoke."""
    last = text.strip().splitlines()[-1] if text.strip() else "no reason was given"
    return re.sub(_WRAPPING, "", last)

"""What a step tells while it works: log lines, progress, numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Final, Literal, TypeAlias

from heddle.core.config import ConfigValue
from heddle.core.record import record

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: Final[tuple[LogLevel, ...]] = ("debug", "info", "warning", "error")


@record(frozen=True, slots=True)
class StepLogged:
    """A line that a step logged; `level` is one of `LOG_LEVELS`."""

    level: str
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)


@record(frozen=True, slots=True)
class StepProgressed:
    """How far a call is, as the step says; `rows_total` is None when it does not know."""

    rows_done: int
    rows_total: int | None
    message: str


@record(frozen=True, slots=True)
class StepMeasured:
    """A number that a step reported."""

    name: str
    value: float
    unit: str


@record(frozen=True, slots=True)
class StepAnswered:
    """What a step answered to what it was asked beside its rows."""

    answer: ConfigValue


StepReport: TypeAlias = StepLogged | StepProgressed | StepMeasured | StepAnswered
Tell: TypeAlias = Callable[[StepReport], None]
"""Called from any thread."""

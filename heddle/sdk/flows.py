"""Sinks that write all or nothing, and sources that go on: what a `Plugin.writer` and a `Plugin.stream` give.

A writer's rows become visible together; a stream's rows come in turns, and count as read when it is told so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final, TypeAlias

from heddle.core.config import ConfigValue
from heddle.core.step import StepContext
from heddle.core.table import Table

LOOKUP_KEY: Final = "@key"
"""The column that a lookup adds to its rows: the number, in its input, of the row they belong to."""

Position: TypeAlias = dict[str, ConfigValue]
"""How far a stream was read, as JSON; its form is the stream's own business."""


class Writer(ABC):
    """One sink of one run, or of one turn of it; calls come one after the other."""

    @abstractmethod
    def write(self, table: Table, context: StepContext) -> None:
        """Take the next rows. Nobody should see them before `commit`, where the service can do that."""

    @abstractmethod
    def commit(self) -> None:
        """All that could fail in the run has succeeded: make the rows visible. Nothing follows."""

    @abstractmethod
    def abort(self) -> None:
        """Undo what was written. Nothing follows. Called also after a `commit` that failed."""


class Stream(ABC):
    """One source of one run; calls come one after the other."""

    @abstractmethod
    def read(self, context: StepContext) -> Iterator[Table]:
        """The rows of one turn: up to `context.turn.max_rows`, or what comes within `max_wait_s` of the
        call; fewer when it is known that no more will come in this turn. `context.columns` are the columns
        to give, when they are known. What cannot be made rows goes to `context.reject_records`."""

    @abstractmethod
    def position(self) -> Position:
        """Where the next turn begins: behind everything that `read` gave and rejected so far."""

    @abstractmethod
    def commit(self, position: Position) -> None:
        """What was read up to `position` has been processed; another run of the program begins there."""

    @property
    def ended(self) -> bool:
        """Whether there will be no more rows."""
        return False

    def lag(self) -> int | None:
        """How many rows wait to be read, as far as that is known."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Give back what the stream holds. Called once, when the run ends."""

"""What is known beforehand about sizes and costs. Planning does no IO: who runs plans supplies it."""

from __future__ import annotations

from typing import Protocol

from heddle.logical.plan import Scan, Step


class Estimates(Protocol):
    def rows(self, scan: Scan) -> int | None:
        """How many rows the files have; None where only reading them tells."""
        ...

    def bounds(self, scan: Scan, column: str) -> tuple[float, float] | None:
        """The smallest and the largest value of a column of numbers, where the files say."""
        ...

    def step_ns(self, step: Step) -> float | None:
        """What the step took for a row, in nanoseconds, where it ran before."""
        ...

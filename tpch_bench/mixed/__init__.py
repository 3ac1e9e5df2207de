"""Three pipelines of query, Python, query: as Heddle programs, and by hand with DuckDB and with Polars.

`margin` sends many rows through a vectorized row-wise step, `tone` reads texts row by row in Python, and
`forecast` gives one whole table to a step. The Python in the middle is the same for every side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A program and the named output that holds the answer."""

    name: str
    output: str

    @property
    def program(self) -> Path:
        return HERE / f"{self.name}.he"


PIPELINES: Final = (
    Pipeline("margin", "earned_by_brand"),
    Pipeline("tone", "unfriendly_markets"),
    Pipeline("forecast", "expected_by_region"),
)

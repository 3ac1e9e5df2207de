"""What an engine knows before a run: what Parquet files say of themselves, and what steps took before."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from heddle.core.config import ConfigValue
from heddle.logical.plan import Scan, Step
from heddle.physical.step_costs import STEP_COSTS
from heddle.std.readers import ReaderError, plain_parquet

FILES_MAX: Final = 64
"""More footers are not read for an estimate."""
RANGES_MIN: Final = 4
RISING_SHARE_MIN: Final = 0.9
"""Parts of files, each of which begins where the one before ends or later, tell that a column rises."""


class FileEstimates:
    """For the plans of one program; relative paths are below `base`. Each footer is read once."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._footers = cache(self._read)

    def rows(self, scan: Scan) -> int | None:
        footers = self._footers_of(scan)
        return None if footers is None else sum(footer.num_rows for footer in footers)

    def bounds(self, scan: Scan, column: str) -> tuple[float, float] | None:
        found = [_bounds(footer, column) for footer in self._footers_of(scan) or ()]
        known = [bounds for bounds in found if bounds is not None]
        if not known or len(known) < len(found):
            return None
        return min(low for low, _ in known), max(high for _, high in known)

    def ascends(self, scan: Scan, column: str) -> bool:
        """Whether a column rises with the rows, as far as parts of files tell: times of events mostly do."""
        ranges = [r for footer in self._footers_of(scan) or () for r in _ranges(footer, column)]
        known = [r for r in ranges if r is not None]
        if len(known) < len(ranges) or len(known) < RANGES_MIN:
            return False
        rising = sum(bool(low >= high) for (_, high), (low, _) in pairwise(known))
        return rising >= RISING_SHARE_MIN * (len(known) - 1)

    def step_ns(self, step: Step) -> float | None:
        return STEP_COSTS.row_ns(step.call)

    def _footers_of(self, scan: Scan) -> tuple[pq.FileMetaData, ...] | None:
        config: dict[str, ConfigValue] = {}
        for key, value in scan.config.items():
            if isinstance(value, str):
                config[key] = value
            elif value is not None:
                return None  # only a run resolves it, or it lays other columns over the files
        return self._footers(scan.step, tuple(config.items()))

    def _read(
        self, step: str, config: tuple[tuple[str, ConfigValue], ...]
    ) -> tuple[pq.FileMetaData, ...] | None:
        try:
            files = plain_parquet(step, dict(config), self._base)
            if files is None or len(files) > FILES_MAX:
                return None
            return tuple(pq.read_metadata(file) for file in files)
        except (ReaderError, OSError, pa.ArrowInvalid):
            return None  # the run says what is wrong with the files


def _ranges(footer: pq.FileMetaData, column: str) -> Iterator[tuple[Any, Any] | None]:
    """The smallest and the largest value in each row group, where it says."""
    for group in range(footer.num_row_groups):
        of_group = footer.row_group(group)
        for index in range(of_group.num_columns):
            chunk = of_group.column(index)
            if chunk.path_in_schema == column:
                statistics = chunk.statistics
                there = statistics is not None and statistics.has_min_max
                yield (statistics.min, statistics.max) if there else None


def _bounds(footer: pq.FileMetaData, column: str) -> tuple[float, float] | None:
    """Of a column of numbers, when each row group has them."""
    ranges = list(_ranges(footer, column))
    known = [r for r in ranges if r is not None and _is_number(r[0])]
    if not known or len(known) < len(ranges):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""The Python in the middle of the pipelines: plain functions on Arrow, the same for every side."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

TONES: Final = {
    "bold": 1.0,
    "careful": 0.5,
    "express": 0.5,
    "final": 0.25,
    "regular": 0.25,
    "pending": -0.25,
    "silent": -0.25,
    "ironic": -0.5,
    "special": -0.5,
    "unusual": -1.0,
}

NEXT_MONTHS: Final = 3
SEASON: Final = 12


def margin(price: pa.ChunkedArray, discount: pa.ChunkedArray, days: pa.ChunkedArray) -> pa.Array:
    """What is left of a line's price: goods age on their way, and a discount raises demand."""
    net = price.to_numpy() * (1.0 - discount.to_numpy())
    demand = 1.0 / (1.0 + np.exp(-20.0 * (discount.to_numpy() - 0.05)))
    spoiled = -np.expm1(-0.002 * days.to_numpy())
    return pa.array(net * (0.6 + 0.3 * demand - spoiled))


def tone(comments: pa.ChunkedArray) -> pa.Array:
    """How friendly a text is, from -1 to 1: the mean tone of the words that have one."""
    return pa.array([_tone(comment) for comment in comments.to_pylist()], pa.float64())


def _tone(comment: str) -> float:
    found = [TONES[word] for word in comment.split() if word in TONES]
    return sum(found) / len(found) if found else 0.0


def forecast(months: pa.Table) -> pa.Table:
    """The next months' revenue by nation: a straight line and the mean distance from it at that time of year.

    Takes `nation`, `month` (counted from 0) and `revenue`, one row for each month; gives `nation`,
    `grows_by` (a month) and `expected`, the sum over the next months.
    """
    ordered = months.sort_by([("nation", "ascending"), ("month", "ascending")])
    nations, starts = np.unique(ordered["nation"].to_numpy(zero_copy_only=False), return_index=True)
    month = np.split(ordered["month"].to_numpy(), starts[1:])
    revenue = np.split(ordered["revenue"].to_numpy(), starts[1:])
    fits = [_fit(x, y) for x, y in zip(month, revenue, strict=True)]
    return pa.table(
        {
            "nation": pa.array(nations.tolist(), pa.string()),
            "grows_by": [slope for slope, _ in fits],
            "expected": [expected for _, expected in fits],
        }
    )


def _fit(month: np.ndarray, revenue: np.ndarray) -> tuple[float, float]:
    slope, start = np.polyfit(month, revenue, 1)
    distance = revenue - (start + slope * month)
    expected = 0.0
    for ahead in range(month[-1] + 1, month[-1] + 1 + NEXT_MONTHS):
        same_time_of_year = distance[month % SEASON == ahead % SEASON]
        expected += start + slope * ahead + same_time_of_year.mean()
    return float(slope), float(expected)

"""Durations as programs and command lines write them: "200ms", "30s", "5m", "1h"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

UNITS_S: Final[Mapping[str, float]] = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
DURATION_HELP: Final = 'a duration is written like "200ms", "30s", "5m" or "1h"'


def duration_s(text: str) -> float | None:
    """The seconds of a duration; None when the text is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)", text.strip())
    return float(found[1]) * UNITS_S[found[2]] if found is not None else None

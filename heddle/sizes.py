"""Amounts of memory as people write them: "2GB", "512 MiB"."""

from __future__ import annotations

import re

SIZE_HELP = "write a number and a unit: `512MB`, `2GB`, `1.5GiB`"

_SIZE = r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*"
_KILO = 1000
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(text: str) -> int | None:
    """Bytes; units are powers of 1000 (`GB`) or 1024 (`GiB`). None for anything else, and for zero."""
    found = re.fullmatch(_SIZE, text, re.IGNORECASE)
    if found is None or (found[3] and not found[2]):
        return None
    size_bytes = int(float(found[1]) * (1024 if found[3] else _KILO) ** _POWERS[found[2].lower()])
    return size_bytes or None


def size_text(size_bytes: int) -> str:
    """The other direction, for people: "1.5 GB"."""
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if round(value) < _KILO:
            break
        value, unit = value / _KILO, larger
    return f"{size_bytes} B" if unit == "B" else f"{value:.1f} {unit}"

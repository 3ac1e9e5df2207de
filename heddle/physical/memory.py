"""How much memory a run may use when nobody says."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psutil

DEFAULT_SHARE: Final = 0.5
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def default_budget_bytes() -> int:
    """Half of what the machine, or the container, has."""
    return int(_machine_bytes() * DEFAULT_SHARE)


def _machine_bytes() -> int:
    total: int = psutil.virtual_memory().total
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total

"""How much memory a run may use when nobody says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

DEFAULT_SHARE: Final = 0.5
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def default_budget_bytes() -> int:
    """Half of what the machine, or the container, has."""
    return int(_machine_bytes() * DEFAULT_SHARE)


def _machine_bytes() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total

"""Paths as messages show them."""

from __future__ import annotations

import os
from pathlib import Path


def shown_path(path: Path) -> str:
    """Relative where it lies below the working directory."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative

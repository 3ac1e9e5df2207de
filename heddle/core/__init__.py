"""The words that the engine shares with plugins: tables, types, signatures, configs.

Nothing here imports another part of Heddle. The names below load on first use, because
pyarrow is slow to import and half of the commands never need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heddle.core.resource import Resource as Resource
    from heddle.core.resource import ResourceConfig as ResourceConfig
    from heddle.core.step import StepConfig as StepConfig
    from heddle.core.step import StepContext as StepContext
    from heddle.core.table import Table as Table

__all__ = ["Resource", "ResourceConfig", "StepConfig", "StepContext", "Table"]

_HOME = {
    "Resource": "heddle.core.resource",
    "ResourceConfig": "heddle.core.resource",
    "StepConfig": "heddle.core.step",
    "StepContext": "heddle.core.step",
    "Table": "heddle.core.table",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'heddle.core' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)

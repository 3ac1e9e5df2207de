"""Panics of libraries in Rust: a defect that one found in itself, or a limit of its arrays.

They are no `Exception`, so that programs do not take them for a failure of their own; but they end neither
the process nor the library's use.
"""

from __future__ import annotations

from typing import Final

_NAME: Final = "PanicException"
"""Each library has a class of its own, and none can be imported."""


def is_panic(error: BaseException) -> bool:
    return type(error).__name__ == _NAME

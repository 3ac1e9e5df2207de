"""Threads with a deep stack, for work that recurses over a program's text.

DataFusion and prqlc end the process when the stack runs out, so what plans or compiles runs on such a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

STACK_BYTES: Final = 64 << 20
_STACK_LOCK = threading.Lock()
_OWN = threading.local()
"""`bytes`: the stack of the current thread, where `on_deep_stack` made it."""


def deep_thread(target: Callable[[], None], name: str, stack_bytes: int = STACK_BYTES) -> threading.Thread:
    """A started thread whose stack is deep enough to plan any fragment."""
    with _STACK_LOCK:
        previous = threading.stack_size(stack_bytes)
        try:
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
        finally:
            threading.stack_size(previous)
    return thread


def on_deep_stack(function: Callable[[], T], stack_bytes: int = STACK_BYTES) -> T:
    """The function's result, computed on a thread of its own; what it raises is raised here.

    On such a thread, with a stack as deep, it is computed at once.
    """
    if getattr(_OWN, "bytes", 0) >= stack_bytes:
        return function()
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        _OWN.bytes = stack_bytes
        try:
            results.append(function())
        except BaseException as error:  # handed on to the caller's thread below
            failures.append(error)

    deep_thread(run, "heddle-planning", stack_bytes).join()
    if failures:
        raise failures[0]
    return results[0]

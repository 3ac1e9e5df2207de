"""Threads with a deep stack, for work that recurses over a program's text.

DataFusion and prqlc end the process when the stack runs out, so what plans or compiles runs on such a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

STACK_BYTES: Final = 64 << 20
IDLE_S: Final = 10.0
"""How long a thread of `DeepThreads` waits for more to do."""
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


class Running(Protocol):
    """Something that a thread does."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it is done, or for so many seconds."""


class _Work:
    def __init__(self, target: Callable[[], None]) -> None:
        self._target: Callable[[], None] | None = target
        self._done = threading.Event()

    def run(self) -> None:
        """Once. It is let go of then: an idle thread must not hold what a query has read."""
        target, self._target = self._target, None
        assert target is not None, "it runs once"
        try:
            target()
        finally:
            self._done.set()

    def join(self, timeout: float | None = None) -> None:
        self._done.wait(timeout)


class DeepThreads:
    """Threads with deep stacks that are used again, for queries so short that to start a thread counts. As
    many as are needed at a time; those that are idle for long end. Thread-safe."""

    def __init__(self, name: str, *, idle_s: float = IDLE_S) -> None:
        self._name = name
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[_Work | None]] = []
        self._closed = False

    def start(self, target: Callable[[], None], name: str) -> Running:
        """Has a thread do it, which keeps the pool's name whatever `name` says."""
        work = _Work(target)
        with self._lock:
            waiting = self._idle.pop() if self._idle else None
        if waiting is not None:
            waiting.put(work)
        else:
            deep_thread(lambda: self._serve(work), self._name)
        return work

    def close(self) -> None:
        """Idle threads end, and others when they are done."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for waiting in idle:
            waiting.put(None)

    def _serve(self, work: _Work) -> None:
        waiting: SimpleQueue[_Work | None] = SimpleQueue()
        following: _Work | None = work
        while following is not None:
            following.run()
            with self._lock:
                if self._closed:
                    return
                self._idle.append(waiting)
            following = self._next(waiting)

    def _next(self, waiting: SimpleQueue[_Work | None]) -> _Work | None:
        """What to do next; None at the end."""
        try:
            return waiting.get(timeout=self._idle_s)
        except Empty:
            with self._lock:
                if waiting in self._idle:
                    self._idle.remove(waiting)
                    return None
        return waiting.get()  # it was given work meanwhile

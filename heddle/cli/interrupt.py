"""Work that ^C ends: it runs in a thread of its own while the main thread waits for it or for a signal.

The first SIGINT or SIGTERM asks the work to clean up. When it has not ended after `CLEANUP_S`, or at
the second signal, the process leaves at once, whatever still runs.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, NoReturn, TypeVar

import click

T = TypeVar("T")

CLEANUP_S = 0.8
LAST_WORDS_S = 0.1
INTERRUPTED = 130


class _Outcome(Generic[T]):
    """What the work gave or raised."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._result: T
        self._error: BaseException | None = None
        try:
            self._result = work()
        except BaseException as error:
            self._error = error

    def get(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result


def run_interruptibly(
    work: Callable[[], T], cancel: Callable[[], None], leaving: Callable[[], None] = lambda: None
) -> T:
    """The result of `work`; `cancel` asks it to stop. Called from the main thread.

    `leaving` puts the terminal in order before the process leaves without the work's end.
    """
    inbox: queue.SimpleQueue[_Outcome[T] | None] = queue.SimpleQueue()
    thread = threading.Thread(target=lambda: inbox.put(_Outcome(work)), name="heddle-run", daemon=True)
    with _signals_to(lambda: inbox.put(None)):
        thread.start()
        outcome = inbox.get()
        if outcome is not None:
            return outcome.get()
        cancel()
        click.echo("interrupted: cleaning up (^C again leaves at once)", err=True)
        try:
            outcome = inbox.get(timeout=CLEANUP_S)
        except queue.Empty:
            outcome = None
        if outcome is None:
            _leave_now(leaving)
        return outcome.get()


@contextmanager
def until_interrupted() -> Iterator[Callable[[], None]]:
    """Gives what waits for SIGINT or SIGTERM. Afterwards a signal ends the process as it always does."""
    inbox: queue.SimpleQueue[None] = queue.SimpleQueue()
    with _signals_to(lambda: inbox.put(None)):
        yield inbox.get


@contextmanager
def _signals_to(tell: Callable[[], None]) -> Iterator[None]:
    """`tell` must be safe in a signal handler; `SimpleQueue.put` is."""
    before = {number: signal.signal(number, lambda *_: tell()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_now(leaving: Callable[[], None]) -> NoReturn:
    """The last words have a thread and a limit, because the reader of a full pipe may never read again."""
    last_words = threading.Thread(target=_last_words, args=(leaving,), daemon=True)
    last_words.start()
    last_words.join(LAST_WORDS_S)
    os._exit(INTERRUPTED)


def _last_words(leaving: Callable[[], None]) -> None:
    leaving()
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError, ValueError):
            stream.flush()

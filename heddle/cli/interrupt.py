"""Work that ^C ends: it runs in a thread of its own while the main thread waits for it or for a signal.

The first SIGINT or SIGTERM asks the work to clean up. When it has not ended after `CLEANUP_S`, or at
the second signal, the process leaves at once, whatever still runs. Work that can end by itself, such as a run
in turns, is asked for that first, and may take its time until the next signal.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, NoReturn, TypeVar

import click

from heddle.cli.start import INTERRUPTED

T = TypeVar("T")

CLEANUP_S = 0.8
LAST_WORDS_S = 0.1
SAME_SIGNAL_S = 0.2
"""The command `timeout` sends its signal twice, to the process and to its group."""
_WORK_ENDED = 0
"""No signal's number."""


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
    work: Callable[[], T],
    cancel: Callable[[], None],
    leaving: Callable[[], None] = lambda: None,
    end: Callable[[int], bool] = lambda number: False,
) -> T:
    """The result of `work`; `cancel` asks it to stop. Called from the main thread.

    `leaving` puts the terminal in order before the process leaves without the work's end. `end` takes the
    first signal's number, and tells whether the work will end by itself because of it.
    """
    outcomes: list[_Outcome[T]] = []
    with _inbox() as inbox:

        def run() -> None:
            outcomes.append(_Outcome(work))
            inbox.put(_WORK_ENDED)

        threading.Thread(target=run, name="heddle-run", daemon=True).start()
        number = inbox.get()
        if number != _WORK_ENDED and end(number):
            click.echo("ending after the turn under way (^C again cuts it off)", err=True)
            same_until = time.monotonic() + SAME_SIGNAL_S
            number = inbox.get()
            while number != _WORK_ENDED and time.monotonic() < same_until:
                number = inbox.get()
        if number != _WORK_ENDED:
            cancel()
            click.echo("interrupted: cleaning up (^C again leaves at once)", err=True)
            if inbox.get_within(CLEANUP_S) != _WORK_ENDED:
                _leave_now(leaving)
    return outcomes[0].get()


@contextmanager
def until_interrupted() -> Iterator[Callable[[], None]]:
    """Gives what waits for SIGINT or SIGTERM. Afterwards a signal ends the process as it always does."""
    with _inbox() as inbox:

        def wait() -> None:
            inbox.get()

        yield wait


class _Inbox:
    """Numbers for the main thread: those of signals, and others that are no signal's.

    Python runs a signal's handler in the main thread when that wakes up, which nothing makes it do where the
    system gave the signal to another thread. So the main thread waits for the byte that the signal leaves in
    a pipe, whichever thread had it.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing

    def put(self, number: int) -> None:
        os.write(self._writing, bytes((number,)))

    def get(self) -> int:
        return os.read(self._reading, 1)[0]

    def get_within(self, timeout_s: float) -> int | None:
        """None when no number comes in time."""
        ready, _, _ = select.select([self._reading], [], [], timeout_s)
        return self.get() if ready else None


@contextmanager
def _inbox() -> Iterator[_Inbox]:
    """It gets SIGINT and SIGTERM, which do nothing else meanwhile."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield _Inbox(reading, writing)
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


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

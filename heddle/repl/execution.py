"""Work in a thread of its own whose results the main thread takes one by one, so that ^C is heard at once.

The first ^C cancels the work where it runs, on the server for a remote endpoint; when that does not end it,
the second leaves it behind. What the main thread does not take yet waits in a short queue.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from queue import Empty, Full, Queue
from typing import Final, Generic, TypeVar

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.repl.interrupts import LOOK_EVERY_S, Interrupts
from heddle.repl.progress import Progress

T = TypeVar("T")

WAITING_MAX: Final = 2
END_WITHIN_S: Final = 5.0
"""How long work that was cancelled because nobody reads it may take to end before it is left behind."""


class Cancel:
    """How to end the work, told by the work itself once it knows; also when ^C came before that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self.asked = False

    def by(self, callback: Callable[[], None]) -> None:
        with self._lock:
            self._callbacks.append(callback)
            asked = self.asked
        if asked:
            callback()

    def ask(self) -> None:
        """Cancelling may have to ask a server, so it has a thread of its own."""
        with self._lock:
            if self.asked:
                return
            self.asked = True
            callbacks = tuple(self._callbacks)
        threading.Thread(target=_call_all, args=(callbacks,), name="heddle-cancel", daemon=True).start()


def _call_all(callbacks: tuple[Callable[[], None], ...]) -> None:
    for callback in callbacks:
        # The work itself tells how it ended; that it could not be asked to end adds nothing to that.
        with suppress(QueryError):
            callback()


@record(frozen=True, slots=True)
class _Ended:
    error: BaseException | None


class Execution(Generic[T]):
    """Iterate once, in the main thread; leaving the iteration early cancels the work."""

    def __init__(
        self,
        work: Callable[[Cancel], Generator[T, None, None]],
        interrupts: Interrupts,
        progress: Progress,
    ) -> None:
        """`progress` ticks about ten times a second while nothing comes."""
        self._work = work
        self._interrupts = interrupts
        self._progress = progress
        self._cancel = Cancel()
        self._left = threading.Event()
        self._queue: Queue[T | _Ended] = Queue(WAITING_MAX)

    def __iter__(self) -> Generator[T, None, None]:
        worker = threading.Thread(target=self._produce, name="heddle-statement", daemon=True)
        worker.start()
        ended = False
        try:
            while True:
                item = self._next()
                if isinstance(item, _Ended):
                    ended = True
                    if item.error is not None:
                        raise item.error
                    return
                yield item
        finally:
            self._left.set()
            if not ended:
                self._cancel.ask()
            worker.join(0 if self._interrupts.count > 1 else END_WITHIN_S)

    def _next(self) -> T | _Ended:
        while True:
            if self._interrupts.count:
                self._progress.cancelling = True
                self._cancel.ask()
            if self._interrupts.count > 1:
                raise QueryError("cancelled", "not waited for: it ends when it can, or with the session")
            try:
                return self._queue.get(timeout=LOOK_EVERY_S)
            except Empty:
                self._progress.tick()

    def _produce(self) -> None:
        error: BaseException | None = None
        try:
            with closing(self._work(self._cancel)) as items:
                for item in items:
                    if not self._put(item):
                        return
        except BaseException as raised:
            error = raised
        self._put(_Ended(error))

    def _put(self, item: T | _Ended) -> bool:
        """False when nobody reads any more."""
        while not self._left.is_set():
            with suppress(Full):
                self._queue.put(item, timeout=LOOK_EVERY_S)
                return True
        return False

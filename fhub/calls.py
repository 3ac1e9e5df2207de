"""The requests of one call of a step: several at a time, and none of them longer than the call.

`Call.each` asks for every item and gives the answers in their order. A request stands in `Call.under_way`
with its connection; when the call is cancelled, its deadline or the request's own time has passed, or
another request of it failed for good, the connection is shut, so nobody waits for what nobody wants.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from heddle.core.record import record
from heddle.core.step import StepContext, Transient

T = TypeVar("T")
R = TypeVar("R")

LOOK_S: Final = 0.05
"""How often a call looks whether it is to end."""


class Ended(Exception):
    """The call is over before this request is."""


class OutOfTime(Transient):
    """The deadline of the call has passed."""


class Connection(Protocol):
    def shut(self) -> None:
        """End it from another thread: who waits for it gets an error."""
        ...


@record(slots=True, eq=False)
class Request:
    """A request under way; `late` is whether its time was up."""

    until: float
    connection: Connection | None = None
    late: bool = False


class Call:
    """One call of a step; `context` says how long it may take. `retries` counts requests sent again."""

    def __init__(self, context: StepContext) -> None:
        self.context = context
        self.retries = 0
        self._until = None if context.deadline is None else time.monotonic() + context.deadline
        self._lock = threading.Lock()
        self._requests: set[Request] = set()
        self._ending = threading.Event()
        self._over = threading.Event()

    def left_s(self) -> float | None:
        """Seconds until the deadline; None without one."""
        return None if self._until is None else self._until - time.monotonic()

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def again(self, wait_s: float) -> None:
        """Count a request that is to be sent again, after a pause. Raises `Ended`."""
        with self._lock:
            self.retries += 1
        self.pause(wait_s)

    def pause(self, duration_s: float) -> None:
        """Raises `Ended` when the call is about to end before."""
        if self._ending.wait(max(0.0, duration_s)):
            raise Ended

    @contextmanager
    def under_way(self, timeout_s: float) -> Iterator[Request]:
        request = Request(time.monotonic() + timeout_s)
        with self._lock:
            self._requests.add(request)
        try:
            yield request
        finally:
            with self._lock:
                self._requests.remove(request)

    def each(self, items: Sequence[T], ask: Callable[[T], R], at_once: int) -> list[R]:
        """The answers, in the order of the items. The first failure is raised; when another attempt may
        cure it, the requests under way are waited for, as their answers may be kept."""
        answers: dict[int, R] = {}
        numbers = iter(range(len(items)))
        taking = threading.Lock()

        def work() -> None:
            while not self._ending.is_set():
                with taking:
                    number = next(numbers, None)
                if number is None:
                    return
                answers[number] = ask(items[number])

        with ThreadPoolExecutor(max(1, min(at_once, len(items))), "heddle-request") as pool:
            workers = [pool.submit(work) for _ in range(min(at_once, len(items)))]
            try:
                self._watch(workers, lambda: len(answers), len(items))
            except BaseException:
                self._ending.set()
                raise
            finally:
                while wait(workers, LOOK_S).not_done:
                    self._look()
        return [answers[number] for number in range(len(items))]

    def _watch(self, workers: Sequence[Future[None]], done: Callable[[], int], total: int) -> None:
        """Until all are through. Raises what the first of them raised, or why the call is over."""
        waiting = set(workers)
        told = 0
        while waiting:
            ended, waiting = wait(waiting, LOOK_S, FIRST_EXCEPTION)
            failure = next((error for each in ended if (error := each.exception()) is not None), None)
            if isinstance(failure, Ended):
                raise self._why()
            if failure is not None:
                if not getattr(failure, "transient", False):
                    self._over.set()
                raise failure
            self._look()
            if self.over:
                raise self._why()
            if done() > told:
                told = done()
                self.context.progress(told, total)

    def _look(self) -> None:
        """Shut the connections of the requests whose time is up, or of all when the call is over."""
        now = time.monotonic()
        if self.context.cancelled or (self._until is not None and now >= self._until):
            self._over.set()
        with self._lock:
            for request in self._requests:
                request.late = request.late or now >= request.until
                if (request.late or self.over) and request.connection is not None:
                    request.connection.shut()

    def _why(self) -> Exception:
        if self.context.cancelled or self.context.deadline is None:
            return Ended("the call was cancelled")
        return OutOfTime(f"no answer within {self.context.deadline:g} s")

"""Who may run a statement, who waits, and in which order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from heddle.database.admission import Admission, limits_of
from heddle.database.errors import QueryError
from heddle.database.model import Settings, Viewer
from heddle.serve_settings import AdmissionSettings, Limits, Role, ServeSettings, UserSettings

PATIENCE_S = 30.0
ADA, BOB = Viewer("ada"), Viewer("bob")


def admission(
    running: int = 2, waiting: int = 8, wait_s: float = PATIENCE_S, **settings: object
) -> Admission:
    return Admission(ServeSettings(admission=AdmissionSettings(running, waiting, wait_s), **settings))  # type: ignore[arg-type]


def refused(of: Admission, viewer: Viewer, cancelled: Callable[[], bool] = lambda: False) -> QueryError:
    with pytest.raises(QueryError) as raised, of.admit(viewer, cancelled):
        pass
    return raised.value


class Waiting:
    """Statements that wait in threads of their own; `order` is that in which they came in."""

    def __init__(self, of: Admission) -> None:
        self._of = of
        self._threads: list[threading.Thread] = []
        self._came = threading.Condition()
        self.order: list[str] = []
        self.let_go = threading.Semaphore(0)

    def begin(self, viewer: Viewer, name: str) -> None:
        """Returns when it waits."""
        asked = threading.Event()

        def cancelled() -> bool:
            asked.set()
            return False

        def run() -> None:
            with self._of.admit(viewer, cancelled):
                with self._came:
                    self.order.append(name)
                    self._came.notify_all()
                assert self.let_go.acquire(timeout=PATIENCE_S)

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)
        assert asked.wait(PATIENCE_S)

    def until(self, count: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: len(self.order) >= count, PATIENCE_S)

    def end(self) -> None:
        self.let_go.release(len(self._threads))
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def test_viewers_take_turns() -> None:
    """Ada asks for many, Bob for two: Bob's do not wait for all of Ada's."""
    of = admission(running=1)
    waiting = Waiting(of)
    with of.admit(Viewer("another")):
        for name in ("ada1", "ada2", "ada3", "ada4"):
            waiting.begin(ADA, name)
        for name in ("bob1", "bob2"):
            waiting.begin(BOB, name)
        assert waiting.order == []
    for count in range(1, 7):
        waiting.until(count)
        waiting.let_go.release()
    waiting.end()
    assert waiting.order == ["ada1", "bob1", "ada2", "bob2", "ada3", "ada4"]


def test_one_viewers_limit_holds_nobody_else_up() -> None:
    of = admission(running=3, wait_s=0.05, users={"ada": UserSettings("ada", limits=Limits(concurrency=1))})
    with of.admit(ADA):
        assert (of.is_free(ADA), of.is_free(BOB)) == (False, True)
        error = refused(of, ADA)
        assert error.kind == "exhausted"
        assert error.message == "the statement waited for 0.05 s to begin: ada may run 1 at a time"
        with of.admit(BOB), of.admit(BOB):
            said = refused(of, Viewer("eve")).message
            assert said == "the statement waited for 0.05 s to begin: the server runs 3 at a time"
    with of.admit(ADA):
        pass


def test_the_queue_is_bounded() -> None:
    of = admission(running=1, waiting=2)
    waiting = Waiting(of)
    with of.admit(BOB):
        waiting.begin(ADA, "first")
        waiting.begin(ADA, "second")
        error = refused(of, BOB)
        assert (error.kind, error.message) == (
            "exhausted",
            "2 statements are waiting already; try again later",
        )
    waiting.until(1)
    waiting.end()


def test_a_statement_that_is_cancelled_waits_no_longer() -> None:
    of = admission(running=1)
    with of.admit(BOB):
        error = refused(of, ADA, lambda: True)
        assert (error.kind, error.message) == ("cancelled", "the statement was cancelled while it waited")
    with of.admit(ADA, lambda: True):
        pass


def test_a_statement_that_fails_gives_its_place_back() -> None:
    of = admission(running=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), of.admit(ADA):
            raise ZeroDivisionError


def test_places_under_load() -> None:
    """Never more than may run, over all and for each; everybody comes in, and all places are free again."""
    of = admission(running=3, waiting=100, limits=Limits(concurrency=2))
    lock = threading.Lock()
    inside: dict[str, int] = {}
    seen: list[tuple[int, int]] = []

    def run(viewer: Viewer) -> None:
        for _ in range(20):
            with of.admit(viewer):
                with lock:
                    inside[viewer.name] = inside.get(viewer.name, 0) + 1
                    seen.append((inside[viewer.name], sum(inside.values())))
                with lock:
                    inside[viewer.name] -= 1

    threads = [threading.Thread(target=run, args=(Viewer(name),)) for name in "aaabbbccc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert len(seen) == 180
    assert max(own for own, _ in seen) <= 2
    assert max(all_of_them for _, all_of_them in seen) <= 3
    with ExitStack() as places:
        for name in "abc":
            places.enter_context(of.admit(Viewer(name)))


def test_limits_of_the_user_then_of_roles_then_of_all() -> None:
    settings = ServeSettings(
        limits=Limits(concurrency=1, timeout_s=10.0, rows_max=100),
        roles={
            "everyone": Role("everyone", limits=Limits(memory_bytes=1000)),
            "small": Role("small", limits=Limits(concurrency=2, timeout_s=5.0)),
            "large": Role("large", limits=Limits(concurrency=8)),
        },
        users={"ada": UserSettings("ada", limits=Limits(concurrency=3))},
    )
    assert limits_of(settings, BOB) == Limits(1, 1000, 10.0, 100)
    assert limits_of(settings, Viewer("bob", ("small", "large"))) == Limits(8, 1000, 5.0, 100)
    assert limits_of(settings, Viewer("ada", ("large",))) == Limits(3, 1000, 10.0, 100)


def test_a_client_may_ask_for_less_only() -> None:
    of = admission(limits=Limits(timeout_s=10.0, rows_max=100))
    assert of.limited(ADA, Settings()) == Settings(timeout_s=10.0, rows_max=100)
    asked = Settings(schema="Shop", timeout_s=3.0, rows_max=1000, memory_bytes=7)
    assert of.limited(ADA, asked) == Settings(schema="Shop", timeout_s=3.0, rows_max=100, memory_bytes=7)

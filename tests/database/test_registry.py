"""The registry of queries: what runs, what ran, and how it is ended."""

from __future__ import annotations

import threading
import time

import pytest

from heddle.database.errors import QueryError
from heddle.database.model import Viewer
from heddle.database.registry import TEXT_CHARS_MAX, Queries, QueryEntry
from heddle.database.timeouts import Timeouts
from tests.waiting import until

ADA, BOB, ROOT = Viewer("ada"), Viewer("bob"), Viewer("root", admin=True)
DEADLINE_S = 30.0


def never(_: QueryError) -> None:
    raise AssertionError("nobody cancels it")


def only(entries: tuple[QueryEntry, ...]) -> QueryEntry:
    (entry,) = entries
    return entry


def test_a_query_from_its_start_to_its_end() -> None:
    queries = Queries()
    query = queries.begin("q1", "select 1", ADA, never, session="s")
    query.count(10, 80)
    query.count(5, 40)
    entry = only(queries.list(ADA))
    assert (entry.id, entry.viewer, entry.session, entry.text) == ("q1", "ada", "s", "select 1")
    assert (entry.state, entry.rows, entry.size_bytes, entry.error) == ("running", 15, 120, None)
    assert entry.duration_s >= 0
    assert abs(entry.started_at - time.time()) < DEADLINE_S
    query.finish()
    query.finish(QueryError("failed", "too late"))
    after = only(queries.list(ADA))
    assert (after.state, after.error) == ("finished", None)
    assert only(queries.list(ADA)).duration_s == after.duration_s
    queries.close()


@pytest.mark.parametrize(
    ("error", "state", "kind"),
    [
        (QueryError("exhausted", ""), "failed", "exhausted"),
        (QueryError("timeout", ""), "failed", "timeout"),
        (QueryError("cancelled", ""), "cancelled", "cancelled"),
        (GeneratorExit(), "cancelled", "cancelled"),
        (ZeroDivisionError(), "failed", "failed"),
    ],
)
def test_how_queries_fail(error: BaseException, state: str, kind: str) -> None:
    queries = Queries()
    with pytest.raises(type(error)), queries.begin("q", "select 1", ADA, never):
        raise error
    entry = only(queries.list(ADA))
    assert (entry.state, entry.error) == (state, kind)


def test_statements_of_others_are_for_admins() -> None:
    queries = Queries()
    queries.begin("a", "select 'secret'", ADA, never)
    queries.begin("b", "select 2", BOB, never).finish()
    assert {(e.id, e.text) for e in queries.list(BOB)} == {("b", "select 2")}
    assert {(e.id, e.text) for e in queries.list(ROOT)} == {("a", "select 'secret'"), ("b", "select 2")}


def test_one_ends_ones_own_and_an_admin_all() -> None:
    queries = Queries()
    ended: list[QueryError] = []
    queries.begin("a", "select 1", ADA, ended.append)
    queries.begin("over", "select 1", ADA, never).finish()
    for viewer, id, message in (
        (BOB, "a", "there is no query `a`"),
        (BOB, "over", "there is no query `over`"),
        (BOB, "nothing", "there is no query `nothing`"),
        (ADA, "over", "the query `over` has ended"),
    ):
        with pytest.raises(QueryError, match=message) as error:
            queries.cancel(id, viewer)
        assert error.value.kind == "not_found"
    assert ended == []
    queries.cancel("a", ADA)
    queries.cancel("a", ROOT)
    assert [error.kind for error in ended] == ["cancelled", "cancelled"]


def test_the_end_of_the_server() -> None:
    queries = Queries()
    ended: dict[str, QueryError] = {}
    for id in ("a", "b"):
        queries.begin(id, "select 1", ADA, lambda error, id=id: ended.update({id: error}))
    queries.close()
    queries.close()
    assert {id: error.kind for id, error in ended.items()} == {"a": "unavailable", "b": "unavailable"}


def test_the_history_is_bounded() -> None:
    queries = Queries(history_max=3)
    running = queries.begin("running", "select 1", ADA, never)
    for number in range(5):
        queries.begin(str(number), "x" * (TEXT_CHARS_MAX + 1), ADA, never).finish()
    entries = queries.list(ADA)
    assert {entry.id for entry in entries} == {"running", "2", "3", "4"}
    assert {len(entry.text or "") for entry in entries} == {8, TEXT_CHARS_MAX}
    running.finish()
    assert len(queries.list(ADA)) == 3


def test_a_query_that_takes_too_long_is_ended() -> None:
    queries = Queries()
    ended = threading.Event()
    why: list[QueryError] = []

    def cancel(error: QueryError) -> None:
        why.append(error)
        ended.set()

    queries.begin("slow", "select 1", ADA, cancel, timeout_s=0.01)
    queries.begin("quick", "select 1", ADA, never, timeout_s=60).finish()
    assert ended.wait(DEADLINE_S)
    assert (why[0].kind, why[0].message) == ("timeout", "the query took longer than 0.01 s")
    queries.close()


def test_timeouts_come_in_their_order() -> None:
    """Also when several are over before they are looked at."""
    timeouts = Timeouts()
    done: list[str] = []
    busy, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        go_on.wait(DEADLINE_S)

    timeouts.after(0, "holds the others up", hold)
    assert busy.wait(DEADLINE_S)
    timeouts.after(3600, "late", lambda: done.append("late"))
    timeouts.after(-1, "second", lambda: done.append("second"))
    timeouts.after(-1000, "first", lambda: done.append("first"))
    timeouts.after(-1000, "forgotten", lambda: done.append("forgotten"))
    timeouts.forget("forgotten")
    timeouts.forget("not there")
    go_on.set()
    until(lambda: "second" in done)
    assert done == ["first", "second"]
    timeouts.after(0.01, "third", lambda: done.append("third"))
    until(lambda: "third" in done)
    timeouts.close()
    timeouts.after(0, "after the end", lambda: done.append("after the end"))
    assert done == ["first", "second", "third"]


def test_what_is_done_when_a_time_is_over_may_close() -> None:
    timeouts = Timeouts()
    closed = threading.Event()

    def close() -> None:
        timeouts.close()
        closed.set()

    timeouts.after(0, "close", close)
    assert closed.wait(DEADLINE_S)

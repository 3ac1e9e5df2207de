"""The result cache: a query whose files are the same calls nothing again, and one that may have another
answer is computed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.core.refresh_policy import RefreshPolicy
from heddle.database.errors import QueryError
from heddle.database.model import LOCAL, Settings, TableName, Viewer
from heddle.database.policy import Policy
from heddle.serve_settings import EVERYONE, PolicySettings, Role, ServeSettings
from tests.database.asking import Asked, asking
from tests.waiting import PATIENCE_S, until

SIZE_BYTES = 16 << 20
STEPS = """\
from pathlib import Path

import pyarrow.compute as pc

from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="steps")
CALLS = Path(__file__).parent / "calls"


class Row(Table):
    id: int
    owner: str | None


class Nothing(StepConfig):
    pass


def called(name):
    with CALLS.open("a") as calls:
        calls.write(name + "\\n")


@plugin.step(name="sure", deterministic=True)
def sure(input: Row, config: Nothing) -> Row:
    called("sure")
    return Row(input.to_arrow())


class Plus(StepConfig):
    by: int = 0


@plugin.step(name="plus", deterministic=True)
def plus(input: Row, config: Plus) -> Row:
    called("plus")
    table = input.to_arrow()
    return Row(table.set_column(0, "id", pc.add(table["id"], config.by)))


@plugin.step(name="unsure")
def unsure(input: Row, config: Nothing) -> Row:
    called("unsure")
    return Row(input.to_arrow())
"""
PROGRAM = """\
import "std/io" io
import "steps" steps

step rows = io.parquet { path: "rows.parquet" }

workflow Sales {
  rows
    > plain

  plain
    | steps.sure
    > sure

  plain
    | steps.unsure
    > unsure
}
"""


class Place:
    """The programs' folder, and what steps were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "steps.py").write_text(STEPS)
        (folder / "heddle.toml").write_text('[plugins]\n"steps" = "steps.py"\n')
        self.write(1, 2, 3)

    def write(self, *ids: int) -> None:
        """Other rows, and the file's times are as if that were long ago."""
        owners = ["ada" if i % 2 else "grace" for i in ids]
        path = self.folder / "rows.parquet"
        pq.write_table(pa.table({"id": pa.array(ids, pa.int64()), "owner": owners}), path)
        self.settle(path)

    def settle(self, path: Path) -> None:
        """Wait until a change of the file would show."""
        until(lambda: time.time_ns() - path.stat().st_ctime_ns >= 200_000_000)

    def calls(self) -> list[str]:
        """Those since the last question."""
        file = self.folder / "calls"
        names = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return names

    @contextmanager
    def open(self, **options: object) -> Iterator[Asked]:
        options = {"result_cache_bytes": SIZE_BYTES, **options}
        with asking(self.folder, {"sales.he": PROGRAM}, **options) as asked:
            yield asked


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def cached(asked: Asked, text: str) -> object:
    """What the last such query took from the cache."""
    rows = asked.rows("select text, cached from system.queries order by started_at desc")
    return next(row["cached"] for row in rows if row["text"] == text)


def test_an_answer_is_computed_once(place: Place) -> None:
    text = "select id from sure where id > 1 order by id"
    with place.open() as asked:
        first = asked.table(text)
        assert (place.calls(), cached(asked, text)) == (["sure"], None)
        assert "+ result cache: the answer is in the result cache" in asked.plan(text)
        assert asked.table(text).equals(first)
        assert (place.calls(), cached(asked, text)) == ([], "answer")


def test_without_a_setting_nothing_is_kept(place: Place) -> None:
    with place.open(result_cache_bytes=0) as asked:
        for _ in range(2):
            asked.rows("select count(*) from sure")
            assert place.calls() == ["sure"]
        assert "result cache" not in asked.plan("select count(*) from sure")
        with pytest.raises(QueryError, match="there is no result cache"):
            asked.updated("clear result cache")


def test_other_queries_read_a_steps_result(place: Place) -> None:
    with place.open() as asked:
        assert asked.rows("select count(*) as n from sure") == [{"n": 3}]
        place.calls()
        assert asked.rows("select max(id) as id from sure") == [{"id": 3}]
        assert place.calls() == []
        assert cached(asked, "select max(id) as id from sure") == "steps"
        joined = "select count(*) as n from sure a join sure b on a.id = b.id join plain c on b.id = c.id"
        assert asked.rows(joined) == [{"n": 3}]
        assert place.calls() == []


def test_a_file_that_changes_is_read_again(place: Place) -> None:
    with place.open() as asked:
        for ids in ([1, 2, 3], [5], [1, 2, 3, 4]):
            place.write(*ids)
            for _ in range(2):
                assert asked.rows("select id from sure order by id") == [{"id": id} for id in ids]
                assert asked.rows("select count(*) as n from plain") == [{"n": len(ids)}]
            assert place.calls() == ["sure"]


def test_a_file_that_was_just_written_is_not_trusted(place: Place) -> None:
    """It could be written once more and look the same."""
    with place.open() as asked:
        path = place.folder / "rows.parquet"
        asked.rows("select count(*) from sure")  # the plugin runs

        def is_asked_in_time() -> bool:
            place.calls()
            path.write_bytes(path.read_bytes())
            asked.rows("select count(*) from sure")
            return time.time_ns() - path.stat().st_ctime_ns < 90_000_000

        until(is_asked_in_time, "the file is never as good as new when its rows are there")
        assert place.calls() == ["sure"]
        place.settle(path)
        asked.rows("select count(*) from sure")
        assert place.calls() == ["sure"]


def test_steps_that_are_not_declared_deterministic_are_called_each_time(place: Place) -> None:
    with place.open() as asked:
        for _ in range(2):
            asked.rows("select count(*) from unsure")
            assert place.calls() == ["unsure"]
        reason = "- result cache: not kept: of `steps.unsure`, it is not declared as deterministic"
        assert reason in asked.plan("select count(*) from unsure")


@pytest.mark.parametrize(
    "expression",
    [
        "now()",
        '"now"()',
        "now /* ( */ ()",
        "random()",
        "uuid()",
        "current_timestamp",
        "current_date",
        "today()",
        "(select random())",
    ],
)
def test_what_gives_another_value_each_time_is_not_kept(place: Place, expression: str) -> None:
    text = f"select {expression} as x, count(*) as n from plain"
    with place.open() as asked:
        for _ in range(2):
            asked.rows(text)
            assert cached(asked, text) is None
        why = "- result cache: not kept: a function in it gives another value each time"
        assert why in asked.plan(text)


def test_all_functions_are_known_that_give_another_value_each_time() -> None:
    from datafusion import SessionConfig, SessionContext

    from heddle.logical.keys import is_anew

    context = SessionContext(SessionConfig().with_information_schema(True))
    found = context.sql(
        "select distinct routine_name from information_schema.routines where not is_deterministic"
    )
    names = {row["routine_name"] for row in found.to_pylist()}
    of_files = {"input_file_name", "file_row_index"}
    of_arguments = {"range", "generate_series"}
    assert {name for name in names if not is_anew(f"{name}()")} <= of_files | of_arguments


def test_values_and_texts_have_answers_of_their_own(place: Place) -> None:
    with place.open() as asked:
        text = "select id from plain where id = $1"
        for id in (1, 2, 1, 3, 2):
            assert asked.rows(text, id) == [{"id": id}]
        assert cached(asked, text) == "answer"
        assert asked.rows("select id as a from plain where id = 1") == [{"a": 1}]


def test_system_tables_are_told_anew(place: Place) -> None:
    with place.open() as asked:
        text = "select count(*) as n from system.queries"
        assert asked.rows(text) != asked.rows(text)


def test_a_table_that_changes_is_read_again(place: Place) -> None:
    text = "select count(*) as n from scratch.kept"
    with place.open() as asked:
        asked.updated("create table scratch.kept as select id from plain")
        for change, count in (
            ("insert into scratch.kept values (7)", 4),
            ("delete from scratch.kept where id = 1", 3),
            ("update scratch.kept set id = id + 1", 3),
            ("create or replace table scratch.kept as select id from plain where id = 2", 1),
        ):
            asked.updated(change)
            for path in (place.folder).rglob("*.arrow"):
                place.settle(path)
            assert [asked.rows(text) for _ in range(3)] == [[{"n": count}]] * 3
        assert asked.rows("select id from scratch.kept") == [{"id": 2}]


def test_answers_over_kept_tables_are_kept(place: Place, tmp_path: Path) -> None:
    text = "select count(*) as n from scratch.kept"
    with place.open(scratch=tmp_path / "tables") as asked:
        asked.updated("create table scratch.kept as select id from plain")
        for path in (tmp_path / "tables").rglob("*.arrow"):
            place.settle(path)
        asked.rows(text)
        asked.rows(text)
        assert cached(asked, text) == "answer"
        asked.updated("create table scratch.other as select id from plain")
        asked.rows(text)
        assert cached(asked, text) == "answer"


def test_a_transaction_sees_its_own_rows(place: Place) -> None:
    text = "select count(*) as n from scratch.kept"
    with place.open() as asked:
        asked.updated("create table scratch.kept as select id from plain")
        transaction = asked.database.begin(LOCAL)
        asked.updated("insert into scratch.kept values (7)", transaction=transaction)
        for _ in range(2):
            assert asked.rows(text, transaction=transaction) == [{"n": 4}]
            assert asked.rows(text) == [{"n": 3}]
        asked.database.end(transaction, LOCAL, commit=False)
        assert asked.rows(text) == [{"n": 3}]


def test_a_refresh_computes_anew(place: Place) -> None:
    materialize = {"Sales.sure": RefreshPolicy("manual")}
    with place.open(materialize=materialize) as asked:
        for ids in ([1, 2, 3], [8, 9]):
            place.write(*ids)
            for _ in range(2):
                assert asked.updated("refresh table Sales.sure") == len(ids)
                assert place.calls() == ["sure"]
            assert asked.rows("select id from sure order by id") == [{"id": id} for id in ids]


def test_viewers_get_the_rows_that_they_may_see(place: Place) -> None:
    own = PolicySettings(
        "own", ("Sales.*",), "owner = current_user", {"id": "id * 100"}, except_roles=("all",)
    )
    everyone = {EVERYONE: Role(EVERYONE, ("*.*",))}
    policy = Policy(ServeSettings(policies=(own,), roles=everyone))
    viewers = [Viewer("ada"), Viewer("grace"), Viewer("boss", ("all",)), LOCAL]
    expected = [[100, 300], [200], [1, 2, 3], [1, 2, 3]]
    with place.open(policy=policy) as asked:
        for table in ("sure", "plain", "unsure"):
            for viewer, ids in [*zip(viewers, expected, strict=True)] * 2:
                found = asked.rows(f"select id from {table} order by id", viewer=viewer)
                assert found == [{"id": id} for id in ids]


def test_the_limit_of_rows_holds_for_kept_answers(place: Place) -> None:
    text = "select id from plain"
    with place.open() as asked:
        for _ in range(2):
            with pytest.raises(QueryError, match="more than 2 rows"):
                asked.table(text, settings=Settings(rows_max=2))
        assert len(asked.rows(text)) == 3
        assert cached(asked, text) is None
        with pytest.raises(QueryError, match="more than 2 rows"):
            asked.table(text, settings=Settings(rows_max=2))


def test_what_was_not_read_to_its_end_is_not_kept(place: Place) -> None:
    text = "select id from plain"
    with place.open() as asked:
        answer = asked.database.prepare(text, LOCAL).run()
        next(answer.batches())
        answer.close()
        assert len(asked.rows(text)) == 3
        assert cached(asked, text) is None


def test_what_fails_is_not_kept(place: Place) -> None:
    text = "select 1 / (id - 3) as x from plain order by id"
    with place.open() as asked:
        for _ in range(2):
            with pytest.raises(QueryError):
                asked.rows(text)
        assert cached(asked, text) is None


def test_rows_of_other_programs_are_kept_as_theirs(place: Place) -> None:
    other = 'workflow Shop {\n  [{ id: 1, name: "Ada" }]\n    > customers\n}\n'
    text = "select name from customers join sure on customers.id = sure.id"
    programs = {"a.he": other, "sales.he": PROGRAM}
    with asking(place.folder, programs, result_cache_bytes=SIZE_BYTES) as asked:
        for _ in range(2):
            assert asked.rows(text) == [{"name": "Ada"}]
        assert place.calls() == ["sure"]
        place.write(2)
        assert asked.rows(text) == []


def test_values_of_a_workflows_parameters_have_answers_of_their_own(place: Place) -> None:
    program = """\
import "std/io" io
import "steps" steps

step read = io.parquet { path: "rows.parquet" }

workflow Days(by: int, least: int = 0) {
  read
    | steps.plus { by: "@by" }
    > more
}
"""
    with asking(place.folder, {"days.he": program}, result_cache_bytes=SIZE_BYTES) as asked:
        for _ in range(2):
            for by in (10, 20):
                assert asked.rows("select min(id) as id from more(by => ?)", by) == [{"id": 1 + by}]
        assert place.calls() == ["plus", "plus"]


def test_clearing_is_for_admins(place: Place) -> None:
    with place.open() as asked:
        asked.rows("select count(*) from sure")
        with pytest.raises(QueryError, match="ada may not clear the result cache"):
            asked.database.prepare("clear result cache", Viewer("ada")).run()
        assert asked.updated("CLEAR RESULT CACHE") == 2
        place.calls()
        asked.rows("select count(*) from sure")
        assert place.calls() == ["sure"]


def test_queries_side_by_side_have_the_same_rows(place: Place) -> None:
    place.write(*range(2000))
    found: list[list[dict[str, object]]] = []
    count = 8
    together = Barrier(count)
    with place.open() as asked:

        def ask() -> None:
            together.wait(PATIENCE_S)
            found.append(asked.rows("select id from sure order by id"))

        threads = [Thread(target=ask) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert found == [[{"id": id} for id in range(2000)]] * count
        assert asked.rows("select id from sure order by id") == found[0]
        assert cached(asked, "select id from sure order by id") == "answer"


def test_rows_put_in_are_not_taken_for_others(place: Place) -> None:
    """A table that is replaced by rows of the same number and size."""
    with place.open() as asked:
        target = TableName(asked.database.catalog, "scratch", "kept")
        for value in (1, 2, 3):
            rows = pa.record_batch({"n": pa.array([value], pa.int64())})
            with asked.database.ingest(target, rows.schema, "replace", LOCAL) as ingest:
                ingest.write(rows)
                ingest.commit()
            for _ in range(2):
                assert asked.rows("select n from scratch.kept") == [{"n": value}]

"""Materialized outputs: kept rows that stay readable while they are computed anew, or that fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.core.refresh_policy import RefreshPolicy
from heddle.database.errors import QueryError
from heddle.database.kept_tables import KeptTables
from heddle.database.materialized import MaterializedOutput, MaterializedOutputs
from heddle.database.reading import Reading
from heddle.std.mapped import mapped_batches, mapped_files
from tests.database.kept import NUMBERS, numbers
from tests.waiting import until

MANUAL, ON_START = RefreshPolicy("manual"), RefreshPolicy("on start")
DEADLINE_S = 30.0


class Source:
    """Computes an output: each time other rows, held up or broken as a test wants it."""

    def __init__(self) -> None:
        self.count = 0
        self.problem: str | None = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.began = threading.Event()

    def __call__(self) -> Computing:
        self.count += 1
        return Computing(self, self.count)


class Computing:
    def __init__(self, source: Source, number: int) -> None:
        self._source = source
        self._number = number
        self._cancelled: QueryError | None = None
        self.closed = False

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield numbers(self._number)
        self._source.began.set()
        assert self._source.go_on.wait(DEADLINE_S)
        if self._cancelled is not None:
            raise self._cancelled
        if self._source.problem is not None:
            raise QueryError("failed", self._source.problem)
        yield numbers(self._number * 10)

    def cancel(self, why: QueryError) -> None:
        self._cancelled = why
        self._source.go_on.set()

    def close(self) -> None:
        self.closed = True


def outputs(
    kept: KeptTables,
    source: Source,
    policy: RefreshPolicy,
    *,
    schema: pa.Schema = NUMBERS,
    program: str = "hash",
) -> MaterializedOutputs:
    output = MaterializedOutput("Sales.totals", schema, program, policy, source)
    return MaterializedOutputs(kept, {output.name: output})


def values(reading: Reading) -> list[int]:
    with reading:
        files = mapped_files(reading.config)
        assert files is not None
        schema, batches = mapped_batches(files)
        return pa.Table.from_batches(batches, schema)["n"].to_pylist()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptTables]:
    with KeptTables.open(tmp_path) as opened:
        yield opened


def test_rows_are_those_of_the_last_refresh(kept: KeptTables) -> None:
    source = Source()
    with outputs(kept, source, MANUAL) as materialized:
        materialized.start()
        with pytest.raises(
            QueryError, match=r"`Sales.totals` has no rows: it was not refreshed yet"
        ) as error:
            materialized.read("Sales.totals")
        assert (error.value.kind, error.value.help) == ("unavailable", "REFRESH TABLE Sales.totals")
        assert materialized.states()["Sales.totals"].state == "waiting"
        assert materialized.refresh("Sales.totals") == 2
        assert values(materialized.read("Sales.totals")) == [1, 10]
        assert materialized.refresh("Sales.totals") == 2
        assert values(materialized.read("Sales.totals")) == [2, 20]
        state = materialized.states()["Sales.totals"]
        assert (state.state, state.rows, state.error, str(state.policy)) == ("done", 2, None, "manual")
        assert state.refreshed_at is not None and abs(state.refreshed_at - time.time()) < DEADLINE_S
        assert state.duration_s is not None and state.duration_s >= 0


def test_rows_stay_while_a_refresh_runs_and_after_it_failed(kept: KeptTables) -> None:
    source = Source()
    with outputs(kept, source, MANUAL) as materialized:
        materialized.refresh("Sales.totals")
        source.go_on.clear()
        source.began.clear()
        source.problem = "the disk burns"
        failures: list[QueryError] = []

        def refresh() -> None:
            try:
                materialized.refresh("Sales.totals")
            except QueryError as error:
                failures.append(error)

        thread = threading.Thread(target=refresh)
        thread.start()
        assert source.began.wait(DEADLINE_S)
        assert materialized.states()["Sales.totals"].state == "running"
        assert values(materialized.read("Sales.totals")) == [1, 10]
        source.go_on.set()
        thread.join()
        assert [error.message for error in failures] == ["the disk burns"]
        state = materialized.states()["Sales.totals"]
        assert (state.state, state.error, state.rows) == ("failed", "the disk burns", 2)
        assert values(materialized.read("Sales.totals")) == [1, 10]
        source.problem = None
        materialized.refresh("Sales.totals")
        assert materialized.states()["Sales.totals"].state == "done"


def test_a_reader_waits_for_the_first_rows(kept: KeptTables) -> None:
    source = Source()
    source.go_on.clear()
    with outputs(kept, source, ON_START) as materialized:
        materialized.start()
        assert source.began.wait(DEADLINE_S)
        found: list[list[int]] = []
        thread = threading.Thread(target=lambda: found.append(values(materialized.read("Sales.totals"))))
        thread.start()
        source.go_on.set()
        thread.join()
        assert found == [[1, 10]]


def test_a_first_refresh_that_fails_is_told(kept: KeptTables) -> None:
    source = Source()
    source.problem = "no such file"
    with outputs(kept, source, ON_START) as materialized:
        materialized.start()
        with pytest.raises(QueryError, match=r"`Sales.totals` has no rows: its refresh failed: no such file"):
            materialized.read("Sales.totals")


def test_an_output_is_refreshed_again_and_again(kept: KeptTables) -> None:
    source = Source()
    with outputs(kept, source, RefreshPolicy("every", 0.01)) as materialized:
        materialized.start()
        until(lambda: source.count >= 3)
        source.problem = "for a while"
        until(lambda: materialized.states()["Sales.totals"].error is not None)
        source.problem = None
        until(lambda: materialized.states()["Sales.totals"].state == "done")
    assert not [t for t in threading.enumerate() if t.name == "heddle-refresh"]


def test_kept_rows_outlast_the_process(tmp_path: Path) -> None:
    source = Source()
    hourly = RefreshPolicy("every", 3600)
    for program, policy, count in (
        ("one", hourly, 1),
        ("one", hourly, 1),
        ("one", MANUAL, 1),
        ("another", MANUAL, 1),
        ("another", hourly, 2),
        ("another", ON_START, 3),
    ):
        with (
            KeptTables.open(tmp_path) as kept,
            outputs(kept, source, policy, program=program) as materialized,
        ):
            materialized.start()
            until(lambda: source.count == count)  # noqa: B023  # it holds before the next turn
            until(lambda: values(materialized.read("Sales.totals")) == [count, count * 10])  # noqa: B023
        assert source.count == count


def test_rows_with_other_columns_go(tmp_path: Path) -> None:
    source = Source()
    with KeptTables.open(tmp_path) as kept, outputs(kept, source, MANUAL) as materialized:
        materialized.refresh("Sales.totals")
    other = pa.schema([("n", pa.string())])
    with KeptTables.open(tmp_path) as kept, outputs(kept, source, MANUAL, schema=other):
        assert kept.tables() == ()
    with KeptTables.open(tmp_path) as kept, outputs(kept, source, MANUAL) as materialized:
        materialized.refresh("Sales.totals")
    with KeptTables.open(tmp_path) as kept, MaterializedOutputs(kept, {}):
        assert kept.tables() == ()


def test_the_end_cancels_a_refresh(kept: KeptTables) -> None:
    source = Source()
    source.go_on.clear()
    materialized = outputs(kept, source, ON_START)
    materialized.start()
    assert source.began.wait(DEADLINE_S)
    materialized.close()
    materialized.close()
    assert kept.tables() == ()
    with pytest.raises(QueryError, match="the server is ending"):
        materialized.refresh("Sales.totals")


def test_a_view_is_not_refreshed(kept: KeptTables) -> None:
    with outputs(kept, Source(), MANUAL) as materialized:
        assert "Sales.totals" in materialized
        with pytest.raises(QueryError, match=r"`Sales.other` is not materialized") as error:
            materialized.refresh("Sales.other")
        assert error.value.kind == "unsupported"

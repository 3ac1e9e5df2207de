"""Kept tables: what is put in is read, whoever changes them meanwhile and however the process ends."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from datafusion import SessionContext

from heddle.database import ingest as ingesting
from heddle.database.errors import QueryError
from heddle.database.kept_tables import KeptLimits, KeptTables
from heddle.errors import UsageError
from heddle.std import readers
from tests.database.kept import NUMBERS, files, numbers, put, table_of, values


def refused(kind: str, error: pytest.ExceptionInfo[QueryError]) -> str:
    assert error.value.kind == kind
    return error.value.message


def test_rows_are_there_in_the_next_process(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        assert put(kept, "t", numbers(1, 2), numbers(3)) == 3
        put(kept, "empty", numbers())
    with KeptTables.open(tmp_path) as kept:
        assert [(t.name, t.rows) for t in kept.tables()] == [("empty", 0), ("t", 3)]
        assert values(kept, "t") == [1, 2, 3]
        assert values(kept, "empty") == []
        assert table_of(kept, "empty").schema == NUMBERS


def test_modes(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        with pytest.raises(QueryError) as error:
            put(kept, "t", numbers(1), mode="append")
        refused("not_found", error)
        put(kept, "t", numbers(1), mode="create")
        with pytest.raises(QueryError) as error:
            put(kept, "t", numbers(1), mode="create")
        refused("exists", error)
        put(kept, "t", numbers(2), mode="append")
        put(kept, "t", numbers(3), mode="create_append")
        assert values(kept, "t") == [1, 2, 3]
        put(kept, "t", pa.record_batch({"other": ["x"]}), mode="replace")
        assert table_of(kept, "t").to_pydict() == {"other": ["x"]}


def test_a_table_is_renamed_emptied_and_dropped(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1, 2))
        put(kept, "u", numbers(7))
        with pytest.raises(QueryError) as error:
            kept.rename("t", "u")
        refused("exists", error)
        kept.rename("t", "v")
        assert values(kept, "v") == [1, 2]
        assert kept.truncate("v") == 2
        assert values(kept, "v") == []
        kept.drop("v")
        kept.drop("v", missing_ok=True)
        with pytest.raises(QueryError) as error:
            kept.drop("w")
        assert refused("not_found", error) == "there is no table `w`"
        assert [t.name for t in kept.tables()] == ["u"]
        assert len(files(tmp_path)) == 1


def test_a_name_that_differs_in_capitals_is_the_tables(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "Sales", numbers(1))
        assert kept.named("sales") == "Sales"
        assert kept.named("other") == "other"
        put(kept, "SALES", numbers(1))
        assert kept.named("sales") == "sales"
        assert kept.named("SALES") == "SALES"


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 256])
def test_names_that_no_table_has(tmp_path: Path, name: str) -> None:
    with KeptTables.open(tmp_path) as kept, pytest.raises(QueryError) as error:
        put(kept, name, numbers(1))
    refused("invalid", error)


def test_a_name_is_no_path(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path / "kept") as kept:
        put(kept, "../../outside", numbers(1))
        assert values(kept, "../../outside") == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_reading_stays_what_it_was(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1, 2))
        with kept.read("t") as reading:
            put(kept, "t", numbers(9), mode="replace")
            put(kept, "t", numbers(10))
            context = SessionContext()
            readers.register(context, "t", reading.step, reading.config, tmp_path)
            assert context.sql("SELECT sum(n) AS s FROM t").to_pydict() == {"s": [3]}
        assert len(files(tmp_path)) == 2
        kept.drop("t")
        assert files(tmp_path) == set()
        assert context.sql("SELECT sum(n) AS s FROM t").to_pydict() == {"s": [3]}


def test_a_forgotten_reading_lets_its_files_go(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1))
        reading = kept.read("t")
        kept.drop("t")
        assert len(files(tmp_path)) == 1
        del reading
        gc.collect()
        put(kept, "u", numbers(1))
        kept.drop("u")
        assert files(tmp_path) == set()


def test_what_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        with kept.ingest("t", NUMBERS, "create") as ingest:
            ingest.write(numbers(*range(10)))
        assert kept.tables() == ()
        assert files(tmp_path) == set()
        with pytest.raises(QueryError) as error:
            kept.table("t")
        refused("not_found", error)


def test_large_tables_have_several_files(tmp_path: Path) -> None:
    rows = pa.record_batch({"n": pa.array(range(200_000), pa.int64())})
    with KeptTables.open(tmp_path, limits=KeptLimits(part_bytes=1 << 20)) as kept:
        put(kept, "t", *[rows] * 5)
        assert kept.table("t").rows == 1_000_000
        assert len(files(tmp_path)) == 5
        assert values(kept, "t") == list(range(200_000)) * 5


def test_small_appends_become_one_file_in_order(tmp_path: Path) -> None:
    count = 2 * ingesting.SMALL_PARTS_MAX + 5
    with KeptTables.open(tmp_path, durable=False) as kept:
        for number in range(count):
            put(kept, "t", numbers(number))
        assert values(kept, "t") == list(range(count))
        assert len(files(tmp_path)) < ingesting.SMALL_PARTS_MAX
    with KeptTables.open(tmp_path) as kept:
        assert values(kept, "t") == list(range(count))


def test_many_tiny_batches_are_few_batches(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path, durable=False) as kept:
        put(kept, "t", *[numbers(n) for n in range(3_000)])
        with kept.read("t") as reading:
            file = Path(str(reading.config["path"]), reading.table.parts[0].file)
            assert pa.ipc.open_file(str(file)).num_record_batches <= 3
        assert values(kept, "t") == list(range(3_000))


def test_a_table_that_was_replaced_takes_no_rows_meant_for_the_old_one(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1))
        with kept.ingest("t", NUMBERS, "append") as ingest:
            ingest.write(numbers(2))
            put(kept, "t", pa.record_batch({"text": ["x"]}), mode="replace")
            with pytest.raises(QueryError) as error:
                ingest.commit()
        refused("conflict", error)
        assert table_of(kept, "t").to_pydict() == {"text": ["x"]}


def test_appends_at_the_same_time_all_count(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path, durable=False) as kept:
        put(kept, "t", numbers())
        threads = [
            threading.Thread(target=lambda: [put(kept, "t", numbers(n)) for n in range(50)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(values(kept, "t")) == sorted([*range(50)] * 4)


def test_a_rewriting_keeps_others_waiting(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1, 2))
        done = threading.Event()

        def append() -> None:
            put(kept, "t", numbers(3))
            done.set()

        with kept.rewrite("t") as rewriting:
            thread = threading.Thread(target=append)
            thread.start()
            assert values(kept, "t") == [1, 2]
            rewriting.write(numbers(20))
            assert rewriting.commit() == 1
            assert not done.is_set()
        thread.join()
        assert values(kept, "t") == [20, 3]


def test_who_waits_too_long_for_a_statement_is_told(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path, limits=KeptLimits(wait_s=0.01)) as kept:
        put(kept, "t", numbers(1))
        with kept.rewrite("t"), pytest.raises(QueryError) as error:
            put(kept, "t", numbers(3))
        assert refused("conflict", error) == "`t` is being changed by another statement"
        put(kept, "t", numbers(3))
        assert values(kept, "t") == [1, 3]


def test_a_rewriting_that_fails_changes_nothing(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1, 2))
        with pytest.raises(ZeroDivisionError), kept.rewrite("t") as rewriting:
            rewriting.write(numbers(5))
            raise ZeroDivisionError
        assert values(kept, "t") == [1, 2]
        assert len(files(tmp_path)) == 1
        assert kept.truncate("t") == 2


def test_a_folder_belongs_to_one_process(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path), pytest.raises(UsageError, match="another process keeps its tables"):
        KeptTables.open(tmp_path)
    KeptTables.open(tmp_path).close()


def test_after_the_end_nothing_is_changed(tmp_path: Path) -> None:
    kept = KeptTables.open(tmp_path)
    put(kept, "t", numbers(1))
    reading = kept.read("t")
    kept.close()
    kept.close()
    with pytest.raises(QueryError) as error:
        put(kept, "t", numbers(2))
    refused("unavailable", error)
    reading.close()
    with KeptTables.open(tmp_path) as again:
        assert values(again, "t") == [1]


def test_a_limit_on_tables(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path, limits=KeptLimits(tables=2)) as kept:
        put(kept, "a", numbers(1))
        put(kept, "b", numbers(1))
        with pytest.raises(QueryError) as error:
            put(kept, "c", numbers(1))
        refused("exhausted", error)
        assert [t.name for t in kept.tables()] == ["a", "b"]
        assert len(files(tmp_path)) == 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("cut", "is no manifest of kept tables"),
        ("newer", "was written by another release"),
        ("part", "rows of the kept table `t` are gone"),
    ],
)
def test_a_damaged_folder_is_left_alone(tmp_path: Path, damage: str, message: str) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1))
    manifest = tmp_path / "manifest.json"
    match damage:
        case "cut":
            manifest.write_text(manifest.read_text()[:40])
        case "newer":
            manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
        case _:
            (tmp_path / "parts" / next(iter(files(tmp_path)))).write_bytes(b"")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=message):
        KeptTables.open(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_files_are_the_users_alone(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path / "kept") as kept:
        put(kept, "t", numbers(1))
        found = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
        assert len(found) == 3
        assert {path.stat().st_mode & 0o777 for path in found} == {0o600}

"""Tables that go with the process: their rows are in memory, and in files where there is no more of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.database.errors import QueryError
from heddle.database.kept_manifest import FILE_NAME
from heddle.database.kept_parts import Parts
from heddle.database.kept_tables import KeptLimits, KeptTables
from heddle.std.mapped import is_held, mapped_batches
from tests.database.kept import NUMBERS, files, numbers, put, table_of, values

ROWS = 200_000
LARGE = numbers(*range(ROWS))
LIMIT_BYTES = 3 * LARGE.nbytes + (64 << 10)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptTables]:
    with KeptTables.open(tmp_path, durable=False, limits=KeptLimits(memory_bytes=LIMIT_BYTES)) as opened:
        yield opened


def parts_of(kept: KeptTables, name: str, folder: Path) -> list[Path]:
    return [folder / "parts" / part.file for part in kept.table(name).parts]


def test_rows_are_in_no_file(kept: KeptTables, tmp_path: Path) -> None:
    put(kept, "t", LARGE, numbers(1, 2))
    put(kept, "empty", numbers())
    assert files(tmp_path) == set()
    assert values(kept, "t") == [*range(ROWS), 1, 2]
    assert (values(kept, "empty"), table_of(kept, "empty").schema) == ([], NUMBERS)


def test_what_has_no_room_is_in_a_file(kept: KeptTables, tmp_path: Path) -> None:
    """All of it, in its order: also the beginning, for which there was memory."""
    put(kept, "small", numbers(7))
    put(kept, "t", *[LARGE] * 5)
    assert len(files(tmp_path)) == 1
    assert values(kept, "t") == list(range(ROWS)) * 5
    put(kept, "other", *[LARGE] * 2)
    assert len(files(tmp_path)) == 1, "the memory was given back"
    assert (values(kept, "small"), len(values(kept, "other"))) == ([7], 2 * ROWS)


@pytest.mark.parametrize("turn", ["drop", "replace", "abort", "roll back"])
def test_memory_is_given_back(kept: KeptTables, tmp_path: Path, turn: str) -> None:
    for _ in range(10):
        match turn:
            case "drop":
                put(kept, "t", LARGE, LARGE)
                kept.drop("t")
            case "replace":
                put(kept, "t", LARGE, mode="replace")
            case "abort":
                with kept.ingest("t", NUMBERS, "create") as ingest:
                    ingest.write(LARGE)
                    ingest.write(LARGE)
            case _:
                transaction = kept.begin("ada")
                put(kept, "t", LARGE, LARGE, transaction=transaction)
                kept.end(transaction, commit=False)
        assert files(tmp_path) == set()


def test_rows_that_are_read_stay_until_they_are_read(kept: KeptTables, tmp_path: Path) -> None:
    put(kept, "t", LARGE)
    (part,) = parts_of(kept, "t", tmp_path)
    with kept.read("t"):
        kept.drop("t")
        assert is_held(part)
    assert not is_held(part)


def test_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path, durable=False, limits=KeptLimits(memory_bytes=LIMIT_BYTES)) as kept:
        put(kept, "t", LARGE)
        (part,) = parts_of(kept, "t", tmp_path)
        assert is_held(part)
    assert not is_held(part)


def test_a_writer_that_ends_after_the_tables_leaves_nothing(tmp_path: Path) -> None:
    parts = Parts(tmp_path, part_bytes_max=1, memory_bytes_max=LIMIT_BYTES)
    writer = parts.writer("t", NUMBERS)
    writer.write(LARGE)
    parts.close()
    (part,) = writer.finish()
    writer.discard()
    assert not is_held(tmp_path / part.file)


def test_a_part_holds_its_own_rows_and_no_more(kept: KeptTables) -> None:
    """One row of a large batch must not keep all of it in memory."""
    before = pa.total_allocated_bytes()
    large = numbers(*range(ROWS))
    put(kept, "t", large.slice(ROWS // 2, 1))
    del large
    assert pa.total_allocated_bytes() - before < LARGE.nbytes // 2
    assert values(kept, "t") == [ROWS // 2]


def test_rows_that_keep_nothing_else_in_memory_are_not_copied(kept: KeptTables, tmp_path: Path) -> None:
    """Also between others, whose copies are still being made, they have their place."""
    with kept.ingest("t", NUMBERS, "create") as ingest:
        for batch, compact in [(LARGE, False), (numbers(*range(ROWS, 2 * ROWS)), True), (LARGE, True)]:
            ingest.write(batch, compact=compact)
        ingest.commit()
    _, held = mapped_batches(parts_of(kept, "t", tmp_path))
    given = LARGE["n"].buffers()[1].address
    assert [batch["n"].buffers()[1].address == given for batch in held] == [False, False, True]
    assert values(kept, "t") == [*range(2 * ROWS), *range(ROWS)]


def test_rows_that_are_cast_are_not_those_that_were_given(kept: KeptTables) -> None:
    put(kept, "t", numbers(1))
    wide = pa.record_batch({"n": pa.array(range(ROWS), pa.int32()), "m": pa.array(["x" * 100] * ROWS)})
    with kept.ingest("t", wide.schema.remove(1), "append") as ingest:
        before = pa.total_allocated_bytes()
        ingest.write(wide.select(["n"]), compact=True)
        ingest.commit()
    del wide
    assert pa.total_allocated_bytes() < before
    assert values(kept, "t") == [1, *range(ROWS)]


def test_tables_that_go_with_the_process_are_in_no_manifest(kept: KeptTables, tmp_path: Path) -> None:
    put(kept, "t", *[LARGE] * 5)
    assert not (tmp_path / FILE_NAME).exists()


def test_tables_that_must_last_are_in_files(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path, limits=KeptLimits(memory_bytes=LIMIT_BYTES)) as kept:
        put(kept, "t", LARGE)
        assert len(files(tmp_path)) == 1


def test_a_failure_gives_the_memory_back(kept: KeptTables, tmp_path: Path) -> None:
    put(kept, "t", numbers(1))
    for _ in range(10):
        with kept.ingest("t", NUMBERS, "append") as ingest:
            ingest.write(LARGE)
            with pytest.raises(QueryError):
                ingest.write(pa.record_batch({"n": ["no number"]}))
    put(kept, "u", LARGE, LARGE)
    assert files(tmp_path) == set()

"""Kept tables in processes that are killed, and on full disks: a change is whole or was never made."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.database.errors import QueryError
from heddle.database.kept_tables import KeptTables
from tests.database.kept import files, numbers, put, values

# Forks of a process that has no threads: those of this one could hold a lock that nobody gives back there.
OTHERS = multiprocessing.get_context("forkserver")
OTHERS.set_forkserver_preload([__name__])
DEADLINE_S = 60.0


def change_for_ever(folder: Path, told: Connection) -> None:
    """In each transaction one more row in `a` and `b`, and other rows in `c`; tells of each that is done."""
    with KeptTables.open(folder) as kept:
        count = kept.table("a").rows
        while True:
            transaction = kept.begin("ada")
            put(kept, "a", numbers(count), transaction=transaction)
            put(kept, "b", numbers(count), transaction=transaction)
            put(kept, "c", numbers(*[count] * (count % 50 + 1)), mode="replace", transaction=transaction)
            kept.end(transaction, commit=True)
            count += 1
            told.send(count)


def test_a_killed_process_leaves_whole_changes(tmp_path: Path) -> None:
    chance = random.Random(7)
    with KeptTables.open(tmp_path) as kept:
        put(kept, "a", numbers())
        put(kept, "b", numbers())
        put(kept, "c", numbers())
    done = 0
    for _ in range(12):
        listening, told = OTHERS.Pipe(duplex=False)
        process = OTHERS.Process(target=change_for_ever, args=(tmp_path, told))
        process.start()
        told.close()
        assert listening.poll(DEADLINE_S)
        done = listening.recv()
        time.sleep(chance.uniform(0, 0.02))  # where in a change it is killed is left to chance
        process.kill()
        process.join()
        while listening.poll():
            try:
                done = listening.recv()
            except EOFError:
                break
        with KeptTables.open(tmp_path) as kept:
            rows = kept.table("a").rows
            assert rows in (done, done + 1)
            assert values(kept, "a") == values(kept, "b") == list(range(rows))
            assert values(kept, "c") == [rows - 1] * ((rows - 1) % 50 + 1)
            held = {part.file for table in kept.tables() for part in table.parts}
            assert files(tmp_path) == held


def put_and_wait(folder: Path, told: Connection) -> None:
    with KeptTables.open(folder) as kept, kept.ingest("t", numbers().schema, "replace") as ingest:
        ingest.write(pa.record_batch({"n": pa.array(range(2_000_000), pa.int64())}))
        told.send(None)
        told.recv()


def test_a_process_that_is_killed_while_it_writes(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1))
        before = files(tmp_path)
    here, there = OTHERS.Pipe()
    process = OTHERS.Process(target=put_and_wait, args=(tmp_path, there))
    process.start()
    there.close()
    assert here.poll(DEADLINE_S)
    here.recv()
    process.kill()
    process.join()
    assert files(tmp_path) > before
    with KeptTables.open(tmp_path) as kept:
        assert values(kept, "t") == [1]
        assert files(tmp_path) == before


def put_with_little_space(folder: Path, rows: int, told: Connection) -> None:
    with KeptTables.open(folder) as kept:
        put(kept, "t", numbers(1))
        before = files(folder)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        try:
            put(kept, "t", pa.record_batch({"n": pa.array(range(rows), pa.int64())}))
        except QueryError as error:
            told.send((error.kind, error.message, values(kept, "t"), files(folder) == before))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        put(kept, "t", numbers(2))
        told.send(values(kept, "t"))


@pytest.mark.parametrize("rows", [100_000, 3_000_000], ids=["one buffer", "many buffers"])
def test_a_full_disk_changes_nothing(tmp_path: Path, rows: int) -> None:
    listening, told = OTHERS.Pipe(duplex=False)
    process = OTHERS.Process(target=put_with_little_space, args=(tmp_path, rows, told))
    process.start()
    told.close()
    assert listening.poll(DEADLINE_S)
    message = "there is no space left for the rows of `t`"
    assert listening.recv() == ("exhausted", message, [1], True)
    assert listening.recv() == [1, 2]
    process.join()
    assert process.exitcode == 0
    with KeptTables.open(tmp_path) as kept:
        assert values(kept, "t") == [1, 2]


def fill_the_manifest(folder: Path, told: Connection) -> None:
    with KeptTables.open(folder) as kept:
        for number in range(30):
            put(kept, f"t{number}", numbers(number))
        size = (folder / "manifest.json").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            put(kept, "one more", numbers(0))
        except QueryError as error:
            told.send((error.kind, [t.name for t in kept.tables()], len(files(folder))))


def test_a_disk_that_is_full_for_the_manifest(tmp_path: Path) -> None:
    listening, told = OTHERS.Pipe(duplex=False)
    process = OTHERS.Process(target=fill_the_manifest, args=(tmp_path, told))
    process.start()
    told.close()
    assert listening.poll(DEADLINE_S)
    names = sorted(f"t{number}" for number in range(30))
    assert listening.recv() == ("exhausted", names, 30)
    process.join()
    with KeptTables.open(tmp_path) as kept:
        assert [table.name for table in kept.tables()] == names
    assert os.listdir(tmp_path / "parts")

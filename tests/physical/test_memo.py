"""The memo on disk: entries whole or not at all, bounded, and harmless whatever happens to its files."""

from __future__ import annotations

import multiprocessing
import os
import resource
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from heddle.physical.frames import Frame
from heddle.physical.memo import PARTIAL_AGE_MAX_S, Memo, memo_folder
from tests.waiting import PATIENCE_S, until

GENEROUS = 1 << 30


def frame(*values: int, copies: int = 1) -> Frame:
    batch = pa.record_batch(
        {"n": pa.array(values * copies, pa.int64()), "t": pa.array(["x"] * len(values) * copies)}
    )
    return Frame(batch.schema, (batch,), batch.num_rows, batch.nbytes, batch.nbytes, None)


def numbers(found: Frame | None) -> list[int]:
    assert found is not None
    return pa.Table.from_batches(found.batches, found.schema)["n"].to_pylist()


def test_what_is_stored_is_found(tmp_path: Path) -> None:
    memo = Memo(tmp_path, GENEROUS)
    assert memo.load("a") is None and not memo.holds("a")
    assert memo.store("a", frame(1, 2, 3))
    found = memo.load("a")
    assert numbers(found) == [1, 2, 3]
    assert found is not None and (found.rows, found.memory_bytes) == (3, 0)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_no_rows_are_a_result_too(tmp_path: Path) -> None:
    memo = Memo(tmp_path, GENEROUS)
    schema = pa.schema([("n", pa.int64())])
    memo.store("a", Frame(schema, (), 0, 0, 0, None))
    found = memo.load("a")
    assert found is not None and (found.rows, found.schema) == (0, schema)


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "head", "other"])
def test_a_damaged_entry_is_none(tmp_path: Path, damage: str) -> None:
    memo = Memo(tmp_path, GENEROUS)
    memo.store("a", frame(*range(1_000)))
    (entry,) = tmp_path.glob("a*")
    data = bytearray(entry.read_bytes())
    match damage:
        case "empty":
            data.clear()
        case "cut":
            del data[len(data) // 2 :]
        case "flipped":
            data[len(data) // 2] ^= 1
        case "head":
            del data[20:]
        case _:
            data[:] = b"something else" * 100
    entry.write_bytes(data)
    assert memo.load("a") is None
    assert not entry.exists()
    assert memo.store("a", frame(4))
    assert numbers(memo.load("a")) == [4]


def test_what_was_not_used_for_the_longest_time_goes(tmp_path: Path) -> None:
    size = _entry_bytes(tmp_path / "probe")
    memo = Memo(tmp_path, int(size * 2.5))
    for at, key in enumerate("ab"):
        memo.store(key, frame(*range(1_000)))
        os.utime(tmp_path / f"{key}.memo", (at, at))
    memo.load("a")
    memo.store("c", frame(*range(1_000)))
    assert [memo.holds(key) for key in "abc"] == [True, False, True]


def test_what_is_larger_than_the_memo_is_not_kept(tmp_path: Path) -> None:
    memo = Memo(tmp_path, 1_000)
    assert not memo.store("a", frame(*range(10_000)))
    assert not memo.holds("a")


def test_a_result_in_use_stays_readable(tmp_path: Path) -> None:
    memo = Memo(tmp_path, GENEROUS)
    memo.store("a", frame(*range(10_000)))
    found = memo.load("a")
    cleared = memo.clear()
    assert cleared.count == 1 and cleared.size_bytes > 80_000
    assert numbers(found) == list(range(10_000))
    assert memo.load("a") is None


def test_a_full_disk_does_no_harm(tmp_path: Path) -> None:
    memo = Memo(tmp_path, GENEROUS)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    try:
        assert not memo.store("a", frame(*range(100_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [path.name for path in tmp_path.iterdir() if path.name != "lock"] == []
    assert memo.store("a", frame(1))


def test_a_missing_folder_does_no_harm(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "gone", GENEROUS)
    assert not memo.store("a", frame(1))
    assert memo.load("a") is None


def test_what_a_dead_process_left_unfinished_goes(tmp_path: Path) -> None:
    memo = Memo(tmp_path, GENEROUS)
    old, young = tmp_path / "old.partial", tmp_path / "young.partial"
    old.touch()
    young.touch()
    past = old.stat().st_mtime - PARTIAL_AGE_MAX_S - 10
    os.utime(old, (past, past))
    memo.store("a", frame(1))
    assert (old.exists(), young.exists()) == (False, True)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    memo = Memo(tmp_path, GENEROUS)
    memo.store("a", frame(1))
    before = psutil.Process().num_fds()
    for _ in range(50):
        memo.store("a", frame(1))
        memo.load("a")
    until(lambda: psutil.Process().num_fds() <= before + 1, "files stay open")


def _entry_bytes(folder: Path) -> int:
    folder.mkdir()
    Memo(folder, GENEROUS).store("p", frame(*range(1_000)))
    return (folder / "p.memo").stat().st_size


def _work(folder: Path, seed: int) -> None:
    memo = Memo(folder, 60_000)
    for i in range(60):
        value = (i * 7 + seed) % 10
        found = memo.load(f"k{value}")
        if found is not None:
            assert set(numbers(found)) == {value}
        memo.store(f"k{value}", frame(value, copies=1_000))


def test_processes_share_it(tmp_path: Path) -> None:
    workers = [
        multiprocessing.get_context("spawn").Process(target=_work, args=(tmp_path, i)) for i in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE_S)
    assert [worker.exitcode for worker in workers] == [0] * 4
    entries = list(tmp_path.glob("*.memo"))
    assert entries and sum(entry.stat().st_size for entry in entries) <= 60_000
    assert list(tmp_path.glob("*.partial")) == []


def test_the_folder_is_the_users_alone(tmp_path: Path) -> None:
    folder = memo_folder({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert folder.stat().st_mode & 0o777 == 0o700
    assert memo_folder({"HOME": str(tmp_path)}) == tmp_path / ".cache" / "heddle" / "memo"
    folder.chmod(0o755)
    with pytest.raises(PermissionError):
        memo_folder({"XDG_CACHE_HOME": str(tmp_path / "cache")})

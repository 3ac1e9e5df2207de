"""Shared memory: inputs are read where they lie and given back, outputs are written where they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.core.wire import plugin_pb2 as wire
from tests.sdk.raw_client import Memory, RawPlugin, conformance, inline, probe, wait_for

LARGE = pa.table({"x": range(200_000), "s": ["abc"] * 200_000})


@pytest.fixture(scope="module")
def plugin() -> Iterator[RawPlugin]:
    with conformance() as started:
        yield started


@pytest.fixture
def looking() -> Iterator[RawPlugin]:
    with probe() as started:
        yield started


def test_the_step_sees_the_shared_memory_itself(looking: RawPlugin) -> None:
    memory = Memory(8 << 20)
    with looking.lane() as lane:
        lane.begin(looking.bind("where"), [memory.put(LARGE, 4096)])
        shared = lane.finish()
        unshared = lane.call(looking.bind("where"), LARGE.slice(0, 10))
    assert [row["shared"] for row in shared.table.to_pylist()] == [True]
    assert [row["shared"] for row in unshared.table.to_pylist()] == [False]
    assert shared.released == [memory.wire.id]
    mapped = [line for line in looking.maps() if "memfd:test" in line]
    (permissions,) = {line.split()[1] for line in mapped}
    assert permissions == "r--s"


def test_untouched_columns_do_not_travel(plugin: RawPlugin) -> None:
    memory, grant, other = Memory(8 << 20), Memory(8 << 20), Memory(8 << 20)
    with plugin.lane() as lane:
        lane.begin(plugin.bind("identity"), [memory.put(LARGE)])
        same = lane.finish(LARGE)
        lane.begin(plugin.bind("add", {"amount": 1}), [memory.put(LARGE)])
        added = lane.finish(LARGE, [grant])
        lane.begin(plugin.bind("rebuild"), [memory.put(LARGE)])
        rebuilt = lane.finish(LARGE, [other])
    assert [list(b.columns) for b in same.batches] == [[-1, -2]]
    assert same.table.equals(LARGE)
    assert [list(b.columns) for b in added.batches] == [[-1, -2, 0]]
    assert added.table["y"].to_pylist()[-1] == 200_000
    assert [list(b.columns) for b in rebuilt.batches] == [[]]
    assert rebuilt.table.equals(LARGE)


def test_an_output_goes_into_the_grant_else_a_larger_one_is_asked_for(plugin: RawPlugin) -> None:
    memory, small, large = Memory(8 << 20), Memory(1 << 20), Memory(8 << 20)
    with plugin.lane() as lane:
        binding = plugin.bind("rebuild")
        lane.begin(binding, [memory.put(LARGE)], grant=large)
        enough = lane.finish(grants=[large])
        lane.begin(binding, [memory.put(LARGE)], grant=small)
        asked = lane.finish(grants=[large])
    assert enough.frames == ["batch", "result"]
    assert enough.table.equals(LARGE)
    assert asked.frames == ["need", "batch", "result"]
    assert asked.needs == [asked.batches[0].slice.length]
    assert asked.table.equals(LARGE)


def test_without_memory_an_output_is_cut_into_frames(looking: RawPlugin) -> None:
    answer = looking.call("rows_of_bytes", source=True)
    assert answer.needs
    assert len(answer.batches) > 2
    assert answer.table["b"].to_pylist() == [bytes([i]) * (1 << 20) for i in range(40)]


def test_a_row_that_fits_nowhere_says_so(looking: RawPlugin) -> None:
    with looking.lane() as lane:
        binding = looking.bind("blob")
        failure = lane.call(binding, source=True).failure
        assert failure is not None
        assert "a single row of 20 MB does not fit" in failure.message
        grant = Memory(32 << 20)
        lane.begin(binding)
        assert lane.finish(grants=[grant]).table["b"][0].as_py() == b"x" * (20 << 20)


def test_an_input_comes_in_many_segments(plugin: RawPlugin) -> None:
    memories = [Memory(8 << 20) for _ in range(3)]
    rows = LARGE.select(["x"])
    with plugin.lane() as lane:
        lane.begin(plugin.bind("total"), [m.put(rows) for m in memories])
        answer = lane.finish()
    assert answer.table.to_pylist() == [{"total": 3 * sum(range(200_000))}]
    assert sorted(answer.released) == [m.wire.id for m in memories]


def test_memory_that_the_step_keeps_comes_back_when_it_lets_go(looking: RawPlugin) -> None:
    memory, other = Memory(8 << 20), Memory(8 << 20)
    with looking.lane() as lane:
        lane.begin(looking.bind("keep"), [memory.put(LARGE)])
        assert lane.finish().released == []
        lane.begin(looking.bind("where"), [other.put(LARGE)])
        assert lane.finish().released == [other.wire.id]
        assert lane.call(looking.bind("drop"), source=True).released == [memory.wire.id]


def test_a_failure_gives_the_memory_back_at_once(looking: RawPlugin) -> None:
    memory = Memory(8 << 20)
    with looking.lane() as lane:
        lane.begin(looking.bind("fail_deep"), [memory.put(LARGE)])
        answer = lane.finish()
    assert answer.failure is not None
    assert answer.failure.error_type == "KeyError"
    assert "ValueError: deep" in answer.failure.stack_trace
    assert answer.released == [memory.wire.id]


def test_the_same_segment_serves_many_calls_through_one_mapping(looking: RawPlugin) -> None:
    memory = Memory(8 << 20)
    addresses = set()
    with looking.lane() as lane:
        binding = looking.bind("where")
        for number in range(20):
            lane.begin(binding, [memory.put(pa.table({"x": [number] * 100_000}))])
            answer = lane.finish()
            assert answer.released == [memory.wire.id]
            addresses.add(answer.table["address"][0].as_py())
    assert len(addresses) == 1
    assert len([line for line in looking.maps() if "memfd:test" in line]) == 1


def test_forgotten_segments_are_unmapped_when_nothing_refers_to_them(looking: RawPlugin) -> None:
    memory, kept = Memory(8 << 20), Memory(8 << 20)
    ids = [memory.wire.id, kept.wire.id]
    with looking.lane() as lane:
        lane.begin(looking.bind("where"), [memory.put(LARGE)])
        lane.finish()
        lane.begin(looking.bind("keep"), [kept.put(LARGE)])
        lane.finish()
        assert looking.mapped() == 2
        lane.begin(looking.bind("pid"), forgotten=ids)
        lane.finish()
        wait_for(lambda: looking.mapped() == 1, "the end of a mapping")
        lane.call(looking.bind("drop"), source=True)
        wait_for(lambda: looking.mapped() == 0, "the end of the other mapping")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offset": 8 << 20}, "of a segment of"),
        ({"length": 1 << 40}, "of a segment of"),
        ({"length": 100}, "no Arrow stream"),
    ],
)
def test_slices_that_cannot_be_read_are_refused_and_released(
    looking: RawPlugin, change: dict[str, int], message: str
) -> None:
    memory = Memory(8 << 20)
    batch = memory.put(LARGE)
    for name, value in change.items():
        setattr(batch.slice, name, value)
    _refused(looking, batch, message)


def test_segments_that_are_not_there_are_refused(looking: RawPlugin) -> None:
    memory = Memory(8 << 20)
    missing = memory.put(LARGE)
    missing.slice.segment.path = "/proc/self/fd/9999"
    _refused(looking, missing, "cannot be opened")
    large = Memory(8 << 20).put(LARGE)
    large.slice.segment.size_bytes = 1 << 30
    _refused(looking, large, "cannot be mapped")


def _refused(looking: RawPlugin, batch: wire.Batch, message: str) -> None:
    with looking.lane() as lane:
        lane.begin(looking.bind("where"), [inline(LARGE.slice(0, 1)), batch, inline(LARGE.slice(1, 1))])
        answer = lane.finish()
        assert answer.failure is not None
        assert answer.failure.kind == wire.Failure.PROTOCOL
        assert message in answer.failure.message
        assert answer.released == [batch.slice.segment.id]
        assert lane.call(looking.bind("where"), LARGE.slice(0, 1)).failure is None


def test_no_sub_process_inherits_a_segment(looking: RawPlugin) -> None:
    memory = Memory(8 << 20)
    with looking.lane() as lane:
        lane.begin(looking.bind("where"), [memory.put(LARGE)])
        lane.finish()
        process = Path(f"/proc/{looking.process.pid}")
        segments = [f.name for f in (process / "fd").iterdir() if "memfd" in str(f.readlink())]
    for name in segments:
        (flags,) = (w for w in (process / "fdinfo" / name).read_text().splitlines() if w.startswith("flags"))
        assert int(flags.split()[1], 8) & os.O_CLOEXEC

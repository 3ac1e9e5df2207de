"""Frames that several runs share: computed by one at a time, freed with the last reader."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from heddle.physical.frames import Frame, FrameStore
from heddle.physical.shared_frames import Holder, SharedFrames, Taken, UnderWay

LIMIT_BYTES = 10_000


class Run:
    """A run with a store of its own, that counts how often it was woken."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.store = FrameStore(self.folder, LIMIT_BYTES)
        self.woken = 0
        self.holder = Holder(name, self.store, self._wake)

    def frame(self, rows: int = 1_000) -> Frame:
        return self.store.collect([pa.record_batch({"n": pa.array(range(rows), pa.int64())})])

    def keeps_in_memory(self, rows: int) -> bool:
        frame = self.frame(rows)
        self.store.free(frame)
        return frame.file is None

    def _wake(self) -> None:
        self.woken += 1


def test_one_computes_and_the_others_take(tmp_path: Path) -> None:
    shared, one, other = SharedFrames(), Run("one", tmp_path), Run("other", tmp_path)
    assert shared.find("k", one.holder) is None
    assert shared.begin("k", one.holder)
    assert not shared.begin("k", other.holder)
    assert shared.find("k", other.holder) == UnderWay()
    shared.publish("k", one.holder, frame := one.frame())
    assert other.woken == 1
    assert shared.find("k", other.holder) == Taken(frame, "one")
    shared.free("k", one.holder)
    assert shared.find("k", one.holder) == Taken(frame, "one"), "it is there as long as somebody reads it"
    shared.free("k", other.holder)
    shared.free("k", one.holder)
    assert (len(shared), shared.find("k", one.holder)) == (0, None)


def test_who_gives_up_lets_one_of_the_others_begin(tmp_path: Path) -> None:
    shared = SharedFrames()
    one, second, third = (Run(name, tmp_path) for name in ("one", "second", "third"))
    shared.begin("k", one.holder)
    for run in (second, third):
        assert shared.find("k", run.holder) == UnderWay()
    shared.give_up("k", one.holder)
    assert (second.woken, third.woken) == (1, 1)
    assert [shared.begin("k", run.holder) for run in (second, third)] == [True, False]
    shared.publish("k", one.holder, one.frame())
    assert shared.find("k", third.holder) == UnderWay(), "what it gave up is no longer its own to publish"
    shared.give_up("k", second.holder)
    assert len(shared) == 0


def test_who_waits_no_more_is_not_woken(tmp_path: Path) -> None:
    shared, one, other = SharedFrames(), Run("one", tmp_path), Run("other", tmp_path)
    shared.begin("k", one.holder)
    shared.find("k", other.holder)
    shared.free("k", other.holder)
    shared.publish("k", one.holder, one.frame())
    shared.free("k", one.holder)
    assert (other.woken, len(shared)) == (0, 0)


def test_its_memory_counts_against_a_run_that_reads_it(tmp_path: Path) -> None:
    shared, one, other = SharedFrames(), Run("one", tmp_path), Run("other", tmp_path)
    shared.begin("k", one.holder)
    shared.publish("k", one.holder, one.frame(1_000))
    shared.find("k", other.holder)
    assert (one.keeps_in_memory(500), other.keeps_in_memory(500)) == (False, True)
    shared.free("k", one.holder)
    assert (one.keeps_in_memory(500), other.keeps_in_memory(500)) == (True, False)
    shared.free("k", other.holder)
    assert other.keeps_in_memory(500)


def test_a_spilled_frame_goes_with_its_last_reader(tmp_path: Path) -> None:
    shared, one, other = SharedFrames(), Run("one", tmp_path), Run("other", tmp_path)
    shared.begin("k", one.holder)
    shared.publish("k", one.holder, one.frame(5_000))
    taken = shared.find("k", other.holder)
    assert isinstance(taken, Taken) and taken.frame.file is not None
    shared.free("k", one.holder)
    assert taken.frame.file.exists()
    shared.free("k", other.holder)
    assert list(one.folder.iterdir()) == []

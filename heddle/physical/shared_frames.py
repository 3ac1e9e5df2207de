"""Frames that runs under way at the same time share: computed by one, read by all that need the same.

A frame is known by its content key. The first run that needs it computes it, the others wait for it and
read the same batches; when its run fails or is cancelled, one of the others computes it. It is freed with its
last reader: nothing is kept for runs that come later. Its memory counts against the run that computed it,
and, when that run has no more use for it, against one of those that have. A spilled frame stays readable
when its run's folder is gone, because its file is mapped.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import field
from typing import TypeAlias

from heddle.core.record import record
from heddle.physical.frames import Frame, FrameStore

Wake: TypeAlias = Callable[[], None]
"""Called from another run's thread when something has changed; must not block."""


@record(slots=True, eq=False)
class Holder:
    """A run's claim to one frame. `wake` is called when a frame that it waits for can be had, or computed."""

    run_id: str
    store: FrameStore
    wake: Wake


@record(slots=True, eq=False)
class _Entry:
    """`owner` computes the frame or pays for it. `waiting` have been told that it is under way."""

    owner: Holder
    run_id: str
    frame: Frame | None = None
    readers: list[Holder] = field(default_factory=list)
    waiting: list[Holder] = field(default_factory=list)


@record(frozen=True, slots=True)
class Taken:
    """A frame that the run `run_id` computed."""

    frame: Frame
    run_id: str


@record(frozen=True, slots=True)
class UnderWay:
    """Another run computes it; `Holder.wake` tells when to look again."""


class SharedFrames:
    """The frames that the runs of a process share. Thread-safe. Keys are made with `secret`, so that a key
    that is seen elsewhere does not tell what a setting was."""

    def __init__(self) -> None:
        self.secret = os.urandom(32)
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def find(self, key: str, holder: Holder) -> Taken | UnderWay | None:
        """The frame, which the holder then frees; None when nobody computes it."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry.frame is None:
                if holder not in entry.waiting:
                    entry.waiting.append(holder)
                return UnderWay()
            entry.readers.append(holder)
            return Taken(entry.frame, entry.run_id)

    def begin(self, key: str, holder: Holder) -> bool:
        """Whether the holder is to compute the frame, and `publish` or `give_up` then."""
        with self._lock:
            if key in self._entries:
                return False
            self._entries[key] = _Entry(holder, holder.run_id)
            return True

    def publish(self, key: str, holder: Holder, frame: Frame) -> None:
        """The frame that the holder began, which it reads itself and then frees."""
        with self._lock:
            entry = self._begun(key, holder)
            if entry is None:
                return
            entry.frame = frame
            entry.readers.append(holder)
            waiting, entry.waiting = entry.waiting, []
        _wake(waiting)

    def give_up(self, key: str, holder: Holder) -> None:
        """The holder does not compute the frame that it began; does nothing when it began none."""
        with self._lock:
            entry = self._begun(key, holder)
            if entry is None:
                return
            del self._entries[key]
        _wake(entry.waiting)

    def free(self, key: str, holder: Holder) -> None:
        """The holder reads the frame no more, or waits for it no more."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return
            if holder in entry.waiting:
                entry.waiting.remove(holder)
            if entry.frame is None or holder not in entry.readers:
                return
            entry.readers.remove(holder)
            if not entry.readers:
                del self._entries[key]
                entry.owner.store.free(entry.frame)
            elif entry.owner is holder:
                entry.owner = entry.readers[0]
                holder.store.hand_over(entry.frame, entry.owner.store)

    def _begun(self, key: str, holder: Holder) -> _Entry | None:
        entry = self._entries.get(key)
        return entry if entry is not None and entry.owner is holder and entry.frame is None else None


def _wake(holders: list[Holder]) -> None:
    for holder in holders:
        holder.wake()


FRAMES = SharedFrames()
"""Those of this process: the runs of all its engines."""

"""The tasks of a run that wait, and the frames between them: what can start, and what need not be done.

A task starts when its frames are there. One that needs a lost frame is lost with it. A frame is freed after
the last task that reads it. What other runs compute is taken from them (kept_frames.py): then the task that
would have made the frame is dropped, with all that only it needs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from threading import Condition
from typing import TYPE_CHECKING

from heddle.logical.plan import OpId
from heddle.physical.frames import Frame, FrameStore
from heddle.physical.tasks import PhysicalPlan, Task

if TYPE_CHECKING:
    from heddle.physical.kept_frames import KeptFrames


class TaskQueue:
    """Thread-safe by `changed`, which is notified when there may be something to start."""

    def __init__(
        self,
        physical: PhysicalPlan,
        store: FrameStore,
        changed: Condition,
        kept: KeptFrames | None,
        given: Mapping[OpId, Frame],
    ) -> None:
        """`given` are frames that are there from the start."""
        self._roots = frozenset(physical.logical.roots)
        self._waiting = deque(physical.tasks)
        self._readers_left = dict(physical.frame_readers)
        self._store = store
        self._changed = changed
        self._kept = kept
        self._frames: dict[OpId, Frame] = dict(given)
        self._lost: set[OpId] = set()
        self._follows = False
        self._stirred = False

    @property
    def left(self) -> Mapping[OpId, Frame]:
        """Frames that were not freed."""
        with self._changed:
            return dict(self._frames)

    @property
    def empty(self) -> bool:
        return not self._waiting

    @property
    def stirred(self) -> bool:
        """Whether other runs have done something for which this one waits."""
        return self._stirred

    @property
    def follows(self) -> bool:
        """Whether frames are waited for that other runs compute."""
        return self._follows

    @property
    def stuck(self) -> bool:
        """Whether nothing can make what the tasks wait for, when none runs: a defect."""
        return bool(self._waiting) and not (self._lost or self._follows or self._stirred)

    def stir(self) -> None:
        with self._changed:
            self._stirred = True
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self._waiting.clear()

    def frame(self, op_id: OpId) -> Frame:
        return self._frames[op_id]

    def take_ready(self, room: int) -> tuple[list[Task], list[Task]]:
        """At most `room` tasks to start, and those that are lost with what they need."""
        with self._changed:
            wanted = self._wanted() if self._kept is not None else None
            ready: list[Task] = []
            lost: list[Task] = []
            for task in list(self._waiting):
                if task.needs & self._lost:
                    self._waiting.remove(task)
                    self._lost.add(task.op)
                    lost.append(task)
                elif wanted is not None and task.op not in wanted:
                    continue
                elif len(ready) < room and task.needs <= self._frames.keys() and self._begins(task.op):
                    self._waiting.remove(task)
                    ready.append(task)
            if wanted is not None and not wanted:
                self._waiting.clear()
            return ready, lost

    def keep(self, op_id: OpId, frame: Frame) -> None:
        """The frame of a task that is done."""
        with self._changed:
            self._frames[op_id] = frame
        if self._kept is not None:
            self._kept.publish(op_id, frame)
        if not self._readers_left[op_id]:
            self._free(op_id)

    def lose(self, op_id: OpId) -> None:
        """The task has failed or was cancelled."""
        with self._changed:
            self._lost.add(op_id)
        if self._kept is not None:
            self._kept.give_up(op_id)

    def release(self, task: Task) -> None:
        """The task reads its frames no more."""
        for op_id in task.needs:
            self._read_once(op_id)

    def close(self) -> None:
        """The run is over: other runs go on without it."""
        if self._kept is not None:
            self._kept.close()

    def _wanted(self) -> set[OpId]:
        """The tasks that this run has to do itself. Frames that others have computed are taken."""
        assert self._kept is not None, "it is asked when there are frames to take"
        self._stirred = self._follows = False
        tasks = {task.op: task for task in self._waiting}
        wanted: set[OpId] = set()
        stack = [op_id for op_id in tasks if op_id in self._roots]
        while stack:
            op_id = stack.pop()
            if op_id in wanted or op_id not in tasks or op_id in self._frames:
                continue
            found = self._kept.find(op_id)
            if isinstance(found, Frame):
                self._frames[op_id] = found
                self._drop(tasks[op_id])
            elif found is None:
                wanted.add(op_id)
                stack.extend(tasks[op_id].needs)
            else:
                self._follows = True
        return wanted

    def _begins(self, op_id: OpId) -> bool:
        begins = self._kept is None or self._kept.begin(op_id)
        self._stirred |= not begins  # another run has begun it since this one looked
        return begins

    def _drop(self, task: Task) -> None:
        """The task need not be done, nor what only it needs."""
        dropped = [task]
        while dropped:
            task = dropped.pop()
            self._waiting.remove(task)
            unread = {op_id for op_id in task.needs if self._read_once(op_id)}
            dropped += [other for other in self._waiting if other.op in unread]

    def _read_once(self, op_id: OpId) -> bool:
        """One task less reads the frame. Frees it after the last, and tells that it was."""
        with self._changed:
            self._readers_left[op_id] -= 1
            last = self._readers_left[op_id] == 0
        if last:
            self._free(op_id)
        return last

    def _free(self, op_id: OpId) -> None:
        with self._changed:
            frame = self._frames.pop(op_id, None)
        shared = self._kept is not None and self._kept.free(op_id)
        if frame is not None and not shared:
            self._store.free(frame)

"""The frames of a run that need not be computed: another run, which is under way, computes the same, or an
earlier one has left them in the memo.

`kept_frames` finds the frames of a plan that have content keys; `PlanRun` then asks for each before it
computes it, and before it computes what that frame is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from heddle.logical.keys import content_keys
from heddle.logical.plan import LogicalPlan, OpId, label_of
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import StageTaken
from heddle.physical.frames import Frame, FrameStore
from heddle.physical.shared_frames import Holder, SharedFrames, Taken, UnderWay


class KeptFrames:
    """One run's view of them, by operator. Thread-safe.

    `wake` is called, from threads of other runs, when a frame that is under way can be had or computed.
    """

    def __init__(
        self,
        plan: LogicalPlan,
        env: RunEnvironment,
        shared: SharedFrames | None,
        keys: Mapping[OpId, str],
        store: FrameStore,
        wake: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._env = env
        self._shared = shared
        self._keys = keys
        self._holders = {op_id: Holder(env.run_id, store, wake) for op_id in keys}

    def find(self, op_id: OpId) -> Frame | UnderWay | None:
        """A frame to read and to `free` then; None when this run is to compute it."""
        memo = self._env.memo
        kept = memo.find(op_id) if memo is not None else None
        if memo is not None and kept is not None:
            self._tell(op_id, kept, f"from the {memo.source}")
            return kept
        if self._shared is None or op_id not in self._keys:
            return None
        found = self._shared.find(self._keys[op_id], self._holders[op_id])
        if not isinstance(found, Taken):
            return found
        self._tell(op_id, found.frame, f"shared with run {found.run_id}")
        return found.frame

    def begin(self, op_id: OpId) -> bool:
        """Whether this run may compute the frame; false when another has begun meanwhile."""
        if self._shared is None or op_id not in self._keys:
            return True
        return self._shared.begin(self._keys[op_id], self._holders[op_id])

    def publish(self, op_id: OpId, frame: Frame) -> None:
        if self._shared is not None and op_id in self._keys:
            self._shared.publish(self._keys[op_id], self._holders[op_id], frame)
        if self._env.memo is not None:
            self._env.memo.keep(op_id, frame)

    def give_up(self, op_id: OpId) -> None:
        """It was not computed."""
        if self._shared is not None and op_id in self._keys:
            self._shared.give_up(self._keys[op_id], self._holders[op_id])

    def free(self, op_id: OpId) -> bool:
        """The run reads the frame no more. False when the frame is the run's own."""
        if self._shared is None or op_id not in self._keys:
            return False
        self._shared.free(self._keys[op_id], self._holders[op_id])
        return True

    def close(self) -> None:
        """The run is over, however it ended."""
        for op_id in self._keys:
            self.give_up(op_id)
            self.free(op_id)

    def _tell(self, op_id: OpId, frame: Frame, how: str) -> None:
        op = self._plan.ops[op_id]
        self._env.listener(
            StageTaken(self._env.run_id, op.path, label_of(op), how, frame.rows, frame.size_bytes)
        )


def kept_frames(
    plan: LogicalPlan, env: RunEnvironment, store: FrameStore, wake: Callable[[], None]
) -> KeptFrames | None:
    """None when the run computes all its frames itself."""
    keys = _shared_keys(plan, env) if env.shared_frames is not None else {}
    return KeptFrames(plan, env, env.shared_frames, keys, store, wake) if keys or env.memo else None


def _shared_keys(plan: LogicalPlan, env: RunEnvironment) -> dict[OpId, str]:
    from heddle.std.file_states import file_states

    keys = content_keys(
        plan,
        env.resolver.config,
        lambda scan: file_states(scan.step, env.resolver.config(scan), env.base),
        base=str(env.base),
        secret=env.shared_frames.secret if env.shared_frames is not None else b"",
    )
    return {op_id: key for op_id, key in keys.items() if op_id in plan.spooled and op_id not in plan.roots}

"""What a run has to do with the memo: which steps' results are looked up and kept, and under which keys.

A key is made of the step's code, settings and declarations, and of the keys of what it reads, down to the
state of the files. So a run in which nothing has changed reads no file and calls no step above which all
results are there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from sys import version as python_version
from typing import Final

from heddle.core.config import ConfigValue
from heddle.logical.keys import content_keys
from heddle.logical.plan import LogicalPlan, Note, OpId, Scan, Step
from heddle.physical.environment import ConfigResolver
from heddle.physical.frames import Frame
from heddle.physical.memo import Memo
from heddle.std.file_states import NamedState, file_states

RULE: Final = "memo"

FINE_TICK_S: Final = 0.1
COARSE_TICK_S: Final = 2.0
"""A file that was written less than a tick of its file system's clock ago could be written once more
without a trace. A system that gives whole seconds only is taken as coarse."""

_ENGINES: Final = ("heddle", "pyarrow", "datafusion", "duckdb")


class RunMemo:
    """The memo for one plan. Operators have the same ids in all that is made of it."""

    def __init__(
        self,
        memo: Memo,
        plan: LogicalPlan,
        resolver: ConfigResolver,
        base: Path,
        now: Callable[[], datetime],
    ) -> None:
        self._memo = memo
        self._scans = [op for op in plan.ops.values() if isinstance(op, Scan)]
        self._resolver = resolver
        self._base = base
        self._states = self._look()
        self._missed: set[OpId] = set()
        moment = now().timestamp()

        def settings(op: Scan | Step) -> dict[str, ConfigValue] | None:
            return None if resolver.holds_secret(op) else dict(resolver.config(op))

        def files(scan: Scan) -> tuple[NamedState, ...] | None:
            states = self._states[scan.id]
            return (
                states
                if states and all(_is_settled(written, changed, moment) for *_, written, changed in states)
                else None
            )

        steps = [op for op in plan.ops.values() if isinstance(op, Step)]
        keys = content_keys(plan, settings, files, base=f"{base} {_made_by()}") if steps else {}
        self._keys = {op.id: keys[op.id] for op in steps if op.id in keys and op.id not in plan.roots}

    def marked(self, plan: LogicalPlan) -> LogicalPlan:
        """The plan with a frame for each result that is in the memo or shall be, and with notes."""
        notes: list[Note] = []
        for op in plan.in_order():
            if not isinstance(op, Step):
                continue
            if op.id in self._keys:
                there = self._memo.holds(self._keys[op.id])
                text = "its result is in the memo" if there else "its result goes to the memo"
                notes.append(Note(RULE, op.id, text))
            elif op.row is not None and op.id not in plan.roots:
                notes.append(Note(RULE, op.id, _why_not(op, plan), fired=False))
        return replace(plan, spooled=plan.spooled | self._keys.keys()).noting(notes)

    def __contains__(self, op_id: OpId) -> bool:
        return op_id in self._keys

    def __bool__(self) -> bool:
        return bool(self._keys)

    def find(self, op_id: OpId) -> Frame | None:
        """The result from an earlier run; looked up once."""
        if op_id not in self._keys or op_id in self._missed:
            return None
        frame = self._memo.load(self._keys[op_id])
        if frame is None:
            self._missed.add(op_id)
        return frame

    def keep(self, op_id: OpId, frame: Frame) -> None:
        """For later runs, unless a file has changed while this one was reading."""
        if op_id in self._keys and self._look() == self._states:
            self._memo.store(self._keys[op_id], frame)

    def _look(self) -> dict[OpId, tuple[NamedState, ...] | None]:
        configs = self._resolver.config
        return {scan.id: file_states(scan.step, configs(scan), self._base) for scan in self._scans}


def _is_settled(written_ns: int, changed_ns: int, moment: float) -> bool:
    fine = written_ns % 1_000_000_000 or changed_ns % 1_000_000_000
    return moment - max(written_ns, changed_ns) / 1e9 > (FINE_TICK_S if fine else COARSE_TICK_S)


def _made_by() -> str:
    """What may compute another result when it is upgraded."""
    found = [python_version]
    for name in _ENGINES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(name)
    return " ".join(found)


def _why_not(step: Step, plan: LogicalPlan) -> str:
    if any(member.call.signature.step_class != "pure" for member in step.steps):
        return "not kept: it is not declared as deterministic"
    left_out = any(each.path in plan.left_out for each in step.steps)
    if step.trap is not None or step.workflow in plan.trapped or left_out:
        return "not kept: its rejected rows go to a handler"
    if any(member.call.resources for member in step.steps):
        return "not kept: it uses a resource"
    return "not kept: nobody can tell whether what it is given stays the same"

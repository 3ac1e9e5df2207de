"""What a run has to do with the memo, and a client's query with the result cache: which results are looked up
and kept, and under which keys.

A key is made of the step's code, settings and declarations, and of the keys of what it reads, down to the
state of the files. So a run in which nothing has changed reads no file and calls no step above which all
results are there; and a query whose whole answer is there does nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from sys import version as python_version
from typing import Final

from heddle.core.config import ConfigValue
from heddle.logical.keys import content_keys
from heddle.logical.plan import Fragment, LogicalPlan, Note, OpId, Scan, Step, inputs_of
from heddle.physical.batches import Batches
from heddle.physical.environment import ConfigResolver
from heddle.physical.frames import Frame
from heddle.physical.memo import Memo
from heddle.physical.result_cache import RESULT_CACHE, ResultCache
from heddle.std.file_states import NamedState, file_states

MEMO: Final = "memo"

FINE_TICK_S: Final = 0.1
COARSE_TICK_S: Final = 2.0
"""A file that was written less than a tick of its file system's clock ago could be written once more
without a trace. A system that gives whole seconds only is taken as coarse."""

_ENGINES: Final = ("heddle", "pyarrow", "datafusion", "duckdb")


class RunMemo:
    """The memo and the result cache for one plan. Operators have the same ids in all that is made of it.

    Where there is no memo, results of steps go to the cache as well. They are not made frames for it: they
    are noted while they stream by.
    """

    def __init__(
        self,
        memo: Memo | None,
        plan: LogicalPlan,
        resolver: ConfigResolver,
        base: Path,
        now: Callable[[], datetime],
        result_cache: ResultCache | None = None,
    ) -> None:
        """With a `result_cache` the plan is that of a client's query."""
        self._memo = memo
        self._cache = result_cache
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
        keys = (
            content_keys(plan, settings, files, base=f"{base} {_made_by()}")
            if steps or result_cache is not None
            else {}
        )
        self._keys = {op.id: keys[op.id] for op in steps if op.id in keys and op.id not in plan.roots}
        self._answer_key = keys.get(plan.roots[0]) if result_cache is not None else None
        self._taken: dict[OpId, Frame] = {}
        self._why_no_answer = _why_no_answer(plan, keys) if self._answer_key is None else None

    @property
    def source(self) -> str:
        """Where results of steps are found, in words."""
        return MEMO if self._memo is not None else RESULT_CACHE

    def answer(self) -> Frame | None:
        """All rows of the query, if they are there."""
        return None if self._cache is None or self._answer_key is None else self._cache.load(self._answer_key)

    def keeping_answer(self, batches: Batches) -> Batches:
        """The rows of the query, noted for later ones."""
        if self._cache is None or self._answer_key is None:
            return batches
        return self._cache.keeping(self._answer_key, batches, self._holds)

    def keeping(self, op_id: OpId, batches: Batches) -> Batches:
        """What a step gives, noted for later queries."""
        if self._memo is not None or self._cache is None or op_id not in self._keys or op_id in self._taken:
            return batches
        return self._cache.keeping(self._keys[op_id], batches, self._holds)

    def marked(self, plan: LogicalPlan) -> LogicalPlan:
        """The plan with a frame for each result that is there or shall be in the memo, and with notes."""
        notes: list[Note] = []
        for op in plan.in_order():
            if not isinstance(op, Step):
                continue
            if op.id in self._keys:
                notes.append(Note(self.source, op.id, self._told(self._there(op.id), "its result")))
            elif op.row is not None and op.id not in plan.roots:
                notes.append(Note(self.source, op.id, f"not kept: {_why_not(op, plan)}", fired=False))
        if self._answer_key is not None and self._cache is not None:
            told = self._told(self._answer_key in self._cache, "the answer", RESULT_CACHE)
            notes.append(Note(RESULT_CACHE, plan.roots[0], told))
        elif self._why_no_answer is not None and self._cache is not None:
            notes.append(Note(RESULT_CACHE, plan.roots[0], self._why_no_answer, fired=False))
        frames = self._keys.keys() if self._memo is not None else self._taken.keys()
        return replace(plan, spooled=plan.spooled | frames).noting(notes)

    def __contains__(self, op_id: object) -> bool:
        return op_id in self._keys

    def __bool__(self) -> bool:
        return bool(self._keys)

    def find(self, op_id: OpId) -> Frame | None:
        """The result of a step from an earlier run; looked up once."""
        if self._memo is None or op_id not in self._keys or op_id in self._missed:
            return self._taken.get(op_id)
        frame = self._memo.load(self._keys[op_id])
        if frame is None:
            self._missed.add(op_id)
        return frame

    def keep(self, op_id: OpId, frame: Frame) -> None:
        """For later runs, unless a file has changed while this one was reading."""
        if self._memo is not None and op_id in self._keys and self._holds():
            self._memo.store(self._keys[op_id], frame)

    def _there(self, op_id: OpId) -> bool:
        if self._memo is not None:
            return self._memo.holds(self._keys[op_id])
        assert self._cache is not None, "there is a memo or a cache"
        frame = self._cache.load(self._keys[op_id])
        if frame is not None:
            self._taken[op_id] = frame
        return frame is not None

    def _told(self, there: bool, what: str, where: str | None = None) -> str:
        place = f"the {where or self.source}"
        return f"{what} is in {place}" if there else f"{what} goes to {place}"

    def _holds(self) -> bool:
        return self._look() == self._states

    def _look(self) -> dict[OpId, tuple[NamedState, ...] | None]:
        configs = self._resolver.config
        return {scan.id: file_states(scan.step, configs(scan), self._base) for scan in self._scans}


def _is_settled(written_ns: int, changed_ns: int, moment: float) -> bool:
    fine = written_ns % 1_000_000_000 or changed_ns % 1_000_000_000
    return moment - max(written_ns, changed_ns) / 1e9 > (FINE_TICK_S if fine else COARSE_TICK_S)


@cache
def _made_by() -> str:
    """What may compute another result when it is upgraded."""
    found = [python_version]
    for name in _ENGINES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(name)
    return " ".join(found)


def _why_no_answer(plan: LogicalPlan, keys: Mapping[OpId, str]) -> str | None:
    """What the answer comes through that another query could find changed."""
    for op in plan.in_order():
        if op.id in keys or any(i not in keys for i in inputs_of(op)):
            continue
        match op:
            case Scan():
                return "not kept: nobody can tell whether the rows that it reads stay the same"
            case Fragment():
                return "not kept: a function in it gives another value each time"
            case Step():
                return f"not kept: of `{op.call.callee}`, {_why_not(op, plan)}"
    return None


def _why_not(step: Step, plan: LogicalPlan) -> str:
    if any(member.call.signature.step_class != "pure" for member in step.steps):
        return "it is not declared as deterministic"
    left_out = any(each.path in plan.left_out for each in step.steps)
    if step.trap is not None or step.workflow in plan.trapped or left_out:
        return "its rejected rows go to a handler"
    if any(member.call.resources for member in step.steps):
        return "it uses a resource"
    return "nobody can tell whether what it is given stays the same"

"""Give a step only as many rows as are taken behind it.

    before: scan -> step -> [take 10]      after: scan -> [take 10] -> step -> [take 10]

The step must be a `map`, pure or recorded, and no handler may get its rejected rows: then row i behind it
is row i before it. Nothing that drops, adds or reorders rows may stand between the step and the limit.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from heddle.logical.edits import selecting_all
from heddle.logical.motion import streams_to_one, why_rows_stay
from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Step

RULE: Final = "push_limits"
_LIMITS: Final = r"(?i)\bLIMIT\b"


def push_limits(plan: LogicalPlan) -> LogicalPlan:
    pushing = _Pushing(plan)
    for op in reversed(plan.in_order()):
        fragment = pushing.ops[op.id]
        if isinstance(fragment, Fragment) and _has_limit(fragment):
            pushing.push_below(fragment)
    return replace(plan, ops=pushing.ops).noting(pushing.notes)


def _has_limit(fragment: Fragment) -> bool:
    return fragment.limit is not None or any(re.search(_LIMITS, q.sql) for q in fragment.queries)


class _Pushing:
    """The plan while it is rewritten, from its roots down."""

    def __init__(self, plan: LogicalPlan) -> None:
        self.plan = plan
        self.ops: dict[OpId, Op] = dict(plan.ops)
        self.notes: list[Note] = []
        self._readers = plan.readers()
        self._next_id = max(plan.ops, default=0) + 1

    def push_below(self, fragment: Fragment) -> None:
        steps = {
            relation: step
            for relation, i in fragment.inputs.items()
            if (step := self._open_step(i)) is not None
        }
        if not steps:
            return
        from heddle.logical.reads import reads_of

        reads = reads_of(fragment, self.ops)
        for relation, step in steps.items():
            if reads is None:
                self._stays(step, "the columns are known only when the program runs")
            elif relation in reads:
                first = reads[relation].first
                if first is None:
                    self._stays(step, "rows are dropped, joined, put together or sorted before it")
                else:
                    self._travel(step, first)

    def _open_step(self, op_id: OpId) -> Step | None:
        """A step before which rows may be taken."""
        step = self.ops[op_id]
        if not isinstance(step, Step) or step.input is None:
            return None
        if not streams_to_one(op_id, self.plan, self._readers):
            return None
        reason = (
            f'it is declared with rows="{step.call.signature.rows}"'
            if step.call.signature.rows != "map"
            else why_rows_stay(step, self.plan)
        )
        if reason is not None:
            self._stays(step, reason)
        return step if reason is None else None

    def _travel(self, step: Step, first: int) -> None:
        """Take the limit through `step` and the steps below it."""
        while True:
            self.notes.append(Note(RULE, step.id, f"it gets the first {first} rows only"))
            assert step.input is not None, "a step without input takes no limit"
            below = self.ops[step.input]
            deeper = self._open_step(below.id) if isinstance(below, Step) else None
            if deeper is None:
                self._insert(step, first)
                return
            step = deeper

    def _insert(self, step: Step, first: int) -> None:
        """Cut what the step reads: in the fragment below if it reduces, which has one order of its own. One
        that streams may run in several partitions, so there the limit is a fragment that reads them in order.
        """
        assert step.input is not None, "a step without input takes no limit"
        below = self.ops[step.input]
        if isinstance(below, Fragment) and below.reduces and self._is_whole(below):
            self.ops[below.id] = replace(below, limit=first)
            return
        own_id = self._next_id
        self._next_id += 1
        self.ops[own_id] = replace(selecting_all(step, below, own_id), limit=first)
        self.ops[step.id] = replace(step, input=own_id)

    def _is_whole(self, below: Fragment) -> bool:
        return streams_to_one(below.id, self.plan, self._readers) and below.limit is None

    def _stays(self, step: Step, reason: str) -> None:
        self.notes.append(Note(RULE, step.id, f"a limit stays behind the step: {reason}", fired=False))

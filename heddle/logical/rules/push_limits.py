"""Give a step only as many rows as are taken behind it.

    before: scan -> step -> [take 10]      after: scan -> [take 10] -> step -> [take 10]

The step must be a `map`, pure or recorded, and no handler may get its rejected rows: then row i behind it
is row i before it. Nothing that drops, adds or reorders rows may stand between the step and the limit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from heddle.logical.edits import selecting_all
from heddle.logical.motion import streams_to_one, why_rows_stay
from heddle.logical.plan import Fragment, LogicalPlan, Step
from heddle.logical.pushing import Pushing

if TYPE_CHECKING:
    from heddle.logical.reads import Reads

_LIMITS: Final = r"(?i)\bLIMIT\b"


def push_limits(plan: LogicalPlan) -> LogicalPlan:
    return _Limits(plan).pushed()


class _Limits(Pushing[int]):
    """What moves is a number of rows."""

    rule = "push_limits"
    what = "a limit"

    def concerns(self, fragment: Fragment) -> bool:
        return fragment.limit is not None or any(re.search(_LIMITS, q.sql) for q in fragment.queries)

    def why_closed(self, step: Step) -> str | None:
        rows = step.call.signature.rows
        return f'it is declared with rows="{rows}"' if rows != "map" else why_rows_stay(step, self.plan)

    def movable(self, step: Step, relation: str, fragment: Fragment, reads: Reads) -> Sequence[int]:
        if reads.first is not None:
            return (reads.first,)
        if reads.top is None:
            self.stays(step, "rows are dropped, joined, put together or sorted before it")
        return ()

    def passes(self, moving: int, step: Step) -> bool:
        return True

    def told(self, moving: Sequence[int]) -> str:
        return f"it gets the first {moving[0]} rows only"

    def insert(self, step: Step, relation: str, moving: Sequence[int]) -> None:
        """Cut what the step reads: in the fragment below if it reduces, which has one order of its own. One
        that streams may run in several partitions, so there the limit is a fragment that reads them in order.
        """
        (first,) = moving
        below = self.below(step)
        if isinstance(below, Fragment) and below.reduces and self._is_whole(below):
            self.ops[below.id] = replace(below, limit=first)
            return
        own_id = self.new_id()
        self.ops[own_id] = replace(selecting_all(step, below, own_id), limit=first)
        self.ops[step.id] = replace(step, input=own_id)

    def _is_whole(self, below: Fragment) -> bool:
        return streams_to_one(below.id, self.plan, self.readers) and below.limit is None

"""Filter before a step what is filtered behind it.

    before: scan -> step -> [filter]      after: scan -> [filter] -> step -> [filter]

The step must give a row for a row (`map`) or some of its rows (`filter`), pass the filter's columns
through, and be pure or recorded. A filter travels through several steps in a row, as far as it may. It
stays in its own place too, where it costs little, so that the fragment above means what it meant.

Rows that the filter drops no longer reach the step, so it cannot reject them or fail on them: a run may
succeed that would have failed, but no answer changes. Where a handler would get the rejected rows they
are an answer, and the filter stays. A predicate that can itself fail on a row (a division, a text read as
a number) stays too, since before the step it would see rows that the step drops.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from heddle.logical.edits import selecting_all, selection
from heddle.logical.motion import can_end_with
from heddle.logical.plan import Fragment, LogicalPlan, Step
from heddle.logical.pushing import Pushing, why_rows_cannot_pass
from heddle.logical.rules.fuse_queries import QUERIES_MAX

if TYPE_CHECKING:
    from heddle.logical.predicates import Predicate
    from heddle.logical.reads import Reads

Moving: TypeAlias = "tuple[Predicate, str]"
"""A predicate that goes before a step, and its SQL."""

_FILTERS: Final = r"(?i)\b(?:WHERE|HAVING)\b"


def push_filters(plan: LogicalPlan) -> LogicalPlan:
    return _Filters(plan).pushed()


class _Filters(Pushing[Moving]):
    rule = "push_filters"
    what = "a filter"

    def concerns(self, fragment: Fragment) -> bool:
        return any(re.search(_FILTERS, query.sql) for query in fragment.queries)

    def why_closed(self, step: Step) -> str | None:
        return why_rows_cannot_pass(step, self.plan)

    def movable(self, step: Step, relation: str, fragment: Fragment, reads: Reads) -> Sequence[Moving]:
        from heddle.logical.predicates import written

        passing = tuple(p for p in reads.predicates if self._may_pass(p, step))
        if not passing:
            return ()
        assert step.row is not None, "a fragment reads it"
        texts = written(passing, relation, step.row)
        for predicate, text in zip(passing, texts, strict=True):
            if text is None:
                self.stays(step, "it cannot be written before the step", predicate.shown)
        return [(p, text) for p, text in zip(passing, texts, strict=True) if text is not None]

    def passes(self, moving: Moving, step: Step) -> bool:
        return self._may_pass(moving[0], step)

    def _may_pass(self, predicate: Predicate, step: Step) -> bool:
        if not predicate.columns:
            reason = "it reads no column"
        elif changed := self.written(predicate.columns, step):
            reason = f"the step writes {', '.join(changed)}"
        elif not predicate.total:
            reason = "it can fail on rows that would not reach it"
        else:
            return True
        self.stays(step, reason, predicate.shown)
        return False

    def told(self, moving: Sequence[Moving]) -> str:
        return f"{', '.join(p.shown for p, _ in moving)} goes before the step"

    def insert(self, step: Step, relation: str, moving: Sequence[Moving]) -> None:
        """Filter what the step reads, at the end of the fragment below it or in a fragment of its own."""
        below = self.below(step)
        own_id = self.new_id()
        where = " AND ".join(text for _, text in moving)
        if isinstance(below, Fragment) and can_end_with(below, self.plan, self.readers, QUERIES_MAX):
            query = selection(step, below, below.result.relation, own_id, where=where, alias=relation)
            self.ops[below.id] = replace(below, queries=(*below.queries, query))
            return
        self.ops[own_id] = selecting_all(step, below, own_id, where=where, alias=relation)
        self.ops[step.id] = replace(step, input=own_id)

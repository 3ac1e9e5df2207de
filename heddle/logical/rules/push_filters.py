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
from heddle.logical.motion import can_end_with, streams_to_one, unchanged_columns, why_rows_stay
from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Sink, Step
from heddle.logical.rules.fuse_queries import QUERIES_MAX

if TYPE_CHECKING:
    from heddle.logical.predicates import Predicate

RULE: Final = "push_filters"

Moving: TypeAlias = "tuple[Predicate, str]"
"""A predicate that goes before a step, and its SQL."""

_FILTERS: Final = r"(?i)\b(?:WHERE|HAVING)\b"


def push_filters(plan: LogicalPlan) -> LogicalPlan:
    pushing = _Pushing(plan)
    for op in reversed(plan.in_order()):
        fragment = pushing.ops[op.id]
        if isinstance(fragment, Fragment) and _filters(fragment):
            pushing.push_below(fragment)
    return replace(plan, ops=pushing.ops).noting(pushing.notes)


def _filters(fragment: Fragment) -> bool:
    return any(re.search(_FILTERS, query.sql) for query in fragment.queries)


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
                self._stays(step, "a filter", "the columns are known only when the program runs")
            elif relation in reads:
                self._travel(step, relation, reads[relation].predicates)

    def _open_step(self, op_id: OpId) -> Step | None:
        """A step that a filter may pass, as far as can be told without knowing the filter."""
        step = self.ops[op_id]
        if not isinstance(step, Step) or step.input is None:
            return None
        if not streams_to_one(op_id, self.plan, self._readers):
            return None
        reason = self._why_closed(step)
        if reason is not None:
            self._stays(step, "a filter", reason)
        return step if reason is None else None

    def _why_closed(self, step: Step) -> str | None:
        signature = step.call.signature
        if signature.rows not in {"map", "filter"}:
            return f'it is declared with rows="{signature.rows}"'
        if not signature.passthrough:
            return "it is not declared with passthrough=True"
        return why_rows_stay(step, self.plan)

    def _written(self, predicates: Sequence[Predicate], step: Step, relation: str) -> list[Moving]:
        """Those that may go before the step that gives `relation`, with their SQL."""
        from heddle.logical.predicates import written

        passing = tuple(p for p in predicates if self._passes(p, step))
        if not passing:
            return []
        assert step.row is not None, "a fragment reads it"
        texts = written(passing, relation, step.row)
        for predicate, text in zip(passing, texts, strict=True):
            if text is None:
                self._stays(step, predicate.shown, "it cannot be written before the step")
        return [(p, text) for p, text in zip(passing, texts, strict=True) if text is not None]

    def _travel(self, step: Step, relation: str, predicates: Sequence[Predicate]) -> None:
        """Take predicates on `relation` through `step` and the steps below it."""
        above: Step | None = None
        travelling = self._written(predicates, step, relation)
        while travelling:
            passing = [p for p in travelling if above is None or self._passes(p[0], step)]
            stuck = [p for p in travelling if p not in passing]
            if above is not None and stuck:
                self._insert(above, relation, stuck)
            if not passing:
                return
            self.notes.append(Note(RULE, step.id, f"{_shown(passing)} goes before the step"))
            assert step.input is not None, "a step without input takes no filter"
            below = self.ops[step.input]
            deeper = self._open_step(below.id) if isinstance(below, Step) else None
            if deeper is None:
                self._insert(step, relation, passing)
                return
            above, step, travelling = step, deeper, passing

    def _passes(self, predicate: Predicate, step: Step) -> bool:
        assert step.input is not None, "a step without input takes no filter"
        below = self.ops[step.input]
        assert not isinstance(below, Sink) and below.row is not None, "a step reads a table"
        changed = sorted(predicate.columns - unchanged_columns(step, below.row))
        if not predicate.columns:
            reason = "it reads no column"
        elif changed:
            reason = f"the step writes {', '.join(changed)}"
        elif not predicate.total:
            reason = "it can fail on rows that would not reach it"
        else:
            return True
        self._stays(step, predicate.shown, reason)
        return False

    def _insert(self, step: Step, relation: str, predicates: Sequence[Moving]) -> None:
        """Filter what the step reads, at the end of the fragment below it or in a fragment of its own."""
        assert step.input is not None, "a step without input takes no filter"
        below = self.ops[step.input]
        own_id = self._next_id
        self._next_id += 1
        where = " AND ".join(text for _, text in predicates)
        if isinstance(below, Fragment) and can_end_with(below, self.plan, self._readers, QUERIES_MAX):
            query = selection(step, below, below.result.relation, own_id, where=where, alias=relation)
            self.ops[below.id] = replace(below, queries=(*below.queries, query))
            return
        self.ops[own_id] = selecting_all(step, below, own_id, where=where, alias=relation)
        self.ops[step.id] = replace(step, input=own_id)

    def _stays(self, step: Step, what: str, reason: str) -> None:
        self.notes.append(Note(RULE, step.id, f"{what} stays behind the step: {reason}", fired=False))


def _shown(predicates: Sequence[Moving]) -> str:
    return ", ".join(p.shown for p, _ in predicates)

"""Give a step only the rows that find a partner in a join behind it.

    before: scan -> step -> [join big]      after: scan -> [key is in big] -> step -> [join big]

A step must let its rows pass as for a filter, and pass on what is joined by. The join stays where it is;
before the step stands a semi-join, so the step gets each row once at most, as many as if it stood behind the
join or fewer. Rows that the join keeps without a partner (the left side of a left join) get no such limit.

A semi-join is worth its cost where it drops rows and the step is dear. By rank, (1 - share of rows with a
partner) / cost of the semi-join is compared with 1 / cost of the steps and the join behind it. The share is
an estimate (logical/selectivity.py), the cost of a step what it took before, else the least that it can take.

This rule comes before `share`, which then sees that the other side has two readers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from heddle.core.planning import quoted
from heddle.core.record import record
from heddle.logical.edits import selecting_all
from heddle.logical.estimates import Estimates
from heddle.logical.motion import streams_to_one
from heddle.logical.plan import Fragment, LogicalPlan, Op, OpId, Sink, Step, inputs_of
from heddle.logical.pushing import Pushing, why_rows_cannot_pass
from heddle.logical.rules.fuse_queries import QUERIES_MAX

if TYPE_CHECKING:
    from heddle.logical.lineage import Match
    from heddle.logical.reads import Reads

SEMI_JOIN_NS: Final = 30.0
"""For a row of either side."""
STEP_NS: Final = 100.0
"""The least that a step takes for a row, its way to the plugin included."""
FRAGMENT_NS: Final = 2e6
"""One plan more, however few rows it has."""

_JOINS: Final = r"(?i)\bJOIN\b"


@record(frozen=True, slots=True)
class SemiJoin:
    """Rows whose `columns` are among `keys` of `partner`, of the rows for which `where` holds (None: all)."""

    columns: tuple[str, ...]
    partner: OpId
    relation: str
    keys: tuple[str, ...]
    where: str | None
    shown: str


def push_joins(plan: LogicalPlan, estimates: Estimates) -> LogicalPlan:
    return _Joins(plan, estimates).pushed()


class _Joins(Pushing[SemiJoin]):
    rule = "push_joins"
    what = "a join"

    def __init__(self, plan: LogicalPlan, estimates: Estimates) -> None:
        super().__init__(plan)
        self._estimates = estimates

    def concerns(self, fragment: Fragment) -> bool:
        """Only what reads a step itself is looked at, together with all that reads only this. Where the other
        side cannot be read, a handler of the join would not hold before the step."""
        reads_step = any(isinstance(self.ops[i], Step) for i in fragment.inputs.values())
        if not reads_step or self._is_handled(fragment):
            return False
        return any(re.search(_JOINS, query.sql) for query in self.seen(fragment).queries)

    def seen(self, fragment: Fragment) -> Fragment:
        """The fragment and those above it that only stand one on the other, as one."""
        top = fragment
        while streams_to_one(top.id, self.plan, self.readers) and len(fragment.queries) < QUERIES_MAX:
            above = self.ops[self.readers[top.id][0]]
            if not isinstance(above, Fragment) or self._is_handled(above):
                break
            if top.limit is not None or top.columns is not None:
                break
            inputs = {r: i for r, i in above.inputs.items() if i != top.id}
            fragment = replace(
                fragment,
                queries=(*fragment.queries, *above.queries),
                inputs={**fragment.inputs, **inputs},
                row=above.row,
                columns=above.columns,
                limit=above.limit,
            )
            top = above
        return fragment

    def why_closed(self, step: Step) -> str | None:
        reason = why_rows_cannot_pass(step, self.plan)
        if reason is None and self._is_handled(step):
            return "a handler gets the rows on which it fails"
        return reason

    def movable(self, step: Step, relation: str, fragment: Fragment, reads: Reads) -> Sequence[SemiJoin]:
        from heddle.logical.reads import reads_of

        everything = reads_of(fragment, self.ops) or {}
        found: list[SemiJoin] = []
        for match in (m for m in reads.matches if m.partner in fragment.inputs):
            keys = ", ".join(match.columns)
            others = everything.get(match.partner)
            moving = self._semi_join(step, match, fragment, others)
            reason = moving if isinstance(moving, str) else self._why_dear(step, moving, others)
            if isinstance(moving, SemiJoin) and reason is None:
                found.append(moving)
            elif reason:
                self.stays(step, reason, f"a join by {keys}")
        return found

    def _semi_join(
        self, step: Step, match: Match, fragment: Fragment, others: Reads | None
    ) -> SemiJoin | str:
        """What a join means for a step's rows, or why it cannot be asked before the step."""
        partner = fragment.inputs[match.partner]
        changed = self.written(frozenset(match.columns), step)
        kept = [(c, k) for c, k in zip(match.columns, match.partners, strict=True) if c not in changed]
        if not kept:
            return f"the step writes {', '.join(changed)}"
        if self._depends(partner, step.id):
            return "the other side reads the step"
        if self._can_fail_into_a_handler(partner):
            return "the other side can fail into a handler"
        columns, keys = zip(*kept, strict=True)
        shown = f"{', '.join(columns)} {'is' if len(columns) == 1 else 'are'} in {self.ops[partner].path}"
        where = self._where(match.partner, partner, others)
        return SemiJoin(columns, partner, match.partner, keys, where, shown)

    def _where(self, relation: str, partner: OpId, others: Reads | None) -> str | None:
        """What holds for the rows of the other side that count, as far as it can be asked of all of them."""
        predicates = tuple(p for p in others.predicates if p.total) if others is not None else ()
        if not predicates:
            return None
        from heddle.logical.predicates import written

        op = self.ops[partner]
        assert not isinstance(op, Sink) and op.row is not None, "only tables are joined"
        texts = [text for text in written(predicates, relation, op.row) if text is not None]
        return " AND ".join(texts) or None

    def _why_dear(self, step: Step, moving: SemiJoin, others: Reads | None) -> str | None:
        """Why the semi-join would cost more than it saves."""
        from heddle.logical.selectivity import Selectivity

        assert step.input is not None, "only steps with an input are passed"
        ask = Selectivity(self.ops, self._estimates)
        source = self.ops[moving.partner]
        predicates = others.predicates if others is not None else ()
        shares = [
            ask.with_partner(step.input, column, moving.partner, key, ask.share(predicates, source))
            for column, key in zip(moving.columns, moving.keys, strict=True)
        ]
        share = min(shares)
        if share >= 1:
            return "nothing says that it drops rows"
        rows, partner_rows = ask.size(step.input).rows, ask.size(moving.partner).rows
        behind_ns = sum(self._cost_ns(s) for s in self._passed(step, moving)) + SEMI_JOIN_NS
        saved_ns = (1 - share) * behind_ns
        semi_ns = SEMI_JOIN_NS
        if rows and partner_rows:
            semi_ns += (SEMI_JOIN_NS * partner_rows + FRAGMENT_NS) / rows
        if saved_ns > semi_ns:
            return None
        return (
            f"about {share:.0%} of the rows have a partner, and to find them takes {semi_ns:.0f} ns a row "
            f"to save {saved_ns:.0f} ns"
        )

    def _cost_ns(self, step: Step) -> float:
        learned = self._estimates.step_ns(step)
        return STEP_NS if learned is None else learned

    def _passed(self, step: Step, moving: SemiJoin) -> list[Step]:
        """The steps that it would go before."""
        passed = [step]
        while isinstance(below := self.below(passed[-1]), Step) and below.input is not None:
            alone = streams_to_one(below.id, self.plan, self.readers)
            if not alone or self.why_closed(below) is not None or not self._may_pass(moving, below):
                break
            passed.append(below)
        return passed

    def _may_pass(self, moving: SemiJoin, step: Step) -> bool:
        return not self.written(frozenset(moving.columns), step) and not self._depends(
            moving.partner, step.id
        )

    def passes(self, moving: SemiJoin, step: Step) -> bool:
        passing = self._may_pass(moving, step)
        if not passing:
            self.stays(step, "the step writes what is joined by, or the other side reads it", "a join")
        return passing

    def told(self, moving: Sequence[SemiJoin]) -> str:
        return f"it gets only rows of which {' and '.join(m.shown for m in moving)}"

    def insert(self, step: Step, relation: str, moving: Sequence[SemiJoin]) -> None:
        """A fragment of its own, which `fuse_queries` may make one with what it reads."""
        below = self.below(step)
        own_id = self.new_id()
        where = " AND ".join(_exists(m, relation) for m in moving)
        own = selecting_all(step, below, own_id, where=where, alias=relation)
        partners = {m.relation: m.partner for m in moving}
        query = replace(own.result, tables=(*own.result.tables, *partners), reduces=True)
        self.ops[own_id] = replace(own, queries=(query,), inputs={**own.inputs, **partners})
        self.ops[step.id] = replace(step, input=own_id)

    def _depends(self, op_id: OpId, on: OpId) -> bool:
        return any(op.id == on for op in self._upstream(op_id))

    def _can_fail_into_a_handler(self, op_id: OpId) -> bool:
        return any(self._is_handled(op) for op in self._upstream(op_id))

    def _is_handled(self, op: Op) -> bool:
        trapped = self.plan.trapped
        return isinstance(op, Fragment | Step) and (op.trap is not None or op.workflow in trapped)

    def _upstream(self, op_id: OpId) -> list[Op]:
        """The operator and all that it reads."""
        found: dict[OpId, Op] = {}
        waiting = [op_id]
        while waiting:
            current = waiting.pop()
            if current not in found:
                found[current] = self.ops[current]
                waiting += inputs_of(self.ops[current])
        return list(found.values())


def _exists(moving: SemiJoin, relation: str) -> str:
    """The rows' columns are told apart from those of the other side by its name, which is not `relation`."""
    keys = [
        f"{quoted(relation)}.{quoted(column)} = {quoted(moving.relation)}.{quoted(key)}"
        for column, key in zip(moving.columns, moving.keys, strict=True)
    ]
    conditions = " AND ".join([*keys, *([f"({moving.where})"] if moving.where else [])])
    return f"EXISTS (SELECT 1 FROM {quoted(moving.relation)} WHERE {conditions})"

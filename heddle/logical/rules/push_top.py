"""Give a step only the rows that are first in an order behind it.

    before: scan -> step -> [sort ts | take 10]
    after:  scan -> [sort ts | take 10] -> step -> [sort ts | take 10]

The step must be a `map` that passes on what is sorted and filtered by, pure or recorded, and no handler may
get its rejected rows: then it gives a row for each row that it gets, so as many come out as are taken. The
sort stays in its own place too. Of rows that are equal in all of the sort's columns any may be taken, before
the step as behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from heddle.core.planning import quoted
from heddle.core.record import record
from heddle.logical.edits import selecting_all, selection
from heddle.logical.motion import can_end_with
from heddle.logical.plan import Fragment, LogicalPlan, Query, Step
from heddle.logical.pushing import Pushing, why_rows_cannot_pass
from heddle.logical.rules.fuse_queries import QUERIES_MAX

if TYPE_CHECKING:
    from heddle.logical.lineage import Top
    from heddle.logical.predicates import Predicate
    from heddle.logical.reads import Reads

TAKEN_MAX: Final = 10_000
"""To find more rows than these costs about as much as a step."""

_SORTS: Final = r"(?i)\bORDER\s+BY\b"


@record(frozen=True, slots=True)
class FirstRows:
    """The first rows by `top` of those for which `where` holds (None: of all), and the columns of both."""

    top: Top
    where: str | None
    columns: frozenset[str]

    @property
    def shown(self) -> str:
        keys = ", ".join(f"-{name}" if descends else name for name, descends in self.top.keys)
        return f"the first {self.top.count} rows by {keys}"


def push_top(plan: LogicalPlan) -> LogicalPlan:
    return _Tops(plan).pushed()


class _Tops(Pushing[FirstRows]):
    rule = "push_top"
    what = "a sort"

    def concerns(self, fragment: Fragment) -> bool:
        return any(re.search(_SORTS, query.sql) for query in fragment.queries)

    def why_closed(self, step: Step) -> str | None:
        if step.call.signature.rows == "filter":
            return 'it is declared with rows="filter"'
        return why_rows_cannot_pass(step, self.plan)

    def movable(self, step: Step, relation: str, fragment: Fragment, reads: Reads) -> Sequence[FirstRows]:
        if reads.top is None:
            return ()
        if reads.top.count > TAKEN_MAX:
            self.stays(step, f"more than {TAKEN_MAX} rows are taken")
            return ()
        where = self._where(step, relation, reads.predicates)
        columns = frozenset(name for name, _ in reads.top.keys)
        first = FirstRows(reads.top, where, columns.union(*(p.columns for p in reads.predicates)))
        if where is None and reads.predicates:
            self.stays(step, "rows are dropped before it that cannot be dropped before the step", first.shown)
            return ()
        return (first,) if self.passes(first, step) else ()

    def _where(self, step: Step, relation: str, predicates: tuple[Predicate, ...]) -> str | None:
        """All of them as SQL, where each has a value for every row and can be written."""
        if not predicates or not all(p.total and p.columns for p in predicates):
            return None
        from heddle.logical.predicates import written

        assert step.row is not None, "a fragment reads it"
        texts = [text for text in written(predicates, relation, step.row) if text is not None]
        return " AND ".join(texts) if len(texts) == len(predicates) else None

    def passes(self, moving: FirstRows, step: Step) -> bool:
        changed = self.written(moving.columns, step)
        if changed:
            self.stays(step, f"the step writes {', '.join(changed)}", moving.shown)
        return not changed

    def told(self, moving: Sequence[FirstRows]) -> str:
        return f"it gets {moving[0].shown} only"

    def insert(self, step: Step, relation: str, moving: Sequence[FirstRows]) -> None:
        """Sort and cut what the step reads, at the end of the fragment below it or in one of its own."""
        (first,) = moving
        below = self.below(step)
        own_id = self.new_id()
        ends = isinstance(below, Fragment) and can_end_with(below, self.plan, self.readers, QUERIES_MAX)
        if isinstance(below, Fragment) and ends:
            source = below.result.relation
            query = selection(step, below, source, own_id, where=first.where, alias=relation)
            self.ops[below.id] = replace(below, queries=(*below.queries, _cut(query, first, relation)))
            return
        own = selecting_all(step, below, own_id, where=first.where, alias=relation)
        self.ops[own_id] = replace(own, queries=(_cut(own.result, first, relation),))
        self.ops[step.id] = replace(step, input=own_id)


def _cut(query: Query, first: FirstRows, alias: str) -> Query:
    """The query's rows sorted, and the first of them. Both engines place nulls as the program's sort does."""
    keys = ", ".join(
        f"{quoted(alias)}.{quoted(name)}{' DESC' if descends else ''}" for name, descends in first.top.keys
    )
    return replace(query, sql=f"{query.sql} ORDER BY {keys} LIMIT {first.top.count}", reduces=True)

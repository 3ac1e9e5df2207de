"""Let a database do what is asked of its rows.

    before: pg.table -> [filter, group]      after: pg.query "SELECT … FROM … WHERE … GROUP BY …"

Queries whose inputs all come from one connection become one statement, as far as each construct is known to
mean the same there (`heddle/logical/dialects`). Of the rows that another query reads, the statement asks for
the columns that are read, for those that pass the filters which mean the same, and for as many as are taken;
these filters stay here as well.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from heddle.logical.dialects.terms import Refused
from heddle.logical.motion import is_handled, streams_to_one
from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Step, inputs_of
from heddle.logical.sql_sources import SqlSource, is_sql_source, source_of

if TYPE_CHECKING:
    from heddle.core.types import RowType
    from heddle.logical.pushed_queries import Movable
    from heddle.logical.pushed_reads import Asked

RULE: Final = "push_sources"


def push_sources(plan: LogicalPlan) -> LogicalPlan:
    return _Pushing(plan).pushed()


class _Pushing:
    """The plan while it is rewritten. `_became` are the operators into which others went."""

    def __init__(self, plan: LogicalPlan) -> None:
        self._plan = plan
        self._ops: dict[OpId, Op] = dict(plan.ops)
        self._notes: list[Note] = []
        self._readers = plan.readers()
        self._next_id = max(plan.ops, default=0) + 1
        self._became: dict[OpId, OpId] = {}

    def pushed(self) -> LogicalPlan:
        sources = self._sources()
        for op in self._plan.in_order():
            match op:
                case Fragment():
                    self._push_below(op, sources)
                case Step(input=int(below)) if below in sources:
                    self._ask_for_columns(op, sources[below])
                case _:
                    continue
        for op in [op for op in self._ops.values() if isinstance(op, Step) and is_sql_source(op)]:
            if len(self._readers.get(op.id, ())) > 1 and op.id not in self._plan.roots:
                self._ask_for_all_readers(op)
        read = {i for op in self._ops.values() for i in inputs_of(op)}.union(self._plan.roots)
        ops = {i: op for i, op in self._ops.items() if i in read or i not in self._became}
        notes = (replace(n, op=self._end_of(n.op)) for n in (*self._plan.notes, *self._notes))
        return replace(self._plan, ops=ops, notes=tuple(dict.fromkeys(notes)))

    def _end_of(self, op_id: OpId) -> OpId:
        """Into what an operator went in the end."""
        while op_id in self._became:
            op_id = self._became[op_id]
        return op_id

    def _sources(self) -> dict[OpId, SqlSource]:
        """The sources into which something may go: those that one operator reads."""
        found: dict[OpId, SqlSource] = {}
        for op in self._plan.ops.values():
            if not isinstance(op, Step) or not is_sql_source(op):
                continue
            try:
                source = source_of(op)
            except Refused as refused:
                self._stays(op.id, f"nothing goes into its statement: {refused}")
                continue
            if streams_to_one(op.id, self._plan, self._readers):
                found[op.id] = source
            elif len(self._readers[op.id]) > 1:
                self._stays(op.id, "only columns go into its statement: several read the rows")
        return found

    def _push_below(self, fragment: Fragment, sources: dict[OpId, SqlSource]) -> None:
        inputs = {relation: sources[i] for relation, i in fragment.inputs.items() if i in sources}
        if not inputs:
            return
        from heddle.logical.pushed_queries import movable_queries

        movables = movable_queries(fragment, inputs, self._plan.trapped)
        for op_id, reason in movables.reasons:
            self._stays(op_id, f"stays here: {reason}")
        for movable in movables.last:
            if movable.query is fragment.result:
                self._become(fragment, movable, sources)
                return
        for movable in movables.last:
            fragment = self._take_out(fragment, movable, sources)
        self._ops[fragment.id] = fragment
        for relation, op_id in fragment.inputs.items():
            if op_id in sources:
                self._ask_for_less(fragment, relation, sources[op_id])

    def _become(self, fragment: Fragment, movable: Movable, sources: dict[OpId, SqlSource]) -> None:
        """The whole fragment is one statement."""
        from heddle.logical.pushed_queries import row_of

        if self._say(movable, row_of(fragment), fragment.id):
            if streams_to_one(fragment.id, self._plan, self._readers):
                self._goes_on(fragment.id, sources)
            count = len(fragment.queries)
            self._tell(fragment.id, f"its statement is {'the query' if count == 1 else f'{count} queries'}")

    def _take_out(self, fragment: Fragment, movable: Movable, sources: dict[OpId, SqlSource]) -> Fragment:
        """The fragment without a query, which is a statement below it."""
        op_id = self._next_id
        if not self._say(movable, movable.query.row, op_id):
            return fragment
        self._next_id += 1
        self._tell(op_id, f"its statement is {movable.query.path}")
        self._goes_on(op_id, sources)
        left = tuple(q for q in fragment.queries if q.relation not in movable.inside)
        gone = {source.step.id for source in movable.sources}
        inputs = {relation: i for relation, i in fragment.inputs.items() if i not in gone}
        return replace(fragment, queries=left, inputs={**inputs, movable.query.relation: op_id})

    def _goes_on(self, op_id: OpId, sources: dict[OpId, SqlSource]) -> None:
        """Let more go into a statement that was made."""
        step = self._ops[op_id]
        assert isinstance(step, Step), "a statement is a step"
        try:
            sources[op_id] = source_of(step)
        except Refused as refused:
            self._stays(op_id, f"no more goes into its statement: {refused}")

    def _say(self, movable: Movable, row: RowType, op_id: OpId) -> bool:
        """Make a movable query a step with the id."""
        first, *others = movable.sources
        try:
            step = first.step_of(movable.selected.text(first.dialect), row, op_id, others)
        except Refused as refused:
            self._stays(first.step.id, f"stays here: {refused}")
            return False
        self._ops[op_id] = step
        self._became |= {source.step.id: op_id for source in movable.sources}
        return True

    def _ask_for_less(self, fragment: Fragment, relation: str, source: SqlSource) -> None:
        """Ask a source for what a fragment that stays reads of it."""
        from heddle.logical.pushed_reads import asked
        from heddle.logical.reads import reads_of

        reads = (reads_of(fragment, self._ops) or {}).get(relation)
        if reads is not None:
            self._ask(source, asked(source, relation, reads))

    def _ask_for_columns(self, reader: Step, source: SqlSource) -> None:
        """Ask for what a step names and, where it passes others through, for what is read behind it."""
        columns = self._columns_of(reader, source.step)
        if columns is not None:
            self._ask_columns(source, columns)

    def _ask_for_all_readers(self, step: Step) -> None:
        """Ask for what any of several operators reads."""
        columns: set[str] = set()
        for reader_id in dict.fromkeys(self._readers[step.id]):
            read = self._columns_of(self._ops[reader_id], step)
            if read is None:
                return
            columns |= read
        try:
            self._ask_columns(source_of(step), columns)
        except Refused:  # `_sources` told why
            return

    def _columns_of(self, reader: Op, step: Step) -> Set[str] | None:
        """The columns of a source that an operator reads; None for all."""
        row = step.row
        assert row is not None, "a source gives rows"
        match reader:
            case Fragment():
                from heddle.logical.reads import reads_of

                reads = reads_of(reader, self._ops) or {}
                found = [reads.get(name) for name, op_id in reader.inputs.items() if op_id == step.id]
                names = [None if r is None or r.columns is None else set(r.columns) for r in found]
                return None if None in names else set().union(*(n for n in names if n is not None))
            case Step(call=call) if not call.signature.input.open and call.signature.input.columns:
                if call.signature.passthrough:
                    return set(row.names) - set(reader.absent)
                # A handler gets the rows on which a step fails, whole.
                return None if is_handled(reader, self._plan) else set(call.signature.input.names)
            case _:
                return None

    def _ask_columns(self, source: SqlSource, columns: Set[str]) -> None:
        from heddle.logical.pushed_reads import asked
        from heddle.logical.reads import Reads

        row = source.step.row
        assert row is not None, "a source gives rows"
        kept = tuple(name for name in row.names if name in columns)
        self._ask(source, asked(source, "input", Reads(kept, (), None)))

    def _ask(self, source: SqlSource, less: Asked) -> None:
        step = source.step
        assert step.row is not None, "a source gives rows"
        for reason in less.reasons:
            self._stays(step.id, f"stays here: {reason}")
        if less.selected is None:
            return
        try:
            asking = source.step_of(less.selected.text(source.dialect), step.row, step.id)
        except Refused as refused:
            self._stays(step.id, f"stays here: {refused}")
            return
        self._ops[step.id] = replace(asking, absent=tuple(n for n in step.row.names if n not in less.columns))
        self._tell(step.id, f"its statement asks for {'; '.join(less.told)}")

    def _tell(self, op_id: OpId, what: str) -> None:
        self._notes.append(Note(RULE, op_id, what))

    def _stays(self, op_id: OpId, reason: str) -> None:
        self._notes.append(Note(RULE, op_id, reason, fired=False))

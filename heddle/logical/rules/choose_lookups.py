"""Let a run choose between looking rows up and reading all of them, when it knows how many keys there are.

    before: pg.table ─ [join orders]    after: [distinct id of orders] ─ lookup of pg.table ─ [join orders]
    before: lookup of customer          after: the same, which may read all customers instead

A source that is joined by equality with rows of the engine is asked only for the keys that occur, where these
are few against its rows. A lookup whose statement compares each value with a column that it gives reads all
rows instead, without these conditions, where its keys are many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeGuard

import pyarrow as pa

from heddle.core.planning import quoted
from heddle.core.types import Column, RowType, widens
from heddle.frontend.typed import NO_POLICY, LookupUse, ParamBinding
from heddle.logical.dialects.terms import Refused
from heddle.logical.lookup_statements import without_values
from heddle.logical.lookups import ROWS_A_KEY
from heddle.logical.motion import streams_to_one
from heddle.logical.plan import (
    Fragment,
    LogicalPlan,
    LookupScan,
    Note,
    Op,
    OpId,
    Query,
    Sink,
    Step,
    inputs_of,
)
from heddle.logical.rules.narrow_lookups import statement_setting
from heddle.logical.selectivity import Selectivity
from heddle.logical.sql_sources import SqlSource, is_sql_source, source_of

if TYPE_CHECKING:
    from heddle.logical.estimates import Estimates
    from heddle.logical.lineage import Match
    from heddle.logical.reads import Reads

RULE: Final = "choose_lookups"
PARTNER_ROWS_MAX: Final = 5_000_000
"""Of rows that are known to be more the keys are not collected."""
_KEY: Final = "heddle_key"
_SEEKS_TEXTS: Final[Mapping[str, str]] = {"postgres": "CAST({} AS text)", "clickhouse": "{}"}
"""How a column is compared with texts, where any text can be asked for and an index of texts still serves.
ClickHouse's connector asks for no value that cannot be the column's."""


def choose_lookups(plan: LogicalPlan, estimates: Estimates) -> LogicalPlan:
    return _Choosing(plan, estimates).chosen()


class _Choosing:
    """The plan while it is rewritten."""

    def __init__(self, plan: LogicalPlan, estimates: Estimates) -> None:
        self._plan = plan
        self._estimates = estimates
        self._ops: dict[OpId, Op] = dict(plan.ops)
        self._notes: list[Note] = []
        self._readers = plan.readers()
        self._next_id = max(plan.ops, default=0) + 1

    def chosen(self) -> LogicalPlan:
        for op in self._plan.in_order():
            match op:
                case Step(lookup=LookupUse(joined=True, numbered=True) as use):
                    self._may_scan(op, use)
                case Fragment():
                    self._may_look_up(op)
                case _:
                    continue
        return replace(self._plan, ops=self._ops).noting(self._notes)

    def _may_scan(self, op: Step, use: LookupUse) -> None:
        made = _scan_of(op, use)
        if isinstance(made, str):
            self._notes.append(Note(RULE, op.id, f"its rows are always looked up: {made}", fired=False))
            return
        self._ops[op.id] = replace(op, scan=made)
        self._notes.append(
            Note(RULE, op.id, f"all rows are read instead, where more than one of {ROWS_A_KEY} is asked for")
        )

    def _may_look_up(self, fragment: Fragment) -> None:
        for relation, op_id in fragment.inputs.items():
            source = self._ops[op_id]
            if len(fragment.inputs) < 2 or not isinstance(source, Step) or not is_sql_source(source):
                continue
            if not source.call.signature.estimates or source.lookup is not None:
                continue
            if not streams_to_one(op_id, self._plan, self._readers):
                continue
            reason = self._look_up(fragment, relation, source)
            if reason:
                text = f"it is not asked for the keys that occur only: {reason}"
                self._notes.append(Note(RULE, op_id, text, fired=False))

    def _look_up(self, fragment: Fragment, relation: str, step: Step) -> str | None:
        """Ask the source for the keys of a join; else why not, None where no join says which."""
        from heddle.logical.reads import reads_of

        reads = reads_of(fragment, self._ops) or {}
        matches = reads[relation].matches if relation in reads else ()
        if not matches:
            return None
        try:
            source = source_of(step)
        except Refused as refused:
            return str(refused)
        if not source.target.lookup:
            return "its module has no lookups"
        reason: str | None = "no column of the join has values that can be asked for as they are"
        for match in matches:
            why = self._why_not(fragment, match, step)
            texts = source.dialect.name in _SEEKS_TEXTS
            partner = self._ops.get(fragment.inputs.get(match.partner, -1))
            pair = _key_of(match, step, partner, texts) if why is None and partner is not None else None
            if pair is not None:
                where = self._where(match.partner, fragment, reads.get(match.partner))
                self._insert(fragment, match, source, pair, where)
                return None
            reason = why or reason
        return reason

    def _why_not(self, fragment: Fragment, match: Match, step: Step) -> str | None:
        if match.partner not in fragment.inputs:
            return "the other side is made in the same query"
        partner = self._ops[fragment.inputs[match.partner]]
        if isinstance(partner, Step) and is_sql_source(partner):
            return "the other side is asked of a database too"
        if step.id in _upstream(partner.id, self._ops):
            return "the other side reads it"
        rows = Selectivity(self._ops, self._estimates).size(partner.id).rows
        if rows is not None and rows > PARTNER_ROWS_MAX:
            return f"the other side has about {rows:,.0f} rows"
        return None

    def _where(self, relation: str, fragment: Fragment, reads: Reads | None) -> str:
        """What holds for the rows of the other side that count, as far as it can be asked of all of them."""
        predicates = tuple(p for p in reads.predicates if p.total) if reads is not None else ()
        partner = self._ops[fragment.inputs[relation]]
        if not predicates or isinstance(partner, Sink) or partner.row is None:
            return ""
        from heddle.logical.predicates import written

        texts = [text for text in written(predicates, relation, partner.row) if text is not None]
        return "".join(f" AND ({text})" for text in texts)

    def _insert(
        self, fragment: Fragment, match: Match, source: SqlSource, pair: tuple[str, str], where: str
    ) -> None:
        column, partner_column = pair
        step, partner = source.step, self._ops[fragment.inputs[match.partner]]
        assert step.row is not None and not isinstance(partner, Sink) and partner.row is not None
        keys = self._keys(step, match.partner, partner, partner_column, where)
        row = RowType(tuple(c for c in step.row if c.name not in step.absent))
        names = ", ".join(source.dialect.quoted(c.name) for c in row)
        condition = f"{_sought(source, column, step.row)} = @{_KEY}"
        text = f"SELECT {names} FROM {source.relation.text} AS heddle_rows WHERE {condition}"
        call = replace(
            step.call,
            signature=replace(source.target, rows="flat"),
            config={**source.kept, source.setting: text},
            parameters=(*step.call.parameters, ParamBinding(_KEY, "joined", partner_column)),
        )
        use = LookupUse({_KEY: partner_column}, {_KEY: column}, row, joined=True, numbered=True)
        scan = LookupScan(replace(step, path=f"{step.path}:all"), {_KEY: column}, usual=True)
        self._ops[step.id] = replace(step, call=call, input=keys.id, lookup=use, scan=scan)
        self._notes.append(
            Note(
                RULE,
                step.id,
                f"only keys in {partner_column} of {partner.path} are asked for, where these are at most one "
                f"for {ROWS_A_KEY} of its rows; else all are read",
            )
        )

    def _keys(self, step: Step, relation: str, partner: Op, column: str, where: str) -> Fragment:
        """The distinct keys of the other side's rows that count."""
        assert not isinstance(partner, Sink) and partner.row is not None, "only tables are joined"
        found = partner.row.column(column)
        row = RowType((Column(_KEY, found.type if found is not None else None, nullable=False),))
        name = quoted(column)
        items = f"DISTINCT {name} AS {quoted(_KEY)}"
        sql = f"SELECT {items} FROM {quoted(relation)} WHERE {name} IS NOT NULL{where}"
        path = f"{step.path}:keys"
        own_id = self._next_id
        self._next_id += 1
        query = Query(f"k{own_id}", sql, (relation,), row, path, step.span, reduces=True, late=False)
        inputs = {relation: partner.id}
        keys = Fragment(own_id, (query,), inputs, row, path, step.span, step.workflow, step.trap, NO_POLICY)
        self._ops[own_id] = keys
        return keys


def _scan_of(op: Step, use: LookupUse) -> LookupScan | str:
    """How the rows of all values of a lookup are read, or why they cannot be."""
    setting, dialect = statement_setting(op.call), op.call.signature.sql
    text = op.call.config.get(setting) if setting is not None else None
    if not op.call.signature.estimates or not dialect:
        return "nothing tells how many there are"
    if setting is None or not isinstance(text, str) or not use.row.complete:
        return "its columns are known only when the program runs"
    found = without_values(text, dialect, use.row.names, use.values)
    if found is None:
        return "its statement does more than to compare each value with a column that it gives"
    whole, columns = found
    for name, column in columns.items():
        own = use.row.column(column)
        assert own is not None and op.row is not None, "the columns are the row's"
        holder = op.row.column(use.holders[name])
        assert holder is not None, "its lookups give it"
        exact = _is_exact(own.type) and _is_exact(holder.type)
        if own.type != holder.type and not (exact and widens(own.type, holder.type)):
            return f"`{column}` has another type than what it is compared with"
        if not exact and column not in use.compared.get(name, ()):
            return f"`{column}` may be equal in the service to what it is not equal to here"
    parameters = tuple(p for p in op.call.parameters if p.source == "workflow")
    call = replace(op.call, config={**op.call.config, setting: whole}, parameters=parameters)
    step = replace(op, call=call, input=None, row=use.row, path=f"{op.path}:all", lookup=None)
    return LookupScan(step, columns, usual=False)


def _sought(source: SqlSource, column: str, row: RowType) -> str:
    """A column as it is compared with keys. What is a text in the program may be of a type there that not
    every text can be read as, such as a `uuid`."""
    name, found = source.dialect.quoted(column), row.column(column)
    is_text = found is not None and found.type is not None and pa.types.is_string(found.type)
    return _SEEKS_TEXTS[source.dialect.name].format(name) if is_text else name


def _key_of(match: Match, step: Step, partner: Op, texts: bool) -> tuple[str, str] | None:
    """The column of the source, and that of the other side, whose values can be asked for: numbers first,
    then `texts`."""
    assert not isinstance(partner, Sink) and partner.row is not None and step.row is not None
    found: list[tuple[str, str]] = []
    for column, key in zip(match.columns, match.partners, strict=True):
        own, other = step.row.column(column), partner.row.column(key)
        if own is None or other is None or own.type is None or own.type != other.type:
            continue
        if _is_exact(own.type):
            return column, key
        if texts and pa.types.is_string(own.type):
            found.append((column, key))
    return found[0] if found else None


def _is_exact(type_: pa.DataType | None) -> TypeGuard[pa.DataType]:
    """Whether values that are equal in a service are equal here."""
    return type_ is not None and (pa.types.is_integer(type_) or pa.types.is_date32(type_))


def _upstream(op_id: OpId, ops: Mapping[OpId, Op]) -> set[OpId]:
    found: set[OpId] = set()
    waiting = [op_id]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += inputs_of(ops[current])
    return found

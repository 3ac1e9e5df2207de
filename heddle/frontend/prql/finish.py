"""From a resolved query to the compiled one: shape its result, make SQL of it, type it.

Where an input is open, its unknown columns stand in as columns of Arrow's null type, so that DataFusion can
still type what does not depend on them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pyarrow as pa

from heddle.core.planning import PlanFailure, TypePlanner
from heddle.core.types import OPEN_ROW, Column, RowType
from heddle.diagnostics import Diagnostic, Span
from heddle.frontend.prql.edited import unspelled
from heddle.frontend.prql.expressions import DATE_PARTS
from heddle.frontend.prql.native import Doc, PrqlFailure, span_of, to_sql
from heddle.frontend.prql.prepared import Prepared
from heddle.frontend.prql.request import (
    CompiledQuery,
    FailedQuery,
    Probe,
    QueryResult,
    TakesBeforeLookup,
)
from heddle.frontend.prql.resolved import Facts, column_references, read_facts, steps
from heddle.frontend.prql.shaping import Naming, carry_order, finish_columns, render_expressions
from heddle.frontend.prql.type_errors import TypeErrors

_PRODUCT: Final = " * 1.0e0))"
_ALWAYS_BOOL: Final = frozenset(
    f"std.{name}"
    for name in ("eq", "ne", "gt", "lt", "gte", "lte", "and", "or", "not", "regex_search", "array_in")
)
_ALWAYS_INT: Final = frozenset(
    (
        *("std.count", "std.count_distinct", "std.row_number", "std.rank", "std.rank_dense"),
        *("std.text.length", *(f"std.date.{part}" for part in DATE_PARTS)),
    )
)


class Finisher:
    """`rows` and `orders` are those of the compiler and grow while it works."""

    def __init__(
        self,
        rows: Mapping[str, RowType],
        orders: Mapping[str, tuple[tuple[str, bool], ...]],
        planner: TypePlanner,
    ) -> None:
        self._rows = rows
        self._orders = orders
        self._planner = planner

    def finish(self, prepared: Prepared, query: Doc, fresh: Callable[[], Doc | None]) -> QueryResult:
        """`fresh` gives the query's document again, to find what is wrong with its types."""
        carry_order(query, lambda key: self._orders.get(key, ()))
        facts = read_facts(query)
        naming = finish_columns(query["relation"], facts, prepared.aliased, prepared.merged, prepared.dropped)
        errors = TypeErrors(prepared, self._rows, self._planner)
        mixed = errors.at_once(query, facts)
        if mixed:
            return FailedQuery(prepared.request.key, mixed)
        united = copy.deepcopy(query) if any("Append" in s for s in steps(query["relation"])) else None
        if any("Aggregate" in s for s in steps(query["relation"])):
            from heddle.frontend.prql.sealing import seal_limits

            seal_limits(query, facts)
        rows = {key: self._rows.get(key, OPEN_ROW) for key in facts.inputs}
        late = not all(row.complete for row in rows.values())
        try:
            probes, query = self._probes(prepared, query, facts, naming, rows, late=late)
            render_expressions(query)
            sql = to_sql(query)
        except PrqlFailure as failure:
            from heddle.frontend.prql.messages import Messages

            messages = Messages(prepared.request, prepared.text, ())
            return FailedQuery(prepared.request.key, messages.of_failure(failure))
        except PlanFailure:
            return FailedQuery(prepared.request.key, errors.explain(fresh()))
        except TakesBeforeLookup:
            from heddle.frontend.prql.refusals import taken_before_lookup

            refused = taken_before_lookup(prepared.request)
            return FailedQuery(prepared.request.key, refused)
        read = read_facts(query) if probes else facts
        try:
            schema = self._schema(sql, rows | {p.query.key: p.query.row for p in probes}, read)
        except PlanFailure:
            if not late:
                return FailedQuery(prepared.request.key, errors.explain(fresh()))
            schema = None
        if united is not None and not late and (mismatch := errors.of_appends(united)):
            return FailedQuery(prepared.request.key, mismatch)
        return CompiledQuery(
            key=prepared.request.key,
            sql=sql if late else _with_casts(sql),
            prql=unspelled(prepared.text.text),
            inputs=tuple(read.inputs),
            row=_row(naming, facts, rows, schema, late=late),
            lineage=_lineage(naming, facts),
            demands=_demands(facts, rows),
            sorts=bool(facts.order),
            reduces=facts.reduces,
            late=late,
            diagnostics=_warnings(prepared, naming),
            order_by=_order_by(naming, facts),
            probes=probes,
        )

    def _probes(
        self,
        prepared: Prepared,
        query: Doc,
        facts: Facts,
        naming: Naming,
        rows: Mapping[str, RowType],
        *,
        late: bool,
    ) -> tuple[tuple[Probe, ...], Doc]:
        """What is looked up for the query, as queries of their own, and the rest of it. Raises `PrqlFailure`,
        and `PlanFailure` unless rows are open."""
        if not any(prepared.looked_up.values()):
            return (), query
        from heddle.frontend.prql.lookup_probes import split_at_lookups

        names = {c.id: c.name for c in naming.columns if c.name is not None} | facts.names
        docs, rest = split_at_lookups(query, prepared.request.key, prepared.looked_up, names)
        found: list[Probe] = []
        for doc in docs:
            read = read_facts(doc.query)
            render_expressions(doc.query)
            sql = to_sql(doc.query)
            known = dict(rows) | {p.query.key: p.query.row for p in found}
            named = Naming(list(doc.columns))
            try:
                schema = self._schema(sql, known, read)
            except PlanFailure:
                if not late:
                    raise
                schema = None
            compiled = CompiledQuery(
                key=doc.key,
                sql=sql if late else _with_casts(sql),
                prql=unspelled(prepared.text.text),
                inputs=tuple(read.inputs),
                row=_row(named, facts, rows, schema, late=late),
                lineage=_lineage(named, facts),
                demands=_demands(read, {key: known[key] for key in read.inputs}),
                sorts=bool(read.order),
                reduces=read.reduces,
                late=late,
            )
            found.append(Probe(compiled, doc.keys, doc.compared))
        return tuple(found), rest

    def _schema(self, sql: str, rows: Mapping[str, RowType], facts: Facts) -> pa.Schema:
        moment: dict[str, pa.Schema] = {}
        for key in facts.inputs:
            row = rows[key]
            if row.complete:
                if key not in self._rows:
                    moment[key] = row.arrow()
                elif not self._planner.has(key):
                    self._planner.define(key, row.arrow())
                continue
            known = {c.name: c.type if c.type is not None else pa.null() for c in row}
            for name in sorted(facts.demanded.get(key, ())):
                known.setdefault(name, pa.null())
            moment[key] = pa.schema(list(known.items()))
        with self._planner.defined(moment):
            return self._planner.schema(sql)


def _with_casts(sql: str) -> str:
    if _PRODUCT not in sql:
        return sql
    from heddle.frontend.prql.plain_sql import with_casts

    return with_casts(sql)


def _row(
    naming: Naming, facts: Facts, rows: Mapping[str, RowType], schema: pa.Schema | None, *, late: bool
) -> RowType:
    if not late:
        assert schema is not None, "a query over known rows is planned"
        names = [c.name for c in naming.columns]
        return RowType(
            tuple(Column(n or f.name, f.type, f.nullable) for n, f in zip(names, schema, strict=True))
        )
    columns = []
    for column in naming.columns:
        if column.name is not None:
            columns.append(_late_column(column.id, column.name, facts, rows, schema))
    return RowType(tuple(columns), open=len(columns) < len(naming.columns))


def _late_column(
    id_: int, name: str, facts: Facts, rows: Mapping[str, RowType], schema: pa.Schema | None
) -> Column:
    origin = facts.origins.get(id_)
    if origin is not None:
        source = rows[origin.relation].column(origin.column)
        if source is None:
            return Column(name, None)
        return Column(name, source.type, source.nullable or not origin.whole)
    expression = facts.computed.get(id_)
    if expression is not None:
        fixed = _fixed_type(expression)
        if fixed is not None:
            return Column(name, fixed)
    if schema is None or schema.get_field_index(name) < 0 or _is_unknown(id_, facts, rows):
        return Column(name, None)
    field = schema.field(name)
    return Column(name, field.type, field.nullable)


def _fixed_type(expression: Doc) -> pa.DataType | None:
    """The type of what has the same type whatever it is computed of."""
    operator = expression["kind"].get("Operator", {}).get("name")
    if operator in _ALWAYS_BOOL:
        return pa.bool_()
    return pa.int64() if operator in _ALWAYS_INT else None


def _is_unknown(id_: int, facts: Facts, rows: Mapping[str, RowType]) -> bool:
    """Whether a column depends on one whose type is unknown."""
    seen: set[int] = set()
    stack = [id_]
    while stack:
        current = stack.pop()
        if current in seen:
            continue
        seen.add(current)
        if current in facts.computed:
            stack.extend(column_references(facts.computed[current]))
            continue
        origin = facts.origins.get(current)
        known = rows[origin.relation].column(origin.column) if origin is not None else None
        if known is None or known.type is None:
            return True
    return False


def _lineage(naming: Naming, facts: Facts) -> dict[str, tuple[str, str]]:
    origins = ((c.name, facts.origins.get(c.id)) for c in naming.columns)
    return {n: (o.relation, o.column) for n, o in origins if n is not None and o is not None and o.whole}


def _demands(facts: Facts, rows: Mapping[str, RowType]) -> dict[str, frozenset[str]]:
    return {key: frozenset(facts.demanded.get(key, ())) for key, row in rows.items() if row.open}


def _order_by(naming: Naming, facts: Facts) -> tuple[tuple[str, bool], ...]:
    """As many of the sort's keys, from the first, as are columns of the result."""
    names = {_source_id(c.id, facts): c.name for c in reversed(naming.columns) if c.name is not None}
    keys: list[tuple[str, bool]] = []
    for key in facts.order:
        name = names.get(_source_id(key["column"], facts))
        if name is None:
            break
        keys.append((name, key["direction"] == "Desc"))
    return tuple(keys)


def _source_id(id_: int, facts: Facts) -> int:
    """The column that a column is another name of."""
    while (same := facts.computed.get(id_, {}).get("kind", {}).get("ColumnRef")) is not None:
        id_ = same
    return id_


def _warnings(prepared: Prepared, naming: Naming) -> tuple[Diagnostic, ...]:
    request = prepared.request
    found = [
        Diagnostic(
            "HD0616",
            "warning",
            f"both sides of the join have a column `{old}`; the joined one is called `{new}` here",
            request.source,
            request.query.span,
            f"name what you need: `select {{…, {new} = …}}`",
        )
        for old, new in naming.clashes
    ]
    for expression, name in naming.given:
        found.append(
            Diagnostic(
                "HD0617",
                "warning",
                f"this column has no name; it is called `{name}`",
                request.source,
                _place(prepared, [expression]),
                "give it one: `name = …`",
            )
        )
    return tuple(found)


def _place(prepared: Prepared, expressions: Sequence[Doc]) -> Span:
    spans = [span for e in expressions if (span := span_of(e)) is not None and span[0] == prepared.number]
    return prepared.text.span(spans[0][1], spans[0][2]) if spans else prepared.request.query.body

"""What a statement can leave out when only a part of its rows and columns is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from heddle.core.deep_stack import on_deep_stack
from heddle.core.planning import quoted
from heddle.core.record import record
from heddle.logical.dialects.terms import Refused
from heddle.logical.predicates import Predicate, written
from heddle.logical.pushed_queries import parsed
from heddle.logical.pushed_selects import Selected, conditions, order_of, selecting
from heddle.logical.reads import Reads
from heddle.logical.sql_sources import SqlSource


@record(frozen=True, slots=True)
class Asked:
    """`selected` gives the `columns` of the rows that count; None when nothing is left out. `told` says what
    it asks for, `reasons` what else could not be asked for, and why."""

    selected: Selected | None
    columns: tuple[str, ...]
    told: tuple[str, ...]
    reasons: tuple[str, ...] = ()


def asked(source: SqlSource, alias: str, reads: Reads) -> Asked:
    """`alias` is the name of its rows in the predicates."""
    return on_deep_stack(lambda: _asked(source, alias, reads))


def _asked(source: SqlSource, alias: str, reads: Reads) -> Asked:
    row, dialect = source.step.row, source.dialect
    assert row is not None, "a source gives rows"
    wanted = row.names if reads.columns is None else reads.columns
    columns = tuple(name for name in row.names if name in wanted) or row.names[:1]
    told = [f"columns {', '.join(columns)}"] if len(columns) < len(row.names) else []
    try:
        if source.relation.ordered and not dialect.keeps_order:
            raise Refused(f"the order of its statement's rows could be lost in {dialect.said}")
        selected = selecting(source.relation, alias, columns, dialect)
    except Refused as refused:
        return Asked(None, row.names, (), (str(refused),))
    reasons: list[str] = []
    for predicate, text in zip(reads.predicates, _texts(reads.predicates, alias, source), strict=True):
        try:
            where = _conditions(text, alias, source)
        except Refused as refused:
            reasons.append(f"filter {predicate.shown}: {refused}")
            continue
        selected = replace(selected, where=(*selected.where, *where))
        told.append(f"filter {predicate.shown}")
    if reads.first is not None:
        selected = replace(selected, limit=reads.first)
        told.append(f"the first {reads.first} rows")
    if reads.top is not None and not reasons:
        by = ", ".join(f"{name}{' descending' if descends else ''}" for name, descends in reads.top.keys)
        try:
            order = order_of(reads.top.keys, source.relation, alias, dialect)
            selected = replace(selected, order=order, limit=reads.top.count)
            told.append(f"the first {reads.top.count} rows by {by}")
        except Refused as refused:
            reasons.append(f"sort by {by}: {refused}")
    return Asked(selected if told else None, columns, tuple(told), tuple(reasons))


def _texts(predicates: Sequence[Predicate], alias: str, source: SqlSource) -> Sequence[str | None]:
    assert source.step.row is not None, "a source gives rows"
    return written(tuple(predicates), alias, source.step.row) if predicates else ()


def _conditions(text: str | None, alias: str, source: SqlSource) -> tuple[str, ...]:
    if text is None:
        raise Refused("it cannot be written as SQL")
    where = parsed(f"SELECT 1 FROM {quoted(alias)} WHERE {text}").args["where"].this
    return conditions(where, source.relation, alias, source.dialect)

"""What the query compiler takes and gives.

A relation is known by its *key*, which is unique in the program and is the table name in SQL. A request
says what text to compile and which names in it stand for which keys; the result is SQL over keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TypeAlias

from heddle.core.record import record
from heddle.core.types import RowType
from heddle.diagnostics import Diagnostic, Source
from heddle.frontend import ast


@record(frozen=True, slots=True)
class LookupValue:
    """A value that a lookup is called with. `column` of the lookup's rows holds the value that a row was
    found for; `selected` are columns that hold it as the service sees it, the best first.

    `declared`: the program declares a parameter of this name, so that it is no column of an open row.
    `needed`: without a column that gives the value the lookup cannot be called.
    """

    name: str
    column: str
    selected: tuple[str, ...] = ()
    declared: bool = False
    needed: bool = False


class TakesBeforeLookup(Exception):
    """A query takes rows of an open relation before a lookup, and might take others for its probe."""


@record(frozen=True, slots=True)
class LookupRequest:
    """A relation whose rows are found for values of the rows that it is joined to. `callee` names it in
    messages."""

    callee: str
    values: tuple[LookupValue, ...]


@record(frozen=True, slots=True)
class QueryRequest:
    """`key` is the result's relation key, `input` the key of what is piped in (None at a head).

    `relations` maps names as written in the query (`orders`, `Other.out`) to keys. `lookups` are those of
    the keys whose rows are found for values of the rows that they are joined to.
    """

    key: str
    query: ast.Query
    source: Source
    input: str | None
    relations: Mapping[str, str]
    lookups: Mapping[str, LookupRequest] = field(default_factory=dict)


@record(frozen=True, slots=True)
class CompiledQuery:
    """A query as DataFusion SQL whose tables are the keys in `inputs`.

    `prql` is the text that was compiled, after normalisation. Types in `row` are None where an open
    input hides them; then `late` is true, and `TypePlanner` types the SQL when schemas are known.
    `lineage`: output column -> (key, column) that it passes through unchanged. `demands`: what is
    needed of each open input. `order_by`: the output columns (and whether they descend) by which the
    result is sorted, `sorts`: the query's own text asks for an order of its result.
    `reduces`: it joins, aggregates, sorts, takes distinct rows or windows. `probes` are queries of their own,
    in the order in which one reads the other; the SQL may read them too.
    """

    key: str
    sql: str
    prql: str
    inputs: tuple[str, ...]
    row: RowType
    lineage: Mapping[str, tuple[str, str]]
    demands: Mapping[str, frozenset[str]]
    sorts: bool
    reduces: bool
    late: bool
    diagnostics: tuple[Diagnostic, ...] = ()
    order_by: tuple[tuple[str, bool], ...] = field(default=())
    probes: tuple[Probe, ...] = field(default=())


@record(frozen=True, slots=True)
class Probe:
    """The part of a query before the join of a lookup: its rows tell what is looked up. `keys` has for each
    lookup, by relation key, the columns of `query` that give its values, by their names; `compared` the
    lookup's columns that the join compares with each value."""

    query: CompiledQuery
    keys: Mapping[str, Mapping[str, str]]
    compared: Mapping[str, Mapping[str, tuple[str, ...]]]


@record(frozen=True, slots=True)
class FailedQuery:
    key: str
    diagnostics: tuple[Diagnostic, ...]


QueryResult: TypeAlias = CompiledQuery | FailedQuery

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
class QueryRequest:
    """`key` is the result's relation key, `input` the key of what is piped in (None at a head).

    `relations` maps names as written in the query (`orders`, `Other.out`) to keys.
    """

    key: str
    query: ast.Query
    source: Source
    input: str | None
    relations: Mapping[str, str]


@record(frozen=True, slots=True)
class CompiledQuery:
    """A query as DataFusion SQL whose tables are the keys in `inputs`.

    `prql` is the text that was compiled, after normalisation. Types in `row` are None where an open
    input hides them; then `late` is true, and `TypePlanner` types the SQL when schemas are known.
    `lineage`: output column -> (key, column) that it passes through unchanged. `demands`: what is
    needed of each open input. `order_by`: the output columns (and whether they descend) by which the
    result is sorted, `sorts`: the query's own text asks for an order of its result.
    `reduces`: it joins, aggregates, sorts, takes distinct rows or windows.
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


@record(frozen=True, slots=True)
class FailedQuery:
    key: str
    diagnostics: tuple[Diagnostic, ...]


QueryResult: TypeAlias = CompiledQuery | FailedQuery

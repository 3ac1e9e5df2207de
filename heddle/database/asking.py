"""From a statement and the tables that it names to a query that the engine can plan.

DataFusion plans the text over tables without rows; what it says of columns and parameters is what holds.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from heddle.core.casting import plain_type
from heddle.core.deep_stack import on_deep_stack
from heddle.core.planning import PlanFailure, TypePlanner
from heddle.core.record import record
from heddle.core.types import Column, RowType
from heddle.database.errors import QueryError
from heddle.database.literals import arrow_type
from heddle.logical.asked import AskedQuery, AskedTable
from heddle.logical.keys import is_anew

if TYPE_CHECKING:
    from datafusion import Expr, LogicalPlan

    from heddle.database.sources import Source
    from heddle.database.statements import ReadStatement

TYPED_MAX: Final = 1_000
"""Texts whose types are kept."""
DIRECT_CHARS_MAX: Final = 2_000
"""A longer text is planned on a deep stack."""
LITERAL_CHARS_MAX: Final = 1_000
"""Rows of longer texts are not kept."""

_PLACEHOLDER: Final = re.compile(
    r'Placeholder \{ id: "(?P<id>\$\w+)", field: (?:None|'
    r'Some\(Field \{ name: "(?:[^"\\]|\\.)*", data_type: (?P<type>[^{}]*?)(?:, nullable: true)? \}\)) \}'
)
_CAST: Final = re.compile(r"CAST\((?!Utf8\(|LargeUtf8\()(?P<of>[^()]*) AS (?P<to>\w+)")
"""A cast of what is no written text, in a plan's words."""
_NUMBERS: Final = ("Int", "UInt", "Float", "Decimal")


@record(frozen=True, slots=True)
class Typed:
    """What DataFusion says of a statement. `parameters` have a type where it can tell. It is `anew` when
    something in it gives another value each time, and `literal` when it is one row of values that are written
    in its text, as `SELECT 1` is."""

    schema: pa.Schema
    parameters: pa.Schema
    portable: bool
    anew: bool
    literal: bool


class StatementTyper:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planner: TypePlanner | None = None
        self._typed: OrderedDict[object, Typed] = OrderedDict()

    def typed(self, sql: str, parameters: Sequence[str], sources: Iterable[Source]) -> Typed:
        """Raises `QueryError` with DataFusion's words."""
        tables = {source.relation: source.schema for source in sources}
        key = (sql, tuple(parameters), tuple(tables.items()))
        with self._lock:
            if (known := self._typed.get(key)) is not None:
                self._typed.move_to_end(key)
                return known

        def plan() -> Typed:
            with self._lock:
                self._planner = self._planner or TypePlanner()
                self._planner.known_as(tables)
                typed = self._typed[key] = _typed(self._planner, sql, parameters, tables.values())
                if len(self._typed) > TYPED_MAX:
                    self._typed.popitem(last=False)
                return typed

        try:
            return plan() if len(sql) < DIRECT_CHARS_MAX else on_deep_stack(plan)
        except PlanFailure as failure:
            raise QueryError("invalid", plain_message(str(failure), tables)) from failure


def _typed(planner: TypePlanner, sql: str, parameters: Sequence[str], tables: Collection[pa.Schema]) -> Typed:
    read, analysed, schema = planner.analysed(sql)
    told = _PLACEHOLDER.finditer(str(read)) if parameters else ()
    types = {found["id"]: arrow_type(found["type"] or "") for found in told}
    texts = {f.name for schema in tables for f in schema if not _is_number(f.type)}
    casts = Counter(_CAST.findall(analysed.display_indent()))
    casts.subtract(_CAST.findall(read.display_indent()))
    implicit = any(
        count > 0 and (not to.startswith(_NUMBERS) or of.rpartition(".")[2] in texts)
        for (of, to), count in casts.items()
    )
    return Typed(
        pa.schema([pa.field(f.name, plain_type(f.type)) for f in schema]),
        pa.schema([pa.field(name, types.get(name, pa.null())) for name in parameters]),
        portable=not implicit,
        anew=is_anew(read.display_indent()),
        literal=not tables and len(sql) <= LITERAL_CHARS_MAX and _is_literal_row(read),
    )


def _is_literal_row(plan: LogicalPlan) -> bool:
    from datafusion.expr import EmptyRelation, Projection

    node = plan.to_variant()
    return (
        isinstance(node, Projection)
        and all(map(_is_literal, node.projections()))
        and all(isinstance(below.to_variant(), EmptyRelation) for below in node.input())
    )


def _is_literal(expression: Expr) -> bool:
    kind = expression.variant_name()
    return kind == "Literal" or (kind == "Alias" and all(map(_is_literal, expression.rex_call_operands())))


def _is_number(type_: pa.DataType) -> bool:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(is_kind(type_) for is_kind in kinds)


def asked_query(read: ReadStatement, sql: str, typed: Typed, tables: Mapping[str, AskedTable]) -> AskedQuery:
    """`tables` are by their relations."""
    columns = tuple(Column(f.name, f.type) for f in typed.schema)
    distinct = len(set(typed.schema.names)) == len(columns)
    return AskedQuery(
        sql,
        tables,
        RowType(columns),
        read.reduces,
        typed.portable and distinct,
        typed.anew,
    )


def spelled(schemas: Iterable[pa.Schema]) -> Mapping[str, str]:
    """Columns with capital letters, by their names in small ones, where that is one column."""
    names = {name for schema in schemas for name in schema.names}
    by_lower: dict[str, set[str]] = {}
    for name in names:
        by_lower.setdefault(name.lower(), set()).add(name)
    return {
        lower: next(iter(found))
        for lower, found in by_lower.items()
        if len(found) == 1 and lower not in names
    }


def plain_message(text: str, relations: Iterable[str]) -> str:
    """DataFusion's message in the client's words."""
    for prefix in ("DataFusion error: ", "Error during planning: ", "Schema error: ", "SQL error: "):
        text = text.replace(prefix, "")
    text = text.split("\n\nbacktrace:")[0].strip()
    for relation in sorted(relations, key=len, reverse=True):
        text = text.replace(f"{relation}.", "")
    return text.rstrip(".")

"""Predicates of a planned query: conjuncts as SQL that means the same elsewhere, and whether they can fail.

A predicate that moves is evaluated on other rows than before, so only one that cannot fail on any row
may move. It is written as SQL by DataFusion's unparser and kept only when that text plans to the same
predicate again. In DuckDB's dialect all names are quoted, as they are in the SQL of queries, so that either
engine can run it; a few operators are only written right in the default one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Final

import pyarrow as pa
from datafusion import Expr, SessionContext
from datafusion.expr import Filter
from datafusion.unparser import Dialect, Unparser

from heddle.core.deep_stack import on_deep_stack
from heddle.core.planning import PlanFailure, planning, quoted
from heddle.core.record import record
from heddle.core.types import RowType, widens
from heddle.logical.empty_tables import empty_tables

COMPARISONS: Final = frozenset(
    {"=", "!=", "<", "<=", ">", ">=", "AND", "OR", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"}
)
ARITHMETIC: Final = frozenset({"+", "-", "*"})
"""Of integers and floats these wrap around or saturate."""
DIVISIONS: Final = frozenset({"/", "%"})
"""Of integers these fail on zero, and on the smallest integer by -1; of floats never."""
TESTS: Final = frozenset(
    {"Not", "IsNull", "IsNotNull", "IsTrue", "IsFalse", "IsUnknown", "IsNotTrue", "IsNotFalse"}
    | {"IsNotUnknown", "InList", "Between", "Case"}
)
TOTAL_FUNCTIONS: Final = frozenset(
    {"lower", "upper", "btrim", "ltrim", "rtrim", "character_length", "starts_with", "ends_with"}
    | {"contains", "strpos", "round", "floor", "ceil"}
)
CAST_TYPES: Final[Mapping[str, pa.DataType]] = {
    "Int16": pa.int16(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "Utf8": pa.string(),
    "LargeUtf8": pa.large_string(),
}

_CAST = re.compile(r"^CAST\(.* AS (\w+)\)$", re.DOTALL)
_NUMBER = re.compile(r"^(?:U?Int|Float)\d+\((-?[\d.]+)\)$")
_QUALIFIER = re.compile(r"\b\w+\.(?=[A-Za-z_\"])")
_WHERE: Final = " WHERE "

WRITTEN_MAX: Final = 256
"""Groups of predicates whose SQL is remembered."""


@record(frozen=True, slots=True)
class Predicate:
    """A conjunct over one relation; `shown` is for people. `total`: it has a value, or null, for any row."""

    expression: Expr = field(compare=False)
    shown: str
    columns: frozenset[str]
    total: bool


def conjuncts(predicate: Expr) -> Iterator[Expr]:
    """The parts that `AND` joins, from left to right."""
    stack = [predicate]
    while stack:
        current = stack.pop()
        if _operator(current) == "AND":
            stack += reversed(current.rex_call_operands())
        else:
            yield current


def predicate_of(expression: Expr, row: RowType) -> Predicate:
    """A conjunct that stands right above the scan of a relation with the columns `row`."""
    shown = _QUALIFIER.sub("", expression.canonical_name())
    return Predicate(expression, shown, frozenset(_columns(expression)), _is_total(expression, row))


@lru_cache(maxsize=WRITTEN_MAX)
def written(predicates: tuple[Predicate, ...], relation: str, row: RowType) -> Sequence[str | None]:
    """The SQL of each, with columns qualified by the relation's name; None where the unparser cannot write it
    so that it is read back as the same predicate."""

    def write() -> list[str | None]:
        with empty_tables(((relation, row),)) as context:
            texts = _written(predicates, quoted(relation), context, Dialect.duckdb())
            if all(texts):
                return texts
            others = _written(predicates, quoted(relation), context, Dialect.default())
            return [text or other for text, other in zip(texts, others, strict=True)]

    return on_deep_stack(write)


def _written(
    predicates: Sequence[Predicate], table: str, context: SessionContext, dialect: Dialect
) -> list[str | None]:
    texts = [_text(p.expression, table, context, dialect) for p in predicates]
    there = _read_back([text for text in texts if text is not None], table, context)
    if len(predicates) > 1 and not there:
        return [_written([p], table, context, dialect)[0] for p in predicates]
    return [
        text if p.expression.canonical_name() in there else None
        for p, text in zip(predicates, texts, strict=True)
    ]


def _text(expression: Expr, table: str, context: SessionContext, dialect: Dialect) -> str | None:
    try:
        with planning():
            filtered = context.table(table).filter(expression)
            sql = Unparser(dialect).plan_to_sql(filtered.logical_plan())
    except PlanFailure:  # the predicate then stays where it is
        return None
    _, where, text = sql.partition(_WHERE)
    return text if where else None


def _read_back(texts: Sequence[str], table: str, context: SessionContext) -> frozenset[str]:
    """The predicates that the texts mean together; none where they cannot be planned."""
    if not texts:
        return frozenset()
    sql = f"SELECT * FROM {table} WHERE {' AND '.join(texts)}"
    try:
        with planning():
            plan = context.sql(sql).optimized_logical_plan().to_variant()
    except PlanFailure:  # the predicates then stay where they are
        return frozenset()
    if not isinstance(plan, Filter):
        return frozenset()
    return frozenset(part.canonical_name() for part in conjuncts(Expr(plan.predicate())))


def _columns(expression: Expr) -> Iterator[str]:
    stack = [expression]
    while stack:
        current = stack.pop()
        match current.variant_name():
            case "Column":
                yield current.to_variant().name()
            case "Literal":
                continue
            case _:
                stack += current.rex_call_operands()


def _is_total(expression: Expr, row: RowType) -> bool:
    types = {c.name: c.type for c in row}
    numeric = all(_is_plain_number(types.get(name)) for name in _columns(expression))
    stack = [expression]
    while stack:
        current = stack.pop()
        match current.variant_name():
            case "Column" | "Literal":
                continue
            case "BinaryExpr":
                allowed = _is_total_operator(current, numeric, types)
            case "Negative":
                allowed = numeric
            case "Like":
                allowed = True
            case "Cast":
                allowed = _is_total_cast(current, types)
            case "ScalarFunction":
                allowed = current.canonical_name().split("(", 1)[0] in TOTAL_FUNCTIONS
            case variant:
                allowed = variant in TESTS
        if not allowed:
            return False
        stack += current.rex_call_operands()
    return True


def _is_total_operator(expression: Expr, numeric: bool, types: Mapping[str, pa.DataType | None]) -> bool:
    operator = _operator(expression)
    if operator not in DIVISIONS:
        return operator in COMPARISONS or (operator in ARITHMETIC and numeric)
    operands = expression.rex_call_operands()
    divisor = _NUMBER.match(operands[1].canonical_name())
    known = divisor is not None and float(divisor[1]) not in {0.0, -1.0}
    return numeric and (known or any(_is_float(operand, types) for operand in operands))


def _is_float(operand: Expr, types: Mapping[str, pa.DataType | None]) -> bool:
    """Whether it is plainly one; the operands of an operator have one type."""
    match operand.variant_name():
        case "Column":
            type_ = types.get(operand.to_variant().name())
            return type_ is not None and bool(pa.types.is_floating(type_))
        case "Literal":
            return operand.canonical_name().startswith("Float")
        case "Cast":
            found = _CAST.match(operand.canonical_name())
            return found is not None and found[1].startswith("Float")
        case _:
            return False


def _is_total_cast(cast: Expr, types: Mapping[str, pa.DataType | None]) -> bool:
    found = _CAST.match(cast.canonical_name())
    target = CAST_TYPES.get(found[1]) if found else None
    (inner,) = cast.rex_call_operands()
    if target is None or inner.variant_name() != "Column":
        return False
    source = types.get(inner.to_variant().name())
    return source is not None and widens(source, target)


def _is_plain_number(type_: pa.DataType | None) -> bool:
    return type_ is not None and bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _operator(expression: Expr) -> str | None:
    return str(expression.rex_call_operator()) if expression.variant_name() == "BinaryExpr" else None

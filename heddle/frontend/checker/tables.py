"""Table literals: `[{…} {…}]` becomes rows and a closed row type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import pyarrow as pa

from heddle.core.types import Column, RowType, type_name
from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.checker.report import Report

Cell: TypeAlias = bool | int | float | str | None
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def read_table(table: ast.TableLiteral, report: Report) -> tuple[tuple[Mapping[str, Cell], ...], RowType]:
    """Rows and columns in first-seen order. Integers are int64, float64 beside a float."""
    rows: list[dict[str, Cell]] = []
    types: dict[str, pa.DataType | None] = {}
    nullable: set[str] = set()
    for written in table.rows:
        row: dict[str, Cell] = {}
        for pair in written.pairs:
            name = pair.key.text
            if name in row:
                report.warning(
                    "HD0703",
                    pair.key.span,
                    f"`{name}` is set twice; the last one counts",
                    "take one of them out",
                )
            row[name] = _cell(pair, report)
            types[name] = _common(name, types.get(name), row[name], pair.value.span, report)
            if row[name] is None:
                nullable.add(name)
        rows.append(row)
    for row, written in zip(rows, table.rows, strict=True):
        missing = [name for name in types if name not in row]
        if missing:
            nullable.update(missing)
            names = ", ".join(f"`{n}`" for n in missing)
            report.warning(
                "HD0504",
                written.span,
                f"this row has no {names}",
                "the missing values are null; write `null` to say so",
            )
    columns = tuple(Column(n, pa.string() if t is None else t, n in nullable) for n, t in types.items())
    floats = {c.name for c in columns if c.type == pa.float64()}
    return tuple({n: _as_float(v) if n in floats else v for n, v in row.items()} for row in rows), RowType(
        columns
    )


def _cell(pair: ast.Pair, report: Report) -> Cell:
    match pair.value:
        case ast.NumberValue(value=int(number)) if not INT64_MIN <= number <= INT64_MAX:
            report.error(
                "HD0505",
                pair.value.span,
                f"{number} does not fit a 64-bit int",
                "write it as a float (`1e20`) or a string",
            )
            return 0
        case ast.StringValue(value=value) | ast.NumberValue(value=value) | ast.BoolValue(value=value):
            return value
        case ast.NullValue():
            return None
        case other:
            report.error(
                "HD0505",
                other.span,
                f"`{pair.key.text}` is not a plain value",
                "a table holds numbers, strings, true, false and null",
            )
            return None


def _common(
    name: str, known: pa.DataType | None, value: Cell, span: Span, report: Report
) -> pa.DataType | None:
    """The column's type with one more value in it."""
    found = _type_of(value)
    if found is None or known is None or found.equals(known):
        return known if found is None else found
    if {str(known), str(found)} == {"int64", "double"}:
        return pa.float64()
    report.error(
        "HD0503",
        span,
        f"`{name}` is {type_name(found)} here and {type_name(known)} in the rows above",
        "a column has one type; only int and float mix",
    )
    return known


def _type_of(value: Cell) -> pa.DataType | None:
    match value:
        case None:
            return None
        case bool():
            return pa.bool_()
        case int():
            return pa.int64()
        case float():
            return pa.float64()
        case str():
            return pa.string()


def _as_float(value: Cell) -> Cell:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

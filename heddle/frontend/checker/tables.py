"""Table literals: `[{…} {…}]` becomes rows and a closed row type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias, assert_never

import pyarrow as pa

from heddle.core.types import Column, RowType, type_name
from heddle.frontend import ast
from heddle.frontend.checker.configs import last_pairs
from heddle.frontend.checker.report import Report

Cell: TypeAlias = bool | int | float | str | None

_ARROW: Final[Mapping[type, pa.DataType]] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
}


def read_table(table: ast.TableLiteral, report: Report) -> tuple[tuple[Mapping[str, Cell], ...], RowType]:
    """Rows and columns in first-seen order. Integers are int64, float64 beside a float."""
    return _TableReader(report).read(table)


class _TableReader:
    """`_kinds` are the Python types of the columns so far, None while only nulls were seen."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._kinds: dict[str, type | None] = {}
        self._nullable: set[str] = set()
        self._mixed: set[str] = set()

    def read(self, table: ast.TableLiteral) -> tuple[tuple[Mapping[str, Cell], ...], RowType]:
        rows = [self._row(written) for written in table.rows]
        self._missing(rows, table.rows)
        columns = tuple(
            Column(name, _ARROW[kind or str], name in self._nullable) for name, kind in self._kinds.items()
        )
        floats = [name for name, kind in self._kinds.items() if kind is float]
        for row in rows:
            for name in floats:
                if type(row.get(name)) is int:
                    row[name] = float(row[name] or 0)
        return tuple(rows), RowType(columns)

    def _row(self, written: ast.DictValue) -> dict[str, Cell]:
        row: dict[str, Cell] = {}
        for pair in last_pairs(written, self._report):
            name, value = pair.key.text, self._cell(pair)
            row[name] = value
            known = self._kinds.setdefault(name, None)
            if value is None:
                self._nullable.add(name)
            else:
                self._kinds[name] = self._common(pair, known, type(value))
        return row

    def _missing(self, rows: list[dict[str, Cell]], written: tuple[ast.DictValue, ...]) -> None:
        """One warning for all rows that miss the same columns, at the first of them."""
        places: dict[tuple[str, ...], list[ast.DictValue]] = {}
        for row, place in zip(rows, written, strict=True):
            if missing := tuple(name for name in self._kinds if name not in row):
                places.setdefault(missing, []).append(place)
        for missing, without in places.items():
            self._nullable.update(missing)
            names = ", ".join(f"`{n}`" for n in missing)
            others = len(without) - 1
            which = f"this row and {others} more have" if others else "this row has"
            self._report.warning(
                "HD0504",
                without[0].span,
                f"{which} no {names}",
                "the missing values are null; write `null` to say so",
            )

    def _cell(self, pair: ast.Pair) -> Cell:
        match pair.value:
            case ast.StringValue(value=value) | ast.NumberValue(value=value) | ast.BoolValue(value=value):
                return value
            case ast.NullValue():
                return None
            case ast.ListValue() | ast.DictValue() | ast.EnvValue() | ast.SecretValue():
                return None  # the parser has reported it
            case _:
                assert_never(pair.value)

    def _common(self, pair: ast.Pair, known: type | None, found: type) -> type:
        """The column's kind with one more value in it; a column that mixes kinds is reported once."""
        if known is None or known is found:
            return found
        if {known, found} == {int, float}:
            return float
        name = pair.key.text
        if name not in self._mixed:
            self._mixed.add(name)
            here, above = type_name(_ARROW[found]), type_name(_ARROW[known])
            self._report.error(
                "HD0503",
                pair.value.span,
                f"`{name}` is {here} here and {above} in the rows above",
                "a column has one type; only int and float mix",
            )
        return known

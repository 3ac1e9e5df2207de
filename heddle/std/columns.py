"""`col.cast` and `col.rename`: their output rows, and the SQL that they are lowered to.

A cast of text that is no value of the wanted type fails the query; a null stays null.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from heddle.core.planning import quoted
from heddle.core.record import record
from heddle.core.types import Column, RowType, TypeSyntaxError, parse_type
from heddle.diagnostics import did_you_mean


@record(frozen=True, slots=True)
class ColumnProblem:
    """Why a config does not fit its input; `key` is the offending setting."""

    key: str
    message: str
    help: str | None = None


def output_row(step_name: str, config: Mapping[str, object], input_row: RowType) -> RowType | ColumnProblem:
    """The row that `cast` or `rename` makes of a row."""
    renames = step_name == "rename"
    for key, value in config.items():
        if not isinstance(value, str):
            wanted = "a new name" if renames else 'a type such as "int"'
            return ColumnProblem(key, f"`{key}` needs {wanted} in quotes")
        if input_row.column(key) is None and not input_row.open:
            return _unknown(key, step_name, input_row)
    return _renamed(config, input_row) if renames else _cast(config, input_row)


def to_sql(step_name: str, config: Mapping[str, object], input_row: RowType) -> list[tuple[str, str]]:
    """The select list as (expression, column name), for a row whose columns are all named."""
    result: list[tuple[str, str]] = []
    for column in input_row.columns:
        setting = config.get(column.name)
        if not isinstance(setting, str):
            result.append((quoted(column.name), column.name))
        elif step_name == "rename":
            result.append((quoted(column.name), setting))
        else:
            result.append((_cast_sql(column.name, setting), column.name))
    return result


def select_list(step_name: str, config: Mapping[str, object], input_row: RowType) -> str:
    """The select list as SQL text. For an open row the columns that are not named follow by `*`."""
    if not input_row.open:
        return ", ".join(f"{sql} AS {quoted(name)}" for sql, name in to_sql(step_name, config, input_row))
    settings = {key: value for key, value in config.items() if isinstance(value, str)}
    if not settings:
        return "*"
    if step_name == "rename":
        dropped = ", ".join(quoted(key) for key in settings)
        return f"* EXCEPT ({dropped}), " + ", ".join(
            f"{quoted(k)} AS {quoted(v)}" for k, v in settings.items()
        )
    replaced = ", ".join(f"{_cast_sql(key, text)} AS {quoted(key)}" for key, text in settings.items())
    return f"* REPLACE ({replaced})"


def arrow_cast_name(type_: pa.DataType) -> str:
    """The type as DataFusion's `arrow_cast` reads it; values inside lists and structs may be null."""
    t = pa.types
    if t.is_timestamp(type_):
        zone = f'"{type_.tz}"' if type_.tz else None
        return (
            f"Timestamp({_UNITS[type_.unit]}, Some({zone}))"
            if zone
            else f"Timestamp({_UNITS[type_.unit]}, None)"
        )
    if t.is_decimal(type_):
        return f"Decimal{type_.bit_width}({type_.precision}, {type_.scale})"
    if t.is_time64(type_):
        return f"Time64({_UNITS[type_.unit]})"
    if t.is_duration(type_):
        return f"Duration({_UNITS[type_.unit]})"
    if t.is_list(type_):
        return f"List(nullable {arrow_cast_name(type_.value_type)})"
    if t.is_struct(type_):
        fields = ", ".join(f"{_json_name(f.name)}: nullable {arrow_cast_name(f.type)}" for f in type_)
        return f"Struct({fields})"
    return _NAMES[type_]


_UNITS = {"s": "Second", "ms": "Millisecond", "us": "Microsecond", "ns": "Nanosecond"}
_NAMES = {
    pa.int64(): "Int64",
    pa.float64(): "Float64",
    pa.string(): "Utf8",
    pa.bool_(): "Boolean",
    pa.date32(): "Date32",
    pa.binary(): "Binary",
}


def _json_name(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _cast_sql(name: str, type_text: str) -> str:
    target = arrow_cast_name(parse_type(type_text)[0]).replace("'", "''")
    return f"arrow_cast({quoted(name)}, '{target}')"


def _cast(config: Mapping[str, object], row: RowType) -> RowType | ColumnProblem:
    changed: list[Column] = []
    for key, text in config.items():
        try:
            type_, _ = parse_type(str(text))
        except TypeSyntaxError as error:
            return ColumnProblem(
                key, f"`{key}`: {error}", 'types are such as "int", "decimal(10,2)", "list<string>"'
            )
        found = row.column(key)
        changed.append(Column(key, _with_nulls_inside(type_), found.nullable if found else True))
    return row.with_columns(changed)


def _renamed(config: Mapping[str, object], row: RowType) -> RowType | ColumnProblem:
    known = {c.name for c in row.columns} | set(config)
    columns = [Column(str(config.get(c.name, c.name)), c.type, c.nullable) for c in row.columns]
    columns += [Column(str(new), None) for old, new in config.items() if row.column(old) is None]
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            old = next((k for k, v in config.items() if v == column.name), column.name)
            return ColumnProblem(
                old,
                f"there would be two columns `{column.name}`",
                f"rename the other one too, or pick a name that is not one of {', '.join(sorted(known))}",
            )
        seen.add(column.name)
    return RowType(tuple(columns), row.open)


def _unknown(key: str, step_name: str, row: RowType) -> ColumnProblem:
    near = did_you_mean(key, row.names)
    there = f"the input has {', '.join(f'`{n}`' for n in row.names) or 'no columns'}"
    return ColumnProblem(
        key,
        f"`col.{step_name}` names the column `{key}`, which the input does not have",
        f"did you mean `{near}`?" if near else there,
    )


def _with_nulls_inside(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_list(type_):
        return pa.list_(pa.field("item", _with_nulls_inside(type_.value_type)))
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(f.name, _with_nulls_inside(f.type)) for f in type_])
    return type_

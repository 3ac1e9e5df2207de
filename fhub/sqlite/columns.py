"""The types of a statement's columns, and SQLite's values as Arrow columns of these types.

SQLite tells types of values, not of columns. A column that is a table's has the type that the table declares;
an expression has what its operators and functions give.
"""

from __future__ import annotations

import datetime
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import pyarrow as pa

from fhub.sqlite.failures import SqliteError
from heddle.core import kernels as pc
from heddle.core.types import TIMESTAMP, parse_type, type_name

_VIEW: Final = "heddle_described"
_NAMES: Final = (
    ("BOOL", pa.bool_()),
    ("DATETIME", TIMESTAMP),
    ("TIMESTAMP", TIMESTAMP),
    ("DATE", pa.date32()),
    ("INTERVAL", pa.string()),
    ("POINT", pa.string()),
    ("INT", pa.int64()),
    ("TIME", pa.time64("us")),
    ("CHAR", pa.string()),
    ("CLOB", pa.string()),
    ("TEXT", pa.string()),
    ("STRING", pa.string()),
    ("JSON", pa.string()),
    ("UUID", pa.string()),
    ("BLOB", pa.binary()),
    ("BINARY", pa.binary()),
    ("REAL", pa.float64()),
    ("FLOA", pa.float64()),
    ("DOUB", pa.float64()),
    ("DEC", pa.float64()),
    ("NUM", pa.float64()),
)
"""What stands in a declared type, in the order in which it is looked for."""


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def table_name(table: str) -> str:
    return ".".join(identifier(part) for part in table.split("."))


def declared_type(text: str) -> pa.DataType | None:
    """The type of a column that a table declares as `text`; None for one that says nothing."""
    upper = text.upper()
    found = re.fullmatch(r"\s*(?:DEC|DECIMAL|NUMERIC)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)\s*", upper)
    if found is not None and 1 <= int(found[1]) <= 38 and int(found[2] or 0) <= int(found[1]):
        return pa.decimal128(int(found[1]), int(found[2] or 0))
    return next((type_ for mark, type_ in _NAMES if mark in upper), None)


def described(database: sqlite3.Connection, statement: str, schema: Mapping[str, str] | None) -> pa.Schema:
    """The columns of a statement without parameters; nothing of it is run. Raises `SqliteError`."""
    database.execute("PRAGMA query_only = 0")
    database.execute(f"CREATE TEMP VIEW {_VIEW} AS\n{statement}")
    try:
        found = database.execute(f"PRAGMA temp.table_xinfo({_VIEW})").fetchall()
    finally:
        database.execute(f"DROP VIEW {_VIEW}")
        database.execute("PRAGMA query_only = 1")
    names = [name for _, name, *_ in found]
    for name in names:
        # A view's columns have different names: SQLite adds numbers.
        first, colon, number = name.rpartition(":")
        if colon and number.isdigit() and first in names and name not in statement:
            raise SqliteError(f"the statement gives two columns `{first}`; name one of them by AS")
    types = {name: declared_type(type_) if type_ != "NUM" else None for _, name, type_, *_ in found}
    for name, text in (schema or {}).items():
        if name in types:
            types[name] = parse_type(text)[0]
    if None in types.values():
        types = _expressions(database, statement, names) | {n: t for n, t in types.items() if t is not None}
    unknown = next((name for name in names if types.get(name) is None), None)
    if unknown is not None:
        raise SqliteError(
            f"SQLite does not say of which type column `{unknown}` is; select CAST(… AS INTEGER), REAL or "
            f'TEXT of it, or say schema: {{ {unknown}: "int", … }}'
        )
    return pa.schema([pa.field(name, types[name]) for name in names])


def _expressions(
    database: sqlite3.Connection, statement: str, names: Sequence[str]
) -> dict[str, pa.DataType | None]:
    """The types of the columns that are expressions, as far as their text tells them."""
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.annotate_types import annotate_types
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.schema import MappingSchema

    try:
        tree = parse_one(statement, read="sqlite")
        tables = {table.name for table in tree.find_all(exp.Table)}
        columns = {
            table: {
                name: type_ or "UNKNOWN"
                for _, name, type_, *_ in database.execute(f"PRAGMA table_xinfo({identifier(table)})")
            }
            for table in tables
        }
        schema = MappingSchema({t: c for t, c in columns.items() if c}, dialect="sqlite")
        qualified = qualify(
            tree, schema=schema, dialect="sqlite", validate_qualify_columns=False, quote_identifiers=False
        )
        typed = annotate_types(qualified, schema=schema, dialect="sqlite")
    except SqlglotError:
        return {}
    assert isinstance(typed, exp.Query)
    kinds = [_EXPRESSION_TYPES.get(str(e.type.this.value) if e.type else "") for e in typed.selects]
    return dict(zip(names, kinds, strict=False))


_EXPRESSION_TYPES: Final = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INT", "BIGINT", "UBIGINT"), pa.int64()),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), pa.float64()),
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "NCHAR", "NVARCHAR", "JSON", "NULL"), pa.string()),
    **dict.fromkeys(("DATE", "DATETIME", "TIMESTAMP", "TIME"), pa.string()),
    "BOOLEAN": pa.bool_(),
    "BLOB": pa.binary(),
    "VARBINARY": pa.binary(),
}
"""By sqlglot's names. SQLite's functions of dates give texts."""


def as_arrow(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """Raises `SqliteError` for a value of another kind."""
    try:
        return _MAKERS.get(field.type.id, _plain)(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, InvalidOperation, OverflowError) as error:
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise SqliteError(
            f"column `{field.name}` is {type_name(field.type)}, and holds {' and '.join(kinds)} values that "
            f'are none: say schema: {{ {field.name}: "string", … }}, or cast it in the statement ({error})'
        ) from error


def _plain(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    return pa.array(values, type_)


def _text(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except pa.ArrowTypeError:
        return pa.array([v if v is None or isinstance(v, str) else str(v) for v in values], pa.string())


def _bool(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    numbers = pa.array(values, pa.int64())
    if pc.any(pc.invert(pc.is_in(numbers, pa.array([0, 1, None]))), min_count=0).as_py():
        raise pa.ArrowInvalid("a bool is 0 or 1")
    return numbers.cast(pa.bool_())


def _decimal(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    return pa.array([None if v is None else Decimal(str(v)) for v in values], type_)


def _moment(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    texts = pa.array(values, pa.string())
    if pa.types.is_timestamp(type_):
        zoned = pc.match_substring_regex(texts, r"(Z|[+-]\d\d:?\d\d)$")
        with_zone = pc.if_else(zoned, texts, pc.binary_join_element_wise(texts, "Z", ""))
        return with_zone.cast(pa.timestamp("us", "UTC"))
    return texts.cast(type_)


def _time(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    try:
        return pa.array([None if v is None else datetime.time.fromisoformat(v) for v in values], type_)
    except ValueError as error:
        raise pa.ArrowInvalid(str(error)) from error


_MAKERS: Final[dict[int, Callable[[Sequence[Any], pa.DataType], pa.Array]]] = {
    pa.string().id: _text,
    pa.bool_().id: _bool,
    pa.decimal128(1).id: _decimal,
    pa.timestamp("us").id: _moment,
    pa.date32().id: _moment,
    pa.time64("us").id: _time,
}


def as_values(column: pa.ChunkedArray) -> list[Any]:
    """An Arrow column as SQLite stores it. Raises `SqliteError`."""
    type_ = column.type
    if pa.types.is_timestamp(type_):
        texts = pc.strftime(column.cast(pa.timestamp("us", "UTC")), "%Y-%m-%d %H:%M:%S")
        # As SQLite's own functions write it.
        return list(pc.replace_substring_regex(texts, r"\.000000$", "").to_pylist())
    if pa.types.is_date(type_) or pa.types.is_time(type_):
        return list(column.cast(pa.string()).to_pylist())
    if pa.types.is_boolean(type_):
        return list(column.cast(pa.int64()).to_pylist())
    if pa.types.is_decimal(type_):
        return [_number(value) for value in column.to_pylist()]
    if pa.types.is_nested(type_) or pa.types.is_duration(type_):
        raise SqliteError(f"SQLite has no {type_name(type_)}; make a text of it in the query")
    return list(column.to_pylist())


def _number(value: Decimal | None) -> float | int | None:
    if value is None:
        return None
    if value == value.to_integral_value() and abs(value) < 1 << 63:
        return int(value)
    if Decimal(repr(float(value))) != value:
        raise SqliteError(
            f"SQLite's numbers have no room for the {len(value.as_tuple().digits)} digits of a decimal"
        )
    return float(value)

"""Values for the parameters of statements: how they are bound, and which type the server is to see.

A value has a type of its own, and the server wants one where it stands. What is only compared keeps its own
type, as far as PostgreSQL compares the two: so a key that is too large for the column finds nothing, instead
of being an error or being rounded. Everything else is cast by the server, by way of a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from fhub.postgresql.describing import Description
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.session import Session, one_row
from fhub.postgresql.statements import with_placeholders
from heddle.core.config import ConfigValue
from heddle.core.types import TIMESTAMP, type_name

_t = pa.types
_MARK: Final = "@p:"
_CATALOG: Final = "pg_catalog."
_COMPARED: Final = (
    frozenset({"int2", "int4", "int8", "float4", "float8", "numeric"}),
    frozenset({"date", "timestamp", "timestamptz"}),
    frozenset({"text", "varchar", "name"}),
)
"""Types that PostgreSQL compares with each other without losing anything."""


def bindable(column: pa.Array, name: str) -> pa.Array:
    """A column with a type that the driver binds. Raises `PostgresqlError`."""
    type_ = column.type
    if isinstance(column, pa.ExtensionArray):
        column, type_ = column.storage, column.storage.type
    if _t.is_dictionary(type_):
        column, type_ = column.dictionary_decode(), type_.value_type
    if _t.is_null(type_):
        return column.cast(pa.string())
    try:
        if _t.is_integer(type_):
            return pc.cast(column, pa.int64())
        if _t.is_floating(type_):
            return pc.cast(column, pa.float64())
        if _t.is_large_string(type_) or _t.is_string_view(type_):
            return pc.cast(column, pa.string())
        if _t.is_large_binary(type_) or _t.is_binary_view(type_) or _t.is_fixed_size_binary(type_):
            return pc.cast(column, pa.binary())
        if _t.is_timestamp(type_):
            return pc.cast(column, pa.timestamp("us") if type_.tz is None else TIMESTAMP)
        if _t.is_date(type_):
            return pc.cast(column, pa.date32())
        if _t.is_time(type_):
            return pc.cast(column, pa.time64("us"))
        if _t.is_duration(type_):
            return pc.cast(column, pa.duration("us"))
    except pa.ArrowInvalid as error:
        raise PostgresqlError(
            f"`@{name}` is {type_name(type_)} with values that PostgreSQL has no type for"
        ) from error
    if _t.is_string(type_) or _t.is_boolean(type_) or _t.is_binary(type_) or _t.is_decimal(type_):
        return column
    raise PostgresqlError(f"`@{name}` is {type_name(type_)}; a parameter is one value, not several")


def own_type(type_: pa.DataType) -> str:
    """PostgreSQL's type for the values of a bindable column."""
    if _t.is_timestamp(type_):
        return "timestamptz" if type_.tz is not None else "timestamp"
    if _t.is_decimal(type_):
        return "numeric"
    return {
        pa.int64(): "int8",
        pa.float64(): "float8",
        pa.string(): "text",
        pa.bool_(): "bool",
        pa.binary(): "bytea",
        pa.date32(): "date",
        pa.time64("us"): "time",
        pa.duration("us"): "interval",
    }[type_]


def casts(type_: pa.DataType, wanted: str, compared: bool) -> tuple[str, ...]:
    """The types that a bound value of `type_` goes through, where the server infers `wanted`."""
    own = own_type(type_)
    inferred = wanted.removeprefix(_CATALOG).strip('"')
    if own == inferred or (compared and any({own, inferred} <= together for together in _COMPARED)):
        return (_CATALOG + own,)
    if own == "float8" and inferred in ("int2", "int4", "int8"):
        # A cast of PostgreSQL's would round; a text with a fraction is refused.
        return (_CATALOG + own, _CATALOG + "text", wanted)
    return (_CATALOG + own, wanted)


def compared_only(tree: object, name: str) -> bool:
    """Whether a parameter, which stands as a column of its name in sqlglot's tree, is compared wherever it
    stands; False when the statement could not be parsed."""
    from sqlglot import exp

    if not isinstance(tree, exp.Expression):
        return False
    found = [column for column in tree.find_all(exp.Column) if column.name == name and not column.table]
    comparisons = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)
    return bool(found) and all(isinstance(column.parent, comparisons) for column in found)


def parsed(statement: str, prefix: str) -> object:
    """sqlglot's tree of the statement, in which `@name` is a column `{prefix}name`; None if it has none."""
    from sqlglot import parse_one
    from sqlglot.errors import SqlglotError

    try:
        return parse_one(with_placeholders(statement, lambda name: f'"{prefix}{name}"'), read="postgres")
    except SqlglotError:
        return None


def scalar(value: ConfigValue, name: str) -> pa.Array:
    """A workflow's parameter as one bindable value. Raises `PostgresqlError`."""
    if isinstance(value, list | dict):
        raise PostgresqlError(f"`@{name}` is a {type(value).__name__}; a parameter is one value")
    try:
        return bindable(pa.array([value]), name)
    except OverflowError:
        raise PostgresqlError(f"`@{name}` is a number of more than 64 bits; give it as a text") from None


def with_settings(
    description: Description, values: Mapping[str, ConfigValue], session: Session, text: str
) -> str:
    """The statement with its parameters read from settings of the session, which this binds.

    PostgreSQL's COPY, by which rows are streamed, takes no parameters. The settings are
    `heddle.p1` and so on; their values are the server's before the statement is planned.
    """
    missing = [name for name in description.parameters if name not in values]
    if missing:
        raise PostgresqlError(f"there is no value for the parameter `@{missing[0]}`")
    if not description.parameters:
        return text
    tree = parsed(description.statement, _MARK)
    forms: dict[str, str] = {}
    bound: list[pa.Array] = []
    for number, (name, wanted) in enumerate(description.parameters.items(), 1):
        value = scalar(values[name], name)
        if values[name] is None:
            forms[name] = f"NULL::{wanted}"
            continue
        path = casts(value.type, wanted, compared_only(tree, _MARK + name))
        forms[name] = f"current_setting('heddle.p{number}')" + "".join(f"::{type_}" for type_ in path)
        bound += [pa.array([f"heddle.p{number}"]), pc.cast(value, pa.string())]
    if bound:
        parts = ", ".join(f"set_config(${i}, ${i + 1}, false)" for i in range(1, len(bound) + 1, 2))
        session.rows(f"SELECT {parts}", one_row(bound))
    return with_placeholders(text, lambda name: f"({forms[name]})")


def array_parameter(number: int, path: Sequence[str]) -> str:
    """`$number` as an array of the last type of the path."""
    return f"${number}" + "".join(f"::{type_}[]" for type_ in path)

"""`duck.query` and `duck.table`: statements described, run and looked up, their rows as Arrow tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from fhub.duckdb.columns import Found, columns_of, identifier, table_name
from fhub.duckdb.connection import Connection
from fhub.duckdb.failures import DuckdbError
from heddle.core.statements import parameter_names, with_placeholders
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.core.types import RowType
from heddle.sdk import LOOKUP_KEY

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from heddle.core.config import ConfigValue

BATCH_ROWS: Final = 100_000
_KEYS: Final = "heddle_tuples"
_ROW: Final = "heddle_row"
_TYPES: Final = {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN"}


def table_statement(table: str, columns: list[str] | None) -> str:
    listed = ", ".join(identifier(column) for column in columns) if columns is not None else "*"
    return f"SELECT {listed} FROM {table_name(table)}"


def described(
    connection: Connection, statement: str, schema: Mapping[str, str] | None, input: RowType | None = None
) -> pa.Schema:
    """The columns of a statement whose parameters have no values yet. Nothing is run."""
    known = {c.name: _TYPES.get(str(c.type)) for c in input.columns} if input is not None else {}

    def null(name: str) -> str:
        return f"CAST(NULL AS {known[name]})" if known.get(name) else "NULL"

    with connection.cursor(StepContext()) as cursor:
        relation = cursor.sql(_select(with_placeholders(statement, null)))
        return _schema(_columns(relation, schema))


def read(
    connection: Connection, statement: str, schema: Mapping[str, str] | None, context: StepContext
) -> Iterator[Table]:
    """The rows of a statement."""
    values = _values(statement, context.parameters)
    with connection.cursor(context) as cursor:
        text = _select(with_placeholders(statement, lambda name: f"${name}"))
        relation = cursor.sql(text, params=values) if values else cursor.sql(text)
        columns = _columns(relation, schema)
        _warn(columns, context)
        sql = f"SELECT {', '.join(c.expression for c in columns)} FROM (\n{text}\n) AS heddle_query"
        found = cursor.sql(sql, params=values) if values else cursor.sql(sql)
        yield from _rows(found, _schema(columns), context)


def look_up(
    connection: Connection,
    statement: str,
    schema: Mapping[str, str] | None,
    tuples: pa.Table,
    context: StepContext,
) -> Iterator[Table]:
    """The rows of a statement for all tuples of its parameters, with the number of the tuple: a lateral join,
    which DuckDB turns into an ordinary one."""
    names = tuple(name for name in parameter_names(statement) if name in tuples.column_names)
    others = {name: value for name, value in context.parameters.items() if name not in names}
    values = _values(statement, others, names)
    keys = tuples.select(list(names)).append_column(_ROW, pa.array(range(tuples.num_rows), pa.int64()))

    def placeholder(name: str) -> str:
        return f"{_KEYS}.{identifier(name)}" if name in names else f"${name}"

    with connection.cursor(context) as cursor:
        text = _select(with_placeholders(statement, placeholder))
        cursor.register(_KEYS, keys)
        inner = (
            f"SELECT heddle_query.*, {_KEYS}.{_ROW} AS {identifier(LOOKUP_KEY)} "
            f"FROM {_KEYS}, LATERAL (\n{text}\n) AS heddle_query"
        )
        relation = cursor.sql(inner, params=values) if values else cursor.sql(inner)
        columns = _columns(relation, schema)
        _warn(columns, context)
        sql = f"SELECT {', '.join(c.expression for c in columns)} FROM (\n{inner}\n) AS heddle_rows"
        found = cursor.sql(sql, params=values) if values else cursor.sql(sql)
        yield from _rows(found, _schema(columns), context)


def estimated_rows(connection: Connection, statement: str) -> int | None:
    """What DuckDB's optimizer expects, with parameters that are null left out of account."""
    if parameter_names(statement):
        return None
    try:
        with connection.cursor(StepContext()) as cursor:
            plan = cursor.execute(f"EXPLAIN (FORMAT json) {_select(statement)}").fetchall()[0][1]
        (top,) = json.loads(plan)
        return int(top["extra_info"]["Estimated Cardinality"])
    except (DuckdbError, KeyError, ValueError, TypeError):
        return None


def _select(statement: str) -> str:
    """The statement without a semicolon. Raises `DuckdbError` for what is not one SELECT."""
    import duckdb

    text = statement.rstrip().rstrip(";")
    found = duckdb.extract_statements(text)
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        raise DuckdbError("`query` takes one SELECT")
    return text


def _values(
    statement: str, parameters: Mapping[str, ConfigValue], elsewhere: tuple[str, ...] = ()
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in parameter_names(statement):
        if name in elsewhere:
            continue
        if name not in parameters:
            raise DuckdbError(f"`@{name}` has no value")
        values[name] = parameters[name]
    return values


def _columns(relation: DuckDBPyRelation, schema: Mapping[str, str] | None) -> tuple[Found, ...]:
    return columns_of(relation.columns, relation.types, schema)


def _schema(columns: tuple[Found, ...]) -> pa.Schema:
    return pa.schema([pa.field(c.name, c.arrow, c.name != LOOKUP_KEY) for c in columns])


def _warn(columns: tuple[Found, ...], context: StepContext) -> None:
    for column in columns:
        if column.note:
            context.log.warning("column `%s`: %s", column.name, column.note)


def _rows(relation: DuckDBPyRelation, schema: pa.Schema, context: StepContext) -> Iterator[Table]:
    done = 0
    for batch in relation.to_arrow_reader(BATCH_ROWS):
        done += batch.num_rows
        yield Table.from_arrow(_converted(pa.Table.from_batches([batch]), schema))
        context.progress(done)
    if not done:
        yield Table.from_arrow(schema.empty_table())


def _converted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = []
    for column, field in zip(table.columns, schema, strict=True):
        try:
            columns.append(column if column.type.equals(field.type) else column.cast(field.type))
        except pa.ArrowInvalid as error:
            cure = f'; take it as a decimal: schema: {{ {field.name}: "decimal(20,0)", … }}'
            shown = cure if pa.types.is_integer(field.type) else ""
            raise DuckdbError(f"column `{field.name}`: {error}{shown}") from error
    return pa.table(columns, schema=schema)

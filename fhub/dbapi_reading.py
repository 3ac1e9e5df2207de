"""Statements of a `Database`: described, run, and looked up for many tuples of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from fhub.dbapi import Database, DatabaseError
from heddle.core.casting import plain_schema, plain_table
from heddle.core.config import ConfigValue
from heddle.core.statements import parameter_names, with_placeholders
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.core.types import parse_type, type_name
from heddle.sdk import LOOKUP_KEY

BATCH_ROWS: Final = 50_000
_ROW: Final = "heddle_row"


def table_statement(database: Database, table: str, columns: list[str] | None) -> str:
    dialect = database.dialect
    listed = ", ".join(dialect.identifier(name) for name in columns) if columns is not None else "*"
    return f"SELECT {listed} FROM {dialect.table(table)}"


def described(database: Database, statement: str, schema: Mapping[str, str] | None) -> pa.Schema:
    """The columns of a statement whose parameters have no values yet: what the driver says of it, or the
    columns of the statement without rows."""
    if schema is not None and not database.dialect.arrow:
        return _declared_schema(schema)
    if not database.dialect.arrow:
        raise DatabaseError(
            f"{database.name}: its driver does not tell the types of columns; "
            'name them: schema: { id: "int", … }'
        )
    text = with_placeholders(statement, lambda name: "NULL").rstrip().rstrip(";")
    with database.cursor(StepContext()) as cursor:
        found = _execute_schema(cursor, text)
        if found is None:
            cursor.execute(f"SELECT * FROM (\n{text}\n) heddle_query WHERE 1 = 0")
            found = cursor.fetch_arrow_table().schema
    return _wanted(found, schema)


def read(
    database: Database, statement: str, schema: Mapping[str, str] | None, context: StepContext
) -> Iterator[Table]:
    """The rows of a statement."""
    names: list[str] = []
    text = database.dialect.bound(statement, names)
    values = [_value(name, context.parameters) for name in names]
    with database.cursor(context) as cursor:
        database.dialect.execute(cursor, text, values)
        yield from _rows(cursor, database, schema, context, lookup=False)


def look_up(
    database: Database,
    statement: str,
    schema: Mapping[str, str] | None,
    tuples: pa.Table,
    context: StepContext,
    tuples_max: int,
) -> Iterator[Table]:
    """The rows of a statement for all tuples of its parameters, with the number of the tuple: statements for
    up to `tuples_max` tuples each, in which the tuples' SELECTs stand between UNION ALL."""
    rows = tuples.select([n for n in parameter_names(statement) if n in tuples.column_names]).to_pylist()
    for first in range(0, len(rows), tuples_max):
        names: list[str] = []
        values: list[Any] = []
        branches: list[str] = []
        for number, row in enumerate(rows[first : first + tuples_max], first):
            before = len(names)
            text = database.dialect.bound(statement, names)
            branches.append(f"SELECT heddle_query.*, {number} AS {_ROW} FROM (\n{text}\n) heddle_query")
            values += [row[n] if n in row else _value(n, context.parameters) for n in names[before:]]
        with database.cursor(context) as cursor:
            database.dialect.execute(cursor, "\nUNION ALL\n".join(branches), values)
            yield from _rows(cursor, database, schema, context, lookup=True)


def _execute_schema(cursor: Any, text: str) -> pa.Schema | None:
    """What the driver says of a statement; None where it says nothing."""
    import adbc_driver_manager

    try:
        return cursor.adbc_execute_schema(text)
    except adbc_driver_manager.NotSupportedError:
        return None


def _value(name: str, parameters: Mapping[str, ConfigValue]) -> ConfigValue:
    if name not in parameters:
        raise DatabaseError(f"`@{name}` has no value")
    value = parameters[name]
    if isinstance(value, list | dict):
        raise DatabaseError(f"`@{name}` is a {type(value).__name__}; a parameter is a single value")
    return value


def _rows(
    cursor: Any,
    database: Database,
    schema: Mapping[str, str] | None,
    context: StepContext,
    *,
    lookup: bool,
) -> Iterator[Table]:
    names = [column[0] for column in cursor.description]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise DatabaseError(f"the statement gives two columns `{repeated}`; name one of them by AS")
    done = 0
    empty: pa.Table | None = None
    for table in _batches(cursor, database, schema, names):
        done += table.num_rows
        empty = table.schema.empty_table()
        yield Table.from_arrow(_numbered(table) if lookup else table)
        context.progress(done)
        if context.cancelled:
            raise DatabaseError("the call was cancelled", transient=True)
    if empty is None:
        raise AssertionError("a statement has at least one batch")


def _batches(
    cursor: Any, database: Database, schema: Mapping[str, str] | None, names: Sequence[str]
) -> Iterator[pa.Table]:
    if database.dialect.arrow:
        reader = cursor.fetch_record_batch()
        wanted = _wanted(reader.schema, schema)
        some = False
        for batch in reader:
            some = True
            yield _as(plain_table(pa.Table.from_batches([batch])), wanted)
        if not some:
            yield wanted.empty_table()
        return
    if schema is None:
        raise DatabaseError(f'{database.name}: name the columns: schema: {{ {names[0]}: "int", … }}')
    fields = [_field(name, schema) for name in names]
    rows = cursor.fetchmany(BATCH_ROWS)
    yield _table(rows, fields)
    while rows := cursor.fetchmany(BATCH_ROWS):
        yield _table(rows, fields)


def _field(name: str, schema: Mapping[str, str]) -> pa.Field:
    if name.lower() == _ROW:
        return pa.field(name, pa.int64())
    if name not in schema:
        raise DatabaseError(f"`schema` does not name the column `{name}`")
    return pa.field(name, parse_type(schema[name])[0])


def _table(rows: Sequence[Sequence[Any]], fields: list[pa.Field]) -> pa.Table:
    arrays = []
    for number, field in enumerate(fields):
        try:
            arrays.append(pa.array([row[number] for row in rows], field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise DatabaseError(f"column `{field.name}` is not {type_name(field.type)}: {error}") from error
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _declared_schema(schema: Mapping[str, str]) -> pa.Schema:
    return pa.schema([pa.field(name, parse_type(text)[0]) for name, text in schema.items()])


def _wanted(found: pa.Schema, schema: Mapping[str, str] | None) -> pa.Schema:
    """The columns as they arrive: plain types, and those that the program declares."""
    fields = []
    for field in plain_schema(found):
        type_ = field.type
        if isinstance(type_, pa.BaseExtensionType):
            type_ = type_.storage_type
        elif pa.types.is_dictionary(type_):
            type_ = type_.value_type
        elif pa.types.is_union(type_):
            type_ = pa.string()
        declared = (schema or {}).get(field.name)
        fields.append(pa.field(field.name, parse_type(declared)[0] if declared is not None else type_))
    return pa.schema(fields)


def _as(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    columns = []
    for column, field in zip(table.columns, wanted, strict=True):
        try:
            columns.append(_cast(column, field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DatabaseError(f"column `{field.name}` is not {type_name(field.type)}: {error}") from error
    return pa.Table.from_arrays(columns, schema=wanted)


def _cast(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    if column.type.equals(type_):
        return column
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if pa.types.is_union(column.type):
        values = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(values, pa.string())]).cast(type_)
    return column.cast(type_)


def _numbered(table: pa.Table) -> pa.Table:
    place = next(n for n, name in enumerate(table.column_names) if name.lower() == _ROW)
    numbers = table.column(place).cast(pa.int64())
    rest = table.remove_column(place)
    return rest.append_column(pa.field(LOOKUP_KEY, pa.int64(), nullable=False), numbers)

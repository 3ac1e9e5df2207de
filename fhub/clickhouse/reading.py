"""`ch.query` and `ch.table`: statements described and run, their rows as Arrow tables.

A statement is described before it runs (once for each connection), so that every column has its exact type:
what needs a cast is cast by the server, in a SELECT around the statement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final

import pyarrow as pa

from fhub.clickhouse.clauses import StatementError, clauses_of, marked, marks, unmarked
from fhub.clickhouse.column_types import Received, identifier, literal, received, received_as
from fhub.clickhouse.connection import Connection, Request
from fhub.clickhouse.errors import NOT_AN_AGGREGATE, UNKNOWN_IDENTIFIER, ClickHouseError
from fhub.clickhouse.external import multipart
from fhub.clickhouse.lookup import ROW, TUPLES, Lookup, column_name, lookup_of
from fhub.clickhouse.parameters import GUESSES, Bound, bound, external, structure
from heddle.core.record import record
from heddle.core.step import StepContext, Transient
from heddle.core.table import Table
from heddle.core.types import RowType, parse_type
from heddle.sdk import LOOKUP_KEY

_WITHOUT_ESTIMATE: Final = frozenset({"GROUP BY", "UNION", "INTERSECT", "EXCEPT", "OFFSET"})


@record(frozen=True, slots=True)
class Described:
    """A statement's columns by name, each with ClickHouse's type and what it arrives as."""

    columns: Mapping[str, tuple[str, Received]]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(
            [pa.field(name, found.arrow, found.nullable) for name, (_, found) in self.columns.items()]
        )


def table_statement(table: str, columns: list[str] | None) -> str:
    """`table` may be qualified; `columns` None means all."""
    listed = ", ".join(identifier(column) for column in columns) if columns is not None else "*"
    return f"SELECT {listed} FROM {table_name(table)}"


def table_name(table: str) -> str:
    database, dot, name = table.partition(".")
    return f"{identifier(database)}.{identifier(name)}" if dot else identifier(table)


def described_columns(
    connection: Connection, statement: str, schema: Mapping[str, str] | None, input: RowType | None = None
) -> pa.Schema:
    """The columns of a statement whose parameters have no values yet."""
    text = marked(statement)
    known = {column.name: column.type for column in input.columns} if input is not None else {}
    casts: dict[str, str] = {}
    for name, type_ in known.items():
        if type_ is not None and name in marks(text):
            casts[name] = f"CAST(NULL, {literal(f'Nullable({_wire(name, type_)})')})"
    failure: ClickHouseError | None = None
    for guess in GUESSES if marks(text) else GUESSES[:1]:
        try:
            found = _describe(connection, unmarked(text, _guessing(casts, guess)), {}, StepContext())
        except ClickHouseError as error:
            failure = failure or error
        else:
            return _declared(found, schema).schema
    assert failure is not None
    raise failure


def read(
    connection: Connection, statement: str, schema: Mapping[str, str] | None, context: StepContext
) -> Iterator[Table]:
    """The rows of a statement."""
    text = marked(statement)
    values = bound({name: value for name, value in context.parameters.items() if name in marks(text)})
    plain = unmarked(text, values.placeholder)
    described = _kept(connection, plain, values, schema, context)
    arguments = dict(values.arguments)
    if any(found.cast for _, found in described.columns.values()):
        clauses = clauses_of(text)
        if "ORDER BY" in clauses.texts:
            # The order of an inner SELECT is otherwise no order.
            arguments["query_plan_remove_redundant_sorting"] = "0"
        plain = f"SELECT {_casts(described)}\nFROM (\n{plain}\n)"
    request = Request(plain, _reading(connection, arguments))
    yield from _rows(connection, request, described, context, row_numbers=False)


def look_up(
    connection: Connection,
    statement: str,
    schema: Mapping[str, str] | None,
    tuples: pa.Table,
    context: StepContext,
) -> Iterator[Table]:
    """The rows of a statement for all tuples of its parameters, with the number of the tuple."""
    text = marked(statement)
    names = tuple(name for name in marks(text) if name in tuples.column_names)
    sent, types = external(tuples.select(list(names)))
    others = {name: value for name, value in context.parameters.items() if name in marks(text)}
    values = bound({name: value for name, value in others.items() if name not in names})
    lookup = lookup_of(text, names)
    plain = lookup.describing(types, values.placeholder)
    try:
        found = _kept(connection, plain, values, None, context)
    except ClickHouseError as error:
        raise _grouped(error, lookup) from error
    added = {column_name(name): name for name in lookup.equal}
    column_types = {added[name]: type_ for name, (type_, _) in found.columns.items() if name in added}
    columns = {name: column for name, column in found.columns.items() if name not in added}
    described = _declared(Described(columns), schema)
    inner = lookup.statement(types, column_types, values.placeholder)
    sql = f"SELECT {_casts(described)}, {ROW} AS {identifier(LOOKUP_KEY)}\nFROM (\n{inner}\n)"
    arguments = _reading(connection, values.arguments)
    arguments |= {f"{TUPLES}_format": "ArrowStream", f"{TUPLES}_structure": structure(types)}
    body, content_type = multipart(sql, TUPLES, sent)
    request = Request(sql, arguments, body, content_type)
    yield from _rows(connection, request, described, context, row_numbers=True)


def estimated_rows(connection: Connection, statement: str) -> int | None:
    """About how many rows the statement gives, with its parameters left out."""
    text = marked(statement)
    try:
        clauses = clauses_of(text)
        if _WITHOUT_ESTIMATE & set(clauses.texts):
            return None
        plain = lookup_of(text, marks(text)).unrestricted(lambda name: "NULL")
        limit = clauses.text("LIMIT")
        answer = connection.text(f"EXPLAIN ESTIMATE {plain}", {"default_format": "JSONCompactEachRow"})
    except (StatementError, ClickHouseError):
        return None
    counts = [int(json.loads(line)[3]) for line in answer.splitlines() if line]
    if not counts:
        return None
    rows = max(counts)
    return min(rows, int(limit)) if limit is not None and limit.isdigit() else rows


def table_rows(connection: Connection, table: str) -> int | None:
    """The number of rows of a table, where its engine knows it."""
    database, dot, name = table.partition(".")
    sql = (
        "SELECT total_rows FROM system.tables WHERE name = {name:String} AND database = "
        + ("{database:String}" if dot else "currentDatabase()")
        + " AND total_rows IS NOT NULL FORMAT TSV"
    )
    values = bound({"name": name, "database": database} if dot else {"name": table})
    with suppress(ClickHouseError):
        answer = connection.text(sql, values.arguments).strip()
        return int(answer) if answer else None
    return None


def _guessing(casts: Mapping[str, str], guess: str) -> Callable[[str], str]:
    return lambda name: casts.get(name, guess)


def _kept(
    connection: Connection,
    plain: str,
    values: Bound,
    schema: Mapping[str, str] | None,
    context: StepContext,
) -> Described:
    """What the server says of a statement; asked once for each connection."""
    key = (plain, tuple(values.types.items()))
    found = connection.described.get(key)
    if found is None:
        found = _describe(connection, plain, values.arguments, context)
        connection.described.put(key, found)
        for name, (_, column) in found.columns.items():
            if column.note:
                context.log.warning("column `%s`: %s", name, column.note)
    assert isinstance(found, Described)
    return _declared(found, schema)


def _describe(
    connection: Connection, plain: str, arguments: Mapping[str, str], context: StepContext
) -> Described:
    answer = connection.text(
        f"DESCRIBE TABLE (\n{plain}\n)", {**arguments, "default_format": "JSONCompactEachRow"}, context
    )
    columns: dict[str, tuple[str, Received]] = {}
    for line in answer.splitlines():
        name, type_ = json.loads(line)[:2]
        if name in columns:
            raise StatementError(f"the statement gives two columns `{name}`; name one of them by AS")
        columns[name] = (type_, received(type_))
    return Described(columns)


def _declared(described: Described, schema: Mapping[str, str] | None) -> Described:
    """With the types that the program declares, where ClickHouse can make them."""
    if schema is None:
        return described
    columns = dict(described.columns)
    for name, text in schema.items():
        if name not in columns:
            continue
        type_, found = columns[name]
        made = received_as(found, parse_type(text)[0])
        if made is None:
            raise StatementError(f"`schema` says `{name}: {text}`, but the column is {type_}")
        columns[name] = (type_, made)
    return Described(columns)


def _casts(described: Described) -> str:
    parts = []
    for name, (_, found) in described.columns.items():
        quoted = identifier(name)
        if not found.cast:
            parts.append(quoted)
            continue
        function = "accurateCast" if found.accurate else "CAST"
        parts.append(f"{function}({quoted}, {literal(found.wire_type)}) AS {quoted}")
    return ", ".join(parts)


def _reading(connection: Connection, arguments: Mapping[str, str]) -> dict[str, str]:
    compression = connection.config.compression
    arrow = {"lz4": "lz4_frame", "zstd": "zstd"}.get(compression, "none")
    found = {
        **arguments,
        "default_format": "ArrowStream",
        "cancel_http_readonly_queries_on_client_close": "1",
        "output_format_arrow_string_as_string": "1",
        "output_format_arrow_low_cardinality_as_dictionary": "0",
        "output_format_arrow_compression_method": arrow,
    }
    if compression == "gzip":
        found["enable_http_compression"] = "1"
    return found


def _rows(
    connection: Connection,
    request: Request,
    described: Described,
    context: StepContext,
    *,
    row_numbers: bool,
) -> Iterator[Table]:
    schema = described.schema
    if row_numbers:
        schema = schema.append(pa.field(LOOKUP_KEY, pa.int64(), nullable=False))
    done = 0
    try:
        with connection.open(request, context) as answer:
            read_rows = answer.count("read_rows")
            if read_rows is not None:
                context.metric("read_rows", read_rows, "rows")
            for item in answer.batches():
                if isinstance(item, pa.Schema):
                    if item.names != schema.names:
                        raise _changed(connection)
                    continue
                done += item.num_rows
                yield Table.from_arrow(pa.Table.from_batches([_converted(item, schema)]))
                context.progress(done)
                if context.cancelled:
                    raise Transient("the call was cancelled")
    except ClickHouseError as error:
        if error.code == UNKNOWN_IDENTIFIER:
            # Describing the statement would have failed before.
            raise _changed(connection) from error
        raise
    if not done:
        yield Table.from_arrow(schema.empty_table())


def _changed(connection: Connection) -> Transient:
    connection.described.clear()
    return Transient("the statement's columns have changed since it was described")


def _converted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [_column(column, field) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(values: pa.Array, field: pa.Field) -> pa.Array:
    try:
        made = values if values.type.equals(field.type) else values.cast(field.type)
        if _holds_text(field.type):
            made.validate(full=True)
    except pa.ArrowInvalid as error:
        raise StatementError(f"column `{field.name}`: {_cure(field, str(error))}") from error
    return made


def _holds_text(type_: pa.DataType) -> bool:
    if pa.types.is_nested(type_):
        return any(_holds_text(type_.field(i).type) for i in range(type_.num_fields))
    return bool(pa.types.is_string(type_))


def _cure(field: pa.Field, reason: str) -> str:
    if "UTF8" in reason or "UTF-8" in reason:
        return f'it holds texts that are no UTF-8; take it as bytes: schema: {{ {field.name}: "binary", … }}'
    if pa.types.is_timestamp(field.type):
        return "it holds nanoseconds, and a timestamp has microseconds; select toDateTime64(…, 6) of it"
    if pa.types.is_integer(field.type):
        return (
            "it holds numbers above 2^63 - 1, which an int cannot; take it as a decimal: "
            f'schema: {{ {field.name}: "decimal(20,0)", … }}'
        )
    return reason


def _grouped(error: ClickHouseError, lookup: Lookup) -> Exception:
    if error.code != NOT_AN_AGGREGATE or lookup.clauses.text("GROUP BY") is not None:
        return error
    return StatementError(
        "an aggregate in a lookup needs GROUP BY, such as that of the column that is compared: a value "
        "without rows then gives no row"
    )


def _wire(name: str, type_: pa.DataType) -> str:
    _, types = external(pa.schema([pa.field(name, type_)]).empty_table())
    return types[name]

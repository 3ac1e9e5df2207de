"""Tables by the names that programs write, as the server's catalog knows them; and reading them in parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from fhub.postgresql.connection import Connection
from fhub.postgresql.describing import Description, described, warn_of
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.reading import Opened, expected, streamed
from fhub.postgresql.session import Session, one_row
from fhub.postgresql.statements import identifier, wrapped
from heddle.sdk import StepContext, Table

PARTITIONS_MAX: Final = 64

_TABLE: Final = """
SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.reltuples::float8 AS rows, a.attname::text AS "column", format_type(a.atttypid, NULL) AS written,
       format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL) AS type_written,
       CASE WHEN coalesce(b.typnamespace, t.typnamespace) = 'pg_catalog'::regnamespace
            THEN coalesce(b.typname, t.typname)::text ELSE '' END AS type,
       coalesce(b.typcategory, t.typcategory)::text AS category,
       a.attnotnull AS required, a.atthasdef OR a.attidentity <> '' AS has_default,
       a.attgenerated <> '' OR a.attidentity = 'a' AS generated
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type AS b ON b.oid = t.typbasetype
WHERE c.oid = to_regclass($1)
ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """`written` is its type as a statement may hold it, and `type` the name of one of PostgreSQL's own; of
    a domain, `type` and `type_written` are those of the type below it. A `generated` one cannot be
    written."""

    name: str
    written: str
    type: str
    type_written: str
    category: str
    required: bool
    has_default: bool
    generated: bool


@dataclass(frozen=True, slots=True)
class CatalogTable:
    """`rows` is about how many there are, None when the server has not counted them."""

    schema: str
    name: str
    kind: str
    rows: int | None
    columns: tuple[TableColumn, ...]

    @property
    def written(self) -> str:
        return f"{identifier(self.schema)}.{identifier(self.name)}"

    def column(self, name: str) -> TableColumn | None:
        return next((column for column in self.columns if column.name == name), None)


def looked_up(session: Session, table: str) -> CatalogTable:
    """The table that the server finds under a name such as `orders`, `sales.orders` or `"Orders"`. Raises
    `PostgresqlError`."""
    if "\0" in table:
        raise PostgresqlError(f"{table!r} is no name: PostgreSQL's names hold no NUL characters")
    rows = session.rows(_TABLE, one_row([pa.array([table])])).to_pylist()
    if not rows:
        raise PostgresqlError(
            f"there is no table `{table}`; check its name and its schema, and that the user may see it; "
            "names with capitals need double quotes"
        )
    first = rows[0]
    columns = tuple(
        TableColumn(
            row["column"],
            row["written"],
            row["type"],
            row["type_written"],
            row["category"],
            row["required"],
            row["has_default"],
            row["generated"],
        )
        for row in rows
    )
    counted = None if first["rows"] < 0 else int(first["rows"])
    return CatalogTable(first["schema"], first["name"], first["kind"], counted, columns)


def select_of(table: CatalogTable, columns: list[str] | None) -> str:
    """The SELECT for these columns of a table. Raises `PostgresqlError`."""
    names = [column.name for column in table.columns] if columns is None else columns
    for name in names:
        if table.column(name) is None:
            known = ", ".join(column.name for column in table.columns)
            raise PostgresqlError(f"the table {table.written} has no column `{name}`; it has {known}")
    return f"SELECT {', '.join(map(identifier, names))} FROM {table.written}"


def table_schema(connection: Connection, name: str, columns: list[str] | None) -> pa.Schema:
    """The columns that reading the table gives; what the table declares NOT NULL is not null."""
    with connection.reading() as session:
        table = looked_up(session, name)
    schema = described(connection, select_of(table, columns)).schema()
    found = {column.name: column for column in table.columns}
    return pa.schema([field.with_nullable(not found[field.name].required) for field in schema])


def read_table(
    connection: Connection,
    name: str,
    columns: list[str] | None,
    partitions: int,
    schema: pa.Schema | None,
    context: StepContext,
) -> Iterator[Table]:
    """The rows of a table. Raises `PostgresqlError`."""
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise PostgresqlError(f"`partitions` is 1 to {PARTITIONS_MAX}, not {partitions}")
    with connection.reading() as session:
        table = looked_up(session, name)
    if columns is None and (wanted := expected(schema, context)) is not None:
        columns = [name for name in wanted.names if table.column(name) is not None] or None
    description = described(connection, select_of(table, columns))
    warn_of(description, connection, context)
    with ExitStack() as stack:
        sessions = [stack.enter_context(connection.reading()) for _ in range(partitions)]
        yield from streamed(_parts(sessions, table, description, stack), description, schema, context)


def _parts(
    sessions: list[Session], table: CatalogTable, description: Description, stack: ExitStack
) -> list[tuple[Session, Opened]]:
    """A range of the table's blocks for each session, all of one snapshot. What has no blocks of its own,
    such as a view, has one part."""
    body = wrapped(description.statement, description.columns)
    if len(sessions) == 1 or table.kind not in "rm":
        return [(sessions[0], lambda _: body)]
    leader, *others = sessions
    leader.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    stack.callback(_ended, sessions)
    told = leader.rows(
        "SELECT pg_export_snapshot() AS snapshot, "
        "pg_relation_size(to_regclass($1)) / current_setting('block_size')::int8 AS blocks",
        one_row([pa.array([table.written])]),
    ).to_pylist()[0]
    for session in others:
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        session.run(f"SET TRANSACTION SNAPSHOT '{told['snapshot']}'")
    step = told["blocks"] // len(sessions) + 1
    parts: list[tuple[Session, Opened]] = []
    for number, session in enumerate(sessions):
        bounds = [f"ctid >= '({number * step},0)'::tid"]
        if number + 1 < len(sessions):
            bounds.append(f"ctid < '({(number + 1) * step},0)'::tid")
        statement = wrapped(f"{description.statement} WHERE {' AND '.join(bounds)}", description.columns)
        parts.append((session, lambda _, statement=statement: statement))  # type: ignore[misc]
    return parts


def _ended(sessions: list[Session]) -> None:
    for session in sessions:
        if not session.broken:
            session.run("COMMIT")

"""The writer of `outbox`: each row becomes an event in a table, for another process to publish.

The events are written in a transaction, so they are there exactly when it was committed: with a `transaction`
that other writers name too, exactly when their rows are there.
"""

from __future__ import annotations

import pyarrow as pa

from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.fitting import Fitted
from fhub.postgresql.parameters import bindable, own_type
from fhub.postgresql.session import Session, one_row
from fhub.postgresql.statements import identifier
from fhub.postgresql.tables import TableColumn, looked_up
from fhub.postgresql.transactions import Transaction
from fhub.postgresql.writing import TransactionWriter
from heddle.sdk import StepContext

# The parts of a name such as `audit.outbox`, as a statement may hold them.
_WRITTEN = """
SELECT string_agg(quote_ident(part), '.' ORDER BY number) AS written
FROM unnest(parse_ident($1)) WITH ORDINALITY AS parts (part, number)
"""
_COLUMNS = """
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key text,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
"""


class Outbox(TransactionWriter):
    """The payload is a JSON object of the row's columns, made by the server."""

    def __init__(
        self,
        transaction: Transaction,
        table: str,
        topic: str,
        key: str | None,
        columns: list[str] | None,
        create: bool,
    ) -> None:
        super().__init__(transaction)
        self._table = table
        self._topic = topic
        self._key = key
        self._columns = columns
        self._create = create
        self._written = ""

    def put(self, session: Session, rows: pa.Table, context: StepContext) -> None:
        if not self._written:
            self._written = self._found(session)
        for name in [*(self._columns or []), *([self._key] if self._key is not None else [])]:
            if name not in rows.column_names:
                raise PostgresqlError(
                    f"the input has no column `{name}`; it has {', '.join(rows.column_names)}"
                )
        stage = self._stage.filled(session, [_fitted(name, rows.column(name)) for name in rows.column_names])
        names = rows.column_names if self._columns is None else self._columns
        listed = ", ".join(f"events.{identifier(name)}" for name in names)
        key = "NULL" if self._key is None else f"events.{identifier(self._key)}::text"
        session.run(
            f"INSERT INTO {self._written} (topic, key, payload) SELECT $1, {key}, "
            f"to_jsonb(payload) FROM {stage} AS events CROSS JOIN LATERAL (SELECT {listed}) AS payload "
            'ORDER BY events."@row"',
            one_row([pa.array([self._topic])]),
        )

    def _found(self, session: Session) -> str:
        if self._create:
            if "\0" in self._table:
                raise PostgresqlError(
                    f"{self._table!r} is no name: PostgreSQL's names hold no NUL characters"
                )
            name = session.rows(_WRITTEN, one_row([pa.array([self._table])])).column(0)[0].as_py()
            session.run(f"CREATE TABLE IF NOT EXISTS {name} ({_COLUMNS})")
        table = looked_up(session, self._table)
        missing = [name for name in ("topic", "key", "payload") if table.column(name) is None]
        if missing:
            raise PostgresqlError(
                f"the table {table.written} is no outbox: it has no column `{missing[0]}`; `create: true` "
                "makes one where there is no such table"
            )
        return table.written


def _fitted(name: str, column: pa.ChunkedArray) -> Fitted:
    """A column of a type of its own; lists are not among them."""
    array = bindable(column.combine_chunks(), name)
    kind = own_type(array.type)
    return Fitted(TableColumn(name, kind, kind, kind, "", False, False, False), pa.chunked_array([array]))

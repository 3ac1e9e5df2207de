"""A database of one test: the resource as steps get it, and a session to look at what is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from fhub.postgresql.connection import Connection
from fhub.postgresql.lookups import look_up
from fhub.postgresql.reading import read
from fhub.postgresql.session import Session
from fhub.postgresql.settings import ConnectionConfig
from heddle.core.config import ConfigValue
from heddle.sdk import StepContext, Table, Writer
from tests.services.postgresql import Postgresql
from tests.services.service import HOST

WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' "
    "AND pid <> pg_backend_pid()"
)
"""Transactions that wait for their client."""


class Database:
    """`resource` and `session` are open while the test runs."""

    def __init__(self, server: Postgresql, resource: Connection, session: Session) -> None:
        self.server = server
        self.resource = resource
        self.session = session

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.session.run(statement)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """As JSON, so that any type can be shown."""
        told = self.session.rows(f"SELECT to_jsonb(found)::text AS row FROM ({statement}) AS found")
        return [json.loads(text) for text in told["row"].to_pylist()]

    def query(self, text: str, **parameters: ConfigValue) -> pa.Table:
        """What `pg.query` gives for workflow parameters."""
        context = StepContext(parameters=parameters)
        return pa.concat_tables(table.to_arrow() for table in read(self.resource, text, None, context))

    def look_up(self, text: str, keys: dict[str, Any], **parameters: ConfigValue) -> list[dict[str, Any]]:
        """What `pg.query` gives for keys, in order of their rows."""
        context = StepContext(parameters=parameters)
        found = look_up(self.resource, text, pa.table(keys), None, context).to_arrow()
        return found.sort_by("@key").to_pylist()


@contextmanager
def opened(server: Postgresql, database: str, **settings: Any) -> Iterator[Database]:
    config = ConnectionConfig(host=HOST, port=server.port, database=database, **settings)
    resource = Connection(config)
    session = resource.opened()
    session.run(
        "SET lock_timeout = '5s'"
    )  # a writer that a failed test left open does not hold the next ones
    try:
        yield Database(server, resource, session)
    finally:
        session.close()
        resource.close()


def write(writer: Writer, *batches: dict[str, Any] | pa.Table) -> None:
    """All batches, and the commit."""
    put(writer, *batches)
    writer.commit()


def put(writer: Writer, *batches: dict[str, Any] | pa.Table) -> None:
    for batch in batches:
        writer.write(
            Table.from_arrow(batch if isinstance(batch, pa.Table) else pa.table(batch)), StepContext()
        )

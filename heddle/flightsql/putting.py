"""What clients put: updates, values for prepared statements, and rows for tables of the scratch schema."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from google.protobuf.message import Message

from heddle.database.errors import QueryError
from heddle.database.model import SCRATCH_SCHEMA, IngestMode, TableName
from heddle.flightsql.calls import Caller
from heddle.flightsql.frames import PutStream
from heddle.flightsql.metadata.sql_info import Offered
from heddle.flightsql.prepared import PreparedStatements, parameter_sets
from heddle.flightsql.queries import Planned, Queries, read_only, transaction_of
from heddle.flightsql.security import AuditEvent, Security
from heddle.flightsql.wire import flight_sql_pb2 as sql

if TYPE_CHECKING:
    from heddle.database.database import Database

_Options = sql.CommandStatementIngest.TableDefinitionOptions
_MODES: Final[dict[tuple[int, int], IngestMode]] = {
    (_Options.TABLE_NOT_EXIST_OPTION_CREATE, _Options.TABLE_EXISTS_OPTION_FAIL): "create",
    (_Options.TABLE_NOT_EXIST_OPTION_CREATE, _Options.TABLE_EXISTS_OPTION_APPEND): "create_append",
    (_Options.TABLE_NOT_EXIST_OPTION_CREATE, _Options.TABLE_EXISTS_OPTION_REPLACE): "replace",
    (_Options.TABLE_NOT_EXIST_OPTION_FAIL, _Options.TABLE_EXISTS_OPTION_APPEND): "append",
}


class Putting:
    def __init__(
        self,
        database: Database,
        security: Security,
        queries: Queries,
        prepared: PreparedStatements,
        offered: Offered,
    ) -> None:
        self._database = database
        self._security = security
        self._queries = queries
        self._prepared = prepared
        self._offered = offered

    def put(self, caller: Caller, command: Message, stream: PutStream) -> Message:
        """Takes the whole stream; what the client is told at its end. Raises `QueryError`, `FrameError`."""
        match command:
            case sql.CommandStatementUpdate():
                _drain(stream)
                return _count(self._queries.updated(caller, self._queries.plan(caller, command)))
            case sql.CommandPreparedStatementUpdate():
                return _count(self._update(caller, command, stream))
            case sql.CommandPreparedStatementQuery():
                return self._bind(caller, command, stream)
            case sql.CommandStatementIngest():
                return _count(self._ingest(caller, command, stream))
            case _:
                name = command.DESCRIPTOR.name
                raise QueryError("invalid", f"nothing can be put with the command `{name}`")

    def _bind(
        self, caller: Caller, command: sql.CommandPreparedStatementQuery, stream: PutStream
    ) -> sql.DoPutPreparedStatementResult:
        prepared = self._prepared.find(command.prepared_statement_handle, caller.viewer)
        prepared.sets = parameter_sets(list(stream.batches), len(prepared.statement.parameters))
        return sql.DoPutPreparedStatementResult(prepared_statement_handle=prepared.handle)

    def _update(self, caller: Caller, command: sql.CommandPreparedStatementUpdate, stream: PutStream) -> int:
        """The rows of the stream are parameters; without any, those that were bound before."""
        plan = self._queries.plan(caller, command)
        sets: Sequence[Sequence[object]] = plan.sets
        batches = list(stream.batches)
        if batches:
            sets = parameter_sets(batches, len(plan.statement.parameters))
        if plan.transaction is not None or len(sets) < 2 or not plan.statement.is_update:
            return self._queries.updated(caller, Planned(plan.statement, plan.transaction, sets))
        transaction = self._database.begin(caller.viewer)
        done = False
        try:
            count = self._queries.updated(caller, Planned(plan.statement, transaction, sets))
            done = True
        finally:
            self._database.end(transaction, caller.viewer, commit=done)
        return count

    def _ingest(self, caller: Caller, command: sql.CommandStatementIngest, stream: PutStream) -> int:
        if self._offered.read_only:
            raise read_only()
        if command.temporary:
            raise QueryError(
                "unsupported",
                "there are no temporary tables",
                help=f"put the rows into a table of the schema `{SCRATCH_SCHEMA}` and drop it afterwards",
            )
        if not command.table or not len(stream.schema):
            raise QueryError("invalid", "rows are put into a table, by its name, and have columns")
        mode = _mode(command.table_definition_options)
        settings = caller.options.settings
        catalog = command.catalog or settings.catalog or self._database.catalog
        target = TableName(catalog, command.schema or settings.schema or SCRATCH_SCHEMA, command.table)
        began_s = time.monotonic()
        outcome, rows = "failed", 0
        gone: list[bool] = []
        caller.on_gone(lambda: gone.append(True))
        try:
            if caller.trace is None:
                rows = self._write(caller, command, stream, target, mode, gone)
            else:
                with caller.trace.ingesting(target) as ingesting:
                    rows = self._write(caller, command, stream, target, mode, gone)
                    ingesting.rows(rows)
            outcome = "ok"
        except QueryError as error:
            outcome = error.kind
            raise
        finally:
            took_s = time.monotonic() - began_s
            event = AuditEvent(
                "ingest", caller.viewer.name, caller.peer, str(target), "", outcome, rows, took_s
            )
            self._security.audit.note(event)
        return rows

    def _write(
        self,
        caller: Caller,
        command: sql.CommandStatementIngest,
        stream: PutStream,
        target: TableName,
        mode: IngestMode,
        gone: Sequence[bool],
    ) -> int:
        with self._security.admission.admit(caller.viewer, lambda: bool(gone)):
            ingest = self._database.ingest(
                target, stream.schema, mode, caller.viewer, transaction_of(command)
            )
            done = False
            try:
                for batch in stream.batches:
                    ingest.write(batch, compact=stream.compact)
                if gone:
                    raise QueryError("cancelled", "the client has gone")
                rows = ingest.commit()
                done = True
            finally:
                if not done:
                    ingest.abort()
        return rows


def _mode(options: sql.CommandStatementIngest.TableDefinitionOptions) -> IngestMode:
    mode = _MODES.get((options.if_not_exist, options.if_exists))
    if mode is None:
        raise QueryError(
            "invalid",
            "the request does not say what happens to the table, or says what cannot be done",
            help="create it, replace it, append to it, or create it where it is not there and append",
        )
    return mode


def _count(rows: int) -> sql.DoPutUpdateResult:
    return sql.DoPutUpdateResult(record_count=rows)


def _drain(stream: PutStream) -> None:
    for _ in stream.batches:
        pass

"""The server without a transport: requests of Flight SQL in, messages and frames out.

A transport makes a `Caller` of each request (`caller`), and turns what is raised into its own statuses:
`QueryError`, `Refused` and `FrameError` are for the client, everything else is a fault of ours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from google.protobuf.message import Message

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.flightsql.actions import Actions, SetHeader
from heddle.flightsql.calls import Caller, OnGone, Transport
from heddle.flightsql.commands import METADATA, unpack
from heddle.flightsql.executions import Executions
from heddle.flightsql.frames import PutStream, parts, plain_frame, schema_frame, schema_message
from heddle.flightsql.metadata.answers import answer, schema_of
from heddle.flightsql.metadata.sql_info import Offered
from heddle.flightsql.options import DEFAULT_OPTIONS
from heddle.flightsql.peers import Peer
from heddle.flightsql.prepared import PreparedStatements
from heddle.flightsql.putting import Putting
from heddle.flightsql.queries import NOT_KNOWN, Queries
from heddle.flightsql.results import Result
from heddle.flightsql.security import AuditEvent, Headers, Refused, Security, bearer
from heddle.flightsql.sessions import Sessions
from heddle.flightsql.system_table import sessions_table
from heddle.flightsql.transactions import OpenTransactions
from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql

if TYPE_CHECKING:
    from heddle.database.database import Database
    from heddle.flightsql.telemetry.spans import RequestTrace

EVICT_S: Final = 5.0
"""How often what has expired is looked for."""


@record(frozen=True, slots=True)
class Held:
    """What clients have open: `size_bytes` are of the rows that executions hold."""

    sessions: int
    prepared: int
    executions: int
    size_bytes: int


class Service:
    """Thread-safe. `close` ends everything; `drain` lets what is under way end before."""

    def __init__(self, database: Database, security: Security, offered: Offered) -> None:
        self._database = database
        self._security = security
        self._offered = offered
        self._sessions = Sessions(time.monotonic)
        database.system.add(sessions_table(self._sessions))
        self._executions = Executions(time.monotonic)
        self._prepared = PreparedStatements(time.monotonic)
        transactions = OpenTransactions()
        self._queries = Queries(database, security, self._executions, self._prepared, transactions, offered)
        self._putting = Putting(database, security, self._queries, self._prepared, offered)
        self._actions = Actions(
            database, self._queries, self._executions, self._prepared, self._sessions, transactions, offered
        )
        self._puts = 0
        self._changed = threading.Condition()
        self._ending = False
        self._closed = threading.Event()
        self._watching: threading.Thread | None = None

    def watch(self, connected: Callable[[], frozenset[Peer] | None]) -> None:
        """Look now and then for what has expired, until it is closed. `connected` gives the clients that have
        a connection, None where that is not known."""
        self._watching = threading.Thread(
            target=self._evict, args=(connected,), name="flightsql-watch", daemon=True
        )
        self._watching.start()

    # Who calls.

    def handshake(self, header: str | None, certificate: bytes | None, peer: str) -> str:
        """The token of a login. Raises `Refused`."""
        audit = self._security.audit
        try:
            token = self._security.authenticator.handshake(header, certificate, peer)
            viewer = self._security.authenticator.authenticate(bearer(token), certificate, peer)
        except Refused as error:
            audit.note(AuditEvent("refused", error.claimed, peer, outcome=error.kind))
            raise
        audit.note(AuditEvent("login", viewer.name, peer))
        if not header or not header.endswith(token):
            self._sessions.log_in(token)
        return token

    def caller(
        self,
        headers: Headers,
        certificate: bytes | None,
        peer: str,
        on_gone: OnGone,
        trace: RequestTrace | None = None,
        transport: Transport = "grpc",
    ) -> Caller:
        """Raises `Refused`."""
        try:
            viewer = self._security.authenticator.authenticate(headers, certificate, peer)
        except Refused as error:
            self._security.audit.note(AuditEvent("refused", error.claimed, peer, outcome=error.kind))
            raise
        connection = self._sessions.connection(headers, peer, transport)
        session = self._sessions.find(connection, viewer.name)
        options = session.options if session is not None else DEFAULT_OPTIONS
        return Caller(viewer, peer, connection, session, options, on_gone, trace, transport)

    # What is asked.

    def info(self, caller: Caller, descriptor: flight.FlightDescriptor) -> flight.FlightInfo:
        command = self._command(descriptor)
        if isinstance(command, METADATA):
            return _metadata_info(descriptor, command)
        self._require_open()
        return self._queries.info(caller, descriptor, command)

    def poll(self, caller: Caller, descriptor: flight.FlightDescriptor) -> flight.PollInfo:
        command = self._command(descriptor)
        if isinstance(command, METADATA):
            return flight.PollInfo(info=_metadata_info(descriptor, command), progress=1.0)
        if not isinstance(command, sql.TicketStatementQuery):
            self._require_open()
        return self._queries.poll(caller, descriptor, command)

    def schema(self, caller: Caller, descriptor: flight.FlightDescriptor) -> bytes:
        command = self._command(descriptor)
        if isinstance(command, METADATA):
            return schema_message(schema_of(command))
        return self._queries.schema(caller, command)

    def frames(self, caller: Caller, ticket: bytes) -> Iterator[bytes]:
        command = unpack(ticket)
        if isinstance(command, METADATA):
            return _table_frames(answer(command, self._database, caller.viewer, self._offered))
        return self._queries.read(caller, _statement_ticket(command), Result.frames)

    def batches(self, caller: Caller, ticket: bytes) -> Iterator[pa.Schema | pa.RecordBatch]:
        """The schema, then the rows, for a transport that makes its own messages of them."""
        command = unpack(ticket)
        if isinstance(command, METADATA):
            return _table_batches(answer(command, self._database, caller.viewer, self._offered))
        return self._queries.read(caller, _statement_ticket(command), Result.batches)

    def put(self, caller: Caller, stream: PutStream) -> bytes:
        """Metadata of the answer, when all has been put."""
        self._require_open()
        with self._changed:
            self._puts += 1
        try:
            return self._putting.put(caller, unpack(stream.descriptor_cmd), stream).SerializeToString()
        finally:
            with self._changed:
                self._puts -= 1

    def act(self, caller: Caller, kind: str, body: bytes, set_header: SetHeader) -> bytes | None:
        if kind in {"CreatePreparedStatement", "CreatePreparedSubstraitPlan", "BeginTransaction"}:
            self._require_open()
        return self._actions.do(caller, kind, body, set_header)

    # How it stands.

    def held(self) -> Held:
        executions, size_bytes = self._executions.held()
        return Held(len(self._sessions), len(self._prepared), executions, size_bytes)

    @property
    def takes_statements(self) -> bool:
        return not self._ending

    # How it ends.

    @property
    def under_way(self) -> int:
        return self._executions.under_way + self._puts

    def drain(self) -> None:
        """From here on nothing begins; what is under way may end, and tickets can be redeemed."""
        self._ending = True

    def close(self) -> None:
        """More than once does no harm."""
        if self._closed.is_set():
            return
        self._ending = True
        self._closed.set()
        self._executions.close()
        self._security.audit.close()
        if self._watching is not None:
            self._watching.join()

    def _require_open(self) -> None:
        if self._ending:
            raise QueryError("unavailable", "the server is ending", help="connect to another, or try later")

    def _command(self, descriptor: flight.FlightDescriptor) -> Message:
        if descriptor.type != flight.FlightDescriptor.CMD:
            raise QueryError("invalid", "the descriptor has no command", help="ask with Flight SQL")
        return unpack(descriptor.cmd)

    def _evict(self, connected: Callable[[], frozenset[Peer] | None]) -> None:
        while not self._closed.wait(EVICT_S):
            self._executions.evict()
            self._prepared.evict_idle()
            self._sessions.evict_idle()
            peers = connected() if len(self._sessions) else None
            if peers is not None:
                self._sessions.forget_connections(peers)


def _metadata_info(descriptor: flight.FlightDescriptor, command: Message) -> flight.FlightInfo:
    """The ticket is the command: nothing is kept for it."""
    info = flight.FlightInfo(
        schema=schema_message(schema_of(command)),
        flight_descriptor=descriptor,
        total_records=NOT_KNOWN,
        total_bytes=NOT_KNOWN,
        ordered=True,
    )
    info.endpoint.add().ticket.ticket = descriptor.cmd
    return info


def _statement_ticket(command: Message) -> sql.TicketStatementQuery:
    if not isinstance(command, sql.TicketStatementQuery):
        raise QueryError("invalid", "the ticket is none that this server gave")
    return command


def _table_frames(table: pa.Table) -> Iterator[bytes]:
    yield schema_frame(table.schema)
    yield from map(plain_frame, _table_parts(table))


def _table_batches(table: pa.Table) -> Iterator[pa.Schema | pa.RecordBatch]:
    yield table.schema
    yield from _table_parts(table)


def _table_parts(table: pa.Table) -> Iterator[pa.RecordBatch]:
    for batch in table.combine_chunks().to_batches():
        yield from parts(batch)

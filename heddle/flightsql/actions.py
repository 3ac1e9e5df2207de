"""Actions: prepared statements, transactions, cancellation and sessions.

Bodies of SQL's actions and their results travel in google.protobuf.Any, those of Flight's own as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from google.protobuf.message import Message

from heddle.database.errors import QueryError
from heddle.flightsql.calls import Caller
from heddle.flightsql.columns import plain_columns
from heddle.flightsql.commands import pack, parse, unpack
from heddle.flightsql.executions import TICKET_S, Execution, Executions
from heddle.flightsql.metadata.answers import places
from heddle.flightsql.metadata.sql_info import Offered
from heddle.flightsql.options import changed, shown
from heddle.flightsql.prepared import PreparedStatements
from heddle.flightsql.queries import Queries, read_only, transaction_of
from heddle.flightsql.sessions import Sessions, end_cookie, set_cookie
from heddle.flightsql.transactions import OpenTransactions
from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql

if TYPE_CHECKING:
    from heddle.database.database import Database

SetHeader: TypeAlias = Callable[[str, str], None]
"""Sends a header with the answer."""

ACTIONS: Final[Mapping[str, str]] = {
    "CreatePreparedStatement": "Prepares a statement. ActionCreatePreparedStatementRequest",
    "CreatePreparedSubstraitPlan": "Prepares a Substrait plan. ActionCreatePreparedSubstraitPlanRequest",
    "ClosePreparedStatement": "Closes a prepared statement. ActionClosePreparedStatementRequest",
    "BeginTransaction": "Begins a transaction. ActionBeginTransactionRequest",
    "EndTransaction": "Commits or rolls back a transaction. ActionEndTransactionRequest",
    "CancelQuery": "Cancels a statement. ActionCancelQueryRequest",
    "CancelFlightInfo": "Cancels a statement. CancelFlightInfoRequest",
    "RenewFlightEndpoint": "Lets a ticket live longer. RenewFlightEndpointRequest",
    "SetSessionOptions": "Sets options of the session. SetSessionOptionsRequest",
    "GetSessionOptions": "Gives the options of the session. GetSessionOptionsRequest",
    "CloseSession": "Ends the session. CloseSessionRequest",
}
"""What each does, and the message of its body."""


class Actions:
    def __init__(
        self,
        database: Database,
        queries: Queries,
        executions: Executions,
        prepared: PreparedStatements,
        sessions: Sessions,
        transactions: OpenTransactions,
        offered: Offered,
    ) -> None:
        self._database = database
        self._queries = queries
        self._executions = executions
        self._prepared = prepared
        self._sessions = sessions
        self._offered = offered
        self._transactions = transactions

    def do(self, caller: Caller, kind: str, body: bytes, set_header: SetHeader) -> bytes | None:
        """The body of the result; None when there is none. Raises `QueryError`."""
        match kind:
            case "CancelFlightInfo":
                cancel = parse(flight.CancelFlightInfoRequest, body, "the request")
                return self._cancel_info(caller, cancel.info).SerializeToString()
            case "RenewFlightEndpoint":
                renew = parse(flight.RenewFlightEndpointRequest, body, "the request")
                return self._renew(caller, renew.endpoint).SerializeToString()
            case "SetSessionOptions":
                options = parse(flight.SetSessionOptionsRequest, body, "the request")
                return self._set_options(caller, options, set_header).SerializeToString()
            case "GetSessionOptions":
                parse(flight.GetSessionOptionsRequest, body, "the request")
                values = shown(caller.options, self._database.catalog)
                return flight.GetSessionOptionsResult(session_options=values).SerializeToString()
            case "CloseSession":
                parse(flight.CloseSessionRequest, body, "the request")
                return self._close_session(caller, set_header).SerializeToString()
            case _ if kind in ACTIONS:
                result = self._do_sql(caller, kind, unpack(body))
                return pack(result) if result is not None else None
            case _:
                raise QueryError("unsupported", f"there is no action `{kind[:80]}`")

    def _do_sql(self, caller: Caller, kind: str, request: Message) -> Message | None:
        match kind, request:
            case "CreatePreparedStatement", sql.ActionCreatePreparedStatementRequest():
                return self._prepare(caller, request.query, transaction_of(request))
            case "CreatePreparedSubstraitPlan", sql.ActionCreatePreparedSubstraitPlanRequest():
                text = self._queries.substrait_text(caller, request.plan)
                return self._prepare(caller.in_sql, text, transaction_of(request))
            case "ClosePreparedStatement", sql.ActionClosePreparedStatementRequest():
                self._prepared.close(request.prepared_statement_handle, caller.viewer)
                return None
            case "BeginTransaction", sql.ActionBeginTransactionRequest():
                return self._begin(caller)
            case "EndTransaction", sql.ActionEndTransactionRequest():
                self._end(caller, request)
                return None
            case "CancelQuery", sql.ActionCancelQueryRequest():
                info = parse(flight.FlightInfo, request.info, "the information on the flight")
                cancelled = self._cancel_info(caller, info)
                return sql.ActionCancelQueryResult(result=cancelled.status)  # type: ignore[arg-type]
            case _:
                name = request.DESCRIPTOR.name
                raise QueryError("invalid", f"`{name}` is not the body of the action `{kind}`")

    def _prepare(
        self, caller: Caller, text: str, transaction: str | None
    ) -> sql.ActionCreatePreparedStatementResult:
        statement = self._queries.prepare(caller, text, transaction)
        prepared = self._prepared.add(caller.viewer, caller.connection.id, statement, transaction)
        has_rows = not statement.is_update
        return sql.ActionCreatePreparedStatementResult(
            prepared_statement_handle=prepared.handle,
            dataset_schema=plain_columns(statement.schema).message if has_rows else b"",
            parameter_schema=plain_columns(statement.parameters).message,
            is_update=statement.is_update,
        )

    def _begin(self, caller: Caller) -> sql.ActionBeginTransactionResult:
        if self._offered.read_only:
            raise read_only()
        transaction = self._database.begin(caller.viewer)
        self._transactions.add(transaction, caller.connection.id)
        return sql.ActionBeginTransactionResult(transaction_id=transaction.encode())

    def _end(self, caller: Caller, request: sql.ActionEndTransactionRequest) -> None:
        transaction = transaction_of(request)
        ways = sql.ActionEndTransactionRequest
        if transaction is None:
            raise QueryError("invalid", "the request names no transaction")
        if request.action == ways.END_TRANSACTION_UNSPECIFIED:
            raise QueryError("invalid", "a transaction ends with a commit or a rollback")
        commit = request.action == ways.END_TRANSACTION_COMMIT
        self._database.end(transaction, caller.viewer, commit=commit)
        self._transactions.remove(transaction)

    def _cancel_info(self, caller: Caller, info: flight.FlightInfo) -> flight.CancelFlightInfoResult:
        """Of a statement with several endpoints each names it."""
        execution = self._execution_of(caller, [endpoint.ticket for endpoint in info.endpoint])
        cancelled = self._executions.cancel(execution)
        status = flight.CANCEL_STATUS_CANCELLED if cancelled else flight.CANCEL_STATUS_NOT_CANCELLABLE
        return flight.CancelFlightInfoResult(status=status)

    def _renew(self, caller: Caller, endpoint: flight.FlightEndpoint) -> flight.FlightEndpoint:
        self._execution_of(caller, [endpoint.ticket])
        endpoint.expiration_time.FromSeconds(int(time.time() + TICKET_S))
        return endpoint

    def _execution_of(self, caller: Caller, tickets: list[flight.Ticket]) -> Execution:
        if not tickets:
            raise QueryError("invalid", "the information on the flight has no endpoint")
        ticket = unpack(tickets[0].ticket)
        if not isinstance(ticket, sql.TicketStatementQuery):
            raise QueryError("invalid", "the ticket is none of a statement")
        return self._queries.find(caller, ticket)

    def _set_options(
        self, caller: Caller, request: flight.SetSessionOptionsRequest, set_header: SetHeader
    ) -> flight.SetSessionOptionsResult:
        known = places(self._database, self._database.tables(caller.viewer), self._offered)
        session = self._sessions.open(caller.connection, caller.viewer.name)
        session.options, errors = changed(session.options, request.session_options, known)
        set_header("set-cookie", set_cookie(session))
        result = flight.SetSessionOptionsResult()
        for name, value in errors.items():
            result.errors[name].value = value
        return result

    def _close_session(self, caller: Caller, set_header: SetHeader) -> flight.CloseSessionResult:
        """Ends what the client began: statements under way, prepared ones, transactions."""
        connections = {caller.connection.id}
        if caller.session is not None:
            connections.add(caller.session.connection)
            self._sessions.close(caller.session)
            set_header("set-cookie", end_cookie())
        for connection in connections:
            self._executions.cancel_all(connection)
            self._prepared.close_all(connection)
        for transaction in self._transactions.remove_all(connections):
            self._roll_back(caller, transaction)
        return flight.CloseSessionResult(status=flight.CloseSessionResult.CLOSED)

    def _roll_back(self, caller: Caller, transaction: str) -> None:
        try:
            self._database.end(transaction, caller.viewer, commit=False)
        except QueryError as error:
            if error.kind != "not_found":  # it has timed out
                raise

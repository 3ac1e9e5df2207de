"""Statements, prepared or not, from a client's command to an execution with a ticket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from google.protobuf.message import Message

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.model import Viewer
from heddle.flightsql import substrait
from heddle.flightsql.calls import Caller
from heddle.flightsql.columns import plain_columns
from heddle.flightsql.commands import pack
from heddle.flightsql.executions import HANDLE_BYTES, TICKET_S, Execution, Executions
from heddle.flightsql.metadata.sql_info import Offered
from heddle.flightsql.prepared import PreparedStatements
from heddle.flightsql.results import Result
from heddle.flightsql.security import AuditEvent, Security
from heddle.flightsql.sessions import session_name
from heddle.flightsql.transactions import OpenTransactions
from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql

if TYPE_CHECKING:
    from heddle.database.answers import Answer
    from heddle.database.database import Database
    from heddle.database.statement import Statement

WAIT_S: Final = 0.1
"""How long the information on a flight waits for a small answer to be there as a whole."""
POLL_S: Final = 2.0
NOT_KNOWN: Final = -1

T = TypeVar("T")


@record(frozen=True, slots=True)
class Planned:
    """A statement with what it is to be run with: one execution for each of `sets`."""

    statement: Statement
    transaction: str | None
    sets: Sequence[Sequence[object]] = ((),)


class Queries:
    def __init__(
        self,
        database: Database,
        security: Security,
        executions: Executions,
        prepared: PreparedStatements,
        transactions: OpenTransactions,
        offered: Offered,
    ) -> None:
        self._database = database
        self._security = security
        self._executions = executions
        self._prepared = prepared
        self._transactions = transactions
        self._offered = offered

    def plan(self, caller: Caller, command: Message) -> Planned:
        """Raises `QueryError`."""
        match command:
            case sql.CommandStatementQuery() | sql.CommandStatementUpdate():
                transaction = transaction_of(command)
                return Planned(self.prepare(caller, command.query, transaction), transaction)
            case sql.CommandStatementSubstraitPlan():
                text = self.substrait_text(caller, command.plan)
                transaction = transaction_of(command)
                return Planned(self.prepare(caller.in_sql, text, transaction), transaction)
            case sql.CommandPreparedStatementQuery() | sql.CommandPreparedStatementUpdate():
                prepared = self._prepared.find(command.prepared_statement_handle, caller.viewer)
                transaction = self._transactions.current(prepared.transaction, prepared.session)
                sets = prepared.sets
                return Planned(prepared.statement, transaction, ((),) if sets is None else sets)
            case _:
                name = command.DESCRIPTOR.name
                raise QueryError("invalid", f"the command `{name}` is no statement that gives rows")

    def prepare(self, caller: Caller, text: str, transaction: str | None) -> Statement:
        """Raises `QueryError`."""
        if caller.trace is None:
            return self._prepare(caller, text, transaction)
        with caller.trace.preparing(text):
            return self._prepare(caller, text, transaction)

    def _prepare(self, caller: Caller, text: str, transaction: str | None) -> Statement:
        settings = self._security.admission.limited(caller.viewer, caller.options.settings)
        settings = replace(settings, options={"session": session_name(caller.connection.id)})
        try:
            statement = self._database.prepare(text, caller.viewer, settings, transaction)
            if statement.writes and self._offered.read_only:
                raise read_only()
            return statement
        except QueryError as error:
            event = AuditEvent("query", caller.viewer.name, caller.peer, text, outcome=error.kind)
            self._security.audit.note(event)
            raise

    def substrait_text(self, caller: Caller, plan: sql.SubstraitPlan) -> str:
        return substrait.statement_of(plan.plan, self._database.tables(caller.viewer))

    def start(self, caller: Caller, plan: Planned) -> Execution:
        """It belongs to the caller. Raises `QueryError`."""
        depends = len(plan.statement.parameters) > 0
        columns = None if depends else plain_columns(plan.statement.schema)
        # The caller is not held: it leads to the request, which an answer outlives.
        viewer, peer, encoding, request = caller.viewer, caller.peer, caller.encoding, caller.trace

        def answers() -> Iterator[Answer]:
            for values in plan.sets:
                yield plan.statement.run(values, transaction=plan.transaction)

        def admitted(is_cancelled: Callable[[], bool]) -> AbstractContextManager[None]:
            return self._security.admission.admit(viewer, is_cancelled)

        def make() -> Result:
            began_s = time.monotonic()

            def ended(result: Result) -> None:
                self._ended(viewer, peer, plan.statement, result, time.monotonic() - began_s)

            if request is None:
                return Result(answers, columns, encoding, admitted, ended)
            trace = request.execution(plan.statement)
            return Result(
                trace.answers(answers), columns, encoding, trace.admitted(admitted), trace.ended(ended)
            )

        quick = plan.statement.is_constant and len(plan.sets) == 1
        return self._executions.start(
            viewer,
            caller.connection.id,
            make,
            is_update=plan.statement.is_update,
            once=plan.transaction is not None,
            endpoints=caller.options.endpoints,
            at_once=quick and self._security.admission.is_free(viewer),
        )

    def _ended(self, viewer: Viewer, peer: str, statement: Statement, result: Result, took_s: float) -> None:
        event = AuditEvent(
            "update" if statement.is_update else "query",
            viewer.name,
            peer,
            statement.text,
            result.query_id,
            result.error.kind if result.error is not None else "ok",
            result.rows_updated if statement.is_update else result.rows,
            took_s,
            tuple(map(str, statement.tables)),
        )
        self._security.audit.note(event)

    def updated(self, caller: Caller, plan: Planned) -> int:
        """Runs an update, or another statement whose rows nobody wants; the number of rows it changed."""
        execution = self.start(caller, plan)
        caller.on_gone(lambda: self._stop(execution))
        try:
            if not plan.statement.is_update:
                for _ in execution.result.frames():
                    pass
            execution.result.wait_end()
        finally:
            self._executions.cancel(execution)
        return execution.result.rows_updated if plan.statement.is_update else NOT_KNOWN

    def info(
        self, caller: Caller, descriptor: flight.FlightDescriptor, command: Message
    ) -> flight.FlightInfo:
        """An update runs here, once: clients that only ask for its information never fetch anything."""
        plan = self.plan(caller, command)
        execution = self.start(caller, plan)
        result = execution.result
        waiting = True
        if not caller.on_gone(lambda: self._stop(execution) if waiting else None):
            self._stop(execution)
        try:
            if plan.statement.is_update:
                result.wait_end()
            else:
                result.wait_columns()
                result.wait(WAIT_S)
        except QueryError:
            self._executions.cancel(execution)
            raise
        finally:
            waiting = False
        return self._info(descriptor, execution)

    def poll(self, caller: Caller, descriptor: flight.FlightDescriptor, command: Message) -> flight.PollInfo:
        """Starts a statement, or looks how far one is that was started so."""
        if isinstance(command, sql.TicketStatementQuery):
            execution = self.find(caller, command)
        else:
            execution = self.start(caller, self.plan(caller, command))
            caller.on_gone(lambda: self._stop(execution) if waiting else None)
        result = execution.result
        waiting = True
        try:
            ready = result.wait(POLL_S)
        except QueryError:
            self._executions.cancel(execution)
            raise
        finally:
            waiting = False
        expires = int(time.time() + TICKET_S)
        info = self._info(descriptor, execution)
        if ready:
            poll = flight.PollInfo(info=info, progress=1.0)
        else:
            del info.endpoint[:]
            ticket = pack(sql.TicketStatementQuery(statement_handle=execution.handle))
            again = flight.FlightDescriptor(type=flight.FlightDescriptor.CMD, cmd=ticket)
            poll = flight.PollInfo(info=info, flight_descriptor=again)
        poll.expiration_time.FromSeconds(expires)
        return poll

    def find(self, caller: Caller, ticket: sql.TicketStatementQuery) -> Execution:
        """Raises `QueryError`."""
        return self._executions.find(ticket.statement_handle[:HANDLE_BYTES], caller.viewer)

    def read(
        self,
        caller: Caller,
        ticket: sql.TicketStatementQuery,
        read: Callable[[Result, bool], Iterator[T]],
    ) -> Iterator[T]:
        execution = self.find(caller, ticket)
        endpoint = ticket.statement_handle[HANDLE_BYTES:]
        number = endpoint[0] if endpoint else 0
        if number >= execution.endpoints:
            raise QueryError("not_found", "the ticket is not known")
        if caller.trace is not None:
            caller.trace.reads(execution.result)
        return self._executions.read(execution, number, caller.on_gone, read)

    def schema(self, caller: Caller, command: Message) -> bytes:
        """The message of the rows' schema that a statement would give."""
        return plain_columns(self.plan(caller, command).statement.schema).message

    def _info(self, descriptor: flight.FlightDescriptor, execution: Execution) -> flight.FlightInfo:
        result = execution.result
        whole = result.is_small
        endpoints = self._executions.divided(execution)
        rows = result.rows_updated if execution.is_update else result.rows
        info = flight.FlightInfo(
            schema=result.columns.message if result.columns is not None else b"",
            flight_descriptor=descriptor,
            total_records=rows if whole else NOT_KNOWN,
            total_bytes=result.size_bytes if whole else NOT_KNOWN,
            ordered=endpoints == 1,
        )
        for number in range(endpoints):
            handle = execution.handle + (bytes((number,)) if number else b"")
            endpoint = info.endpoint.add()
            endpoint.ticket.ticket = pack(sql.TicketStatementQuery(statement_handle=handle))
            if execution.repeatable:
                endpoint.expiration_time.FromSeconds(int(time.time() + TICKET_S))
        return info

    def _stop(self, execution: Execution) -> None:
        if not execution.result.finished:
            self._executions.cancel(execution)


def read_only() -> QueryError:
    return QueryError("denied", "this server is read-only", help="it was started with --read-only")


def transaction_of(
    command: sql.CommandStatementQuery
    | sql.CommandStatementUpdate
    | sql.CommandStatementSubstraitPlan
    | sql.CommandStatementIngest
    | sql.ActionCreatePreparedStatementRequest
    | sql.ActionCreatePreparedSubstraitPlanRequest
    | sql.ActionEndTransactionRequest,
) -> str | None:
    """None outside of transactions. Raises `QueryError`."""
    if not command.transaction_id:
        return None
    try:
        return command.transaction_id.decode("ascii")
    except UnicodeDecodeError:
        raise QueryError("not_found", "the transaction is not known, or has ended") from None

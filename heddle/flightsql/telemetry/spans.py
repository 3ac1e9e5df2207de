"""The spans of one request, and of the statements that it starts.

A request's span is open as long as the request. Those below it are made when they are over, with the times
that were noted on the way: a statement may outlive its request, and what nobody samples costs nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.stages import StageRun, StageRuns
from heddle.flightsql.access_log import Access

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from heddle.database.answers import Answer
    from heddle.database.model import TableName
    from heddle.database.statement import Statement
    from heddle.flightsql.results import Result

Attributes: TypeAlias = Mapping[str, str | int | float]
Answers: TypeAlias = Callable[[], Iterator["Answer"]]
Admitted: TypeAlias = Callable[[Callable[[], bool]], AbstractContextManager[None]]
Ended: TypeAlias = Callable[["Result"], None]
Interval: TypeAlias = tuple[int, int]
"""Begin and end, in nanoseconds since 1970."""

SYSTEM: Final = "heddle"
INTERVALS_MAX: Final = 50
"""Of one kind for one statement; further ones have no spans."""
TEXT_CHARS_MAX: Final = 4_000
NAME_CHARS_MAX: Final = 200
SERVER_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""The codes of gRPC that are errors of a server's span, as the conventions for RPC say."""
OPERATIONS: Final = frozenset(
    {"SELECT", "WITH", "VALUES", "FROM", "TABLE", "EXPLAIN", "SHOW", "DESCRIBE"}
    | {"INSERT", "UPDATE", "DELETE", "TRUNCATE", "CREATE", "DROP", "ALTER", "REFRESH", "KILL"}
)
_FIRST_WORD: Final = re.compile(r"(?>\s|\(|--[^\n]*\n|/\*.*?\*/)*+([a-z]+)", re.IGNORECASE | re.DOTALL)
"""Comments and parentheses are passed once, without ever trying another end for them."""


@record(frozen=True, slots=True)
class Maker:
    """What spans are made with. `text` gives a statement as it may be shown, None where it may not."""

    tracer: Tracer
    catalog: str
    text: Callable[[str], str | None]

    def past(self, name: str, parent: Context, began_ns: int, attributes: Attributes) -> Span:
        """A span that began then; whoever takes it ends it."""
        return self.tracer.start_span(name, parent, attributes=attributes, start_time=began_ns)

    def statement(self, text: str) -> dict[str, str | int | float]:
        attributes: dict[str, str | int | float] = {
            "db.system.name": SYSTEM,
            "db.namespace": self.catalog,
            "db.operation.name": operation_of(text),
        }
        if (shown := self.text(text)) is not None:
            attributes["db.query.text"] = shown[:TEXT_CHARS_MAX]
        return attributes


class RequestTrace:
    """One request's span, and what is made below it."""

    def __init__(self, maker: Maker, span: Span) -> None:
        self._maker = maker
        self._span = span
        self._context = set_span_in_context(span)
        self._result: Result | None = None
        self.query_id = ""
        """Of the last statement that began to run for it."""

    @contextmanager
    def preparing(self, text: str) -> Iterator[None]:
        with self._over("prepare", self._maker.statement(text)):
            yield

    @contextmanager
    def ingesting(self, table: TableName) -> Iterator[Ingesting]:
        """The table is named by the client, who may name anything."""
        name = f"{table.schema}.{table.name}"[:NAME_CHARS_MAX]
        attributes = {
            "db.system.name": SYSTEM,
            "db.namespace": table.catalog[:NAME_CHARS_MAX],
            "db.operation.name": "INGEST",
            "db.collection.name": name,
        }
        with self._over(f"INGEST {name}", attributes) as span:
            yield Ingesting(span)

    def execution(self, statement: Statement) -> ExecutionTrace:
        return ExecutionTrace(self, self._maker, self._context, statement)

    def reads(self, result: Result) -> None:
        """The request asks for the rows of this result."""
        self._result = result

    def end(self, access: Access) -> None:
        span = self._span
        if access.what:
            span.set_attribute("heddle.command", access.what)
        query_id = self._result.query_id if self._result is not None else self.query_id
        if query_id:
            span.set_attribute("heddle.query_id", query_id)
        if access.size_bytes:
            span.set_attribute("heddle.sent_bytes", access.size_bytes)
        if access.received_bytes:
            span.set_attribute("heddle.received_bytes", access.received_bytes)
        span.set_attribute("rpc.response.status_code", access.code)
        if access.code in SERVER_FAULTS:
            span.set_attribute("error.type", access.code)
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    @contextmanager
    def _over(self, name: str, attributes: Attributes) -> Iterator[Span]:
        """A span around what is done inside."""
        span = self._maker.tracer.start_span(name, self._context, attributes=attributes)
        failed: str | None = "failed"
        try:
            yield span
            failed = None
        except QueryError as error:
            failed = error.kind
            raise
        finally:
            if failed is not None:
                _fail(span, failed)
            span.end()


@record(frozen=True, slots=True)
class Ingesting:
    span: Span

    def rows(self, count: int) -> None:
        self.span.set_attribute("heddle.rows", count)


class ExecutionTrace:
    """What one result's run is noted with: each method gives its argument, watched."""

    def __init__(self, request: RequestTrace, maker: Maker, parent: Context, statement: Statement) -> None:
        self._request = request
        self._maker = maker
        self._parent = parent
        self._statement = statement
        self._began_ns = time.time_ns()
        self._waits: list[Interval] = []
        self._plans: list[Interval] = []
        self._stages = StageRuns()

    def answers(self, given: Answers) -> Answers:
        def answers() -> Iterator[Answer]:
            coming = given()
            while True:
                began_ns = time.time_ns()
                answer = next(coming, None)
                if answer is None:
                    return
                _note(self._plans, began_ns)
                self._request.query_id = answer.query_id
                answer.heard_by(self._stages)
                yield answer

        return answers

    def admitted(self, given: Admitted) -> Admitted:
        @contextmanager
        def admitted(is_cancelled: Callable[[], bool]) -> Iterator[None]:
            with ExitStack() as place:
                began_ns = time.time_ns()
                try:
                    place.enter_context(given(is_cancelled))
                finally:
                    _note(self._waits, began_ns)
                yield

        return admitted

    def ended(self, given: Ended) -> Ended:
        def ended(result: Result) -> None:
            given(result)
            self._end(result)

        return ended

    def _end(self, result: Result) -> None:
        statement = self._statement
        ended_ns = time.time_ns()
        attributes = self._maker.statement(statement.text)
        name = str(attributes["db.operation.name"])
        if len(statement.tables) == 1:
            table = statement.tables[0]
            attributes["db.collection.name"] = f"{table.schema}.{table.name}"
            name += f" {table.schema}.{table.name}"
        if result.query_id:
            attributes["heddle.query_id"] = result.query_id
        if statement.is_update:
            attributes["heddle.rows"] = result.rows_updated
        else:
            attributes["db.response.returned_rows"] = result.rows
            attributes["heddle.size_bytes"] = result.size_bytes
        span = self._maker.past(name, self._parent, self._began_ns, attributes)
        within = set_span_in_context(span)
        for began_ns, over_ns in self._waits:
            self._maker.past("admission", within, began_ns, {}).end(over_ns)
        for began_ns, over_ns in () if statement.is_update else self._plans:
            self._maker.past("plan", within, began_ns, {}).end(over_ns)
        for stage in self._stages:
            self._stage(stage, within)
        if result.error is not None:
            _fail(span, result.error.kind)
        span.end(ended_ns)

    def _stage(self, stage: StageRun, parent: Context) -> None:
        began_ns = stage.ended_ns - int(stage.duration_s * 1e9)
        attributes: dict[str, str | int | float] = {
            "heddle.stage": stage.path,
            "heddle.rows": stage.rows,
            "heddle.size_bytes": stage.size_bytes,
            "heddle.cpu_seconds": stage.cpu_s,
        }
        if stage.taken is not None:
            attributes["heddle.taken"] = stage.taken
        span = self._maker.past(stage.label, parent, began_ns, attributes)
        if stage.status == "failed":
            span.set_status(Status(StatusCode.ERROR))
        span.end(stage.ended_ns)


def operation_of(text: str) -> str:
    """The word that a statement begins with, where it is one of those that are known."""
    found = _FIRST_WORD.match(text[:TEXT_CHARS_MAX])
    word = found[1].upper() if found is not None else ""
    return word if word in OPERATIONS else "OTHER"


def _fail(span: Span, kind: str) -> None:
    """The kind of the error only: a message may hold values. Who cancels has no error."""
    span.set_attribute("error.type", kind)
    if kind != "cancelled":
        span.set_status(Status(StatusCode.ERROR))


def _note(intervals: list[Interval], began_ns: int) -> None:
    if len(intervals) < INTERVALS_MAX:
        intervals.append((began_ns, time.time_ns()))

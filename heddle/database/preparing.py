"""Statements, from a client's text to what can be run: queries in either dialect, and commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import uuid4

import pyarrow as pa

from heddle.database.answers import Answer
from heddle.database.catalog import Catalog, Seen
from heddle.database.commands import Insert
from heddle.database.dml import read_command
from heddle.database.errors import QueryError
from heddle.database.executing import Executor, answer_schema, inner_text, target_of, writes_tables
from heddle.database.given import given_to
from heddle.database.kept_tables import KeptTables
from heddle.database.materialized import MaterializedOutputs
from heddle.database.model import SCRATCH_SCHEMA, Settings, Viewer
from heddle.database.parameter_types import with_types
from heddle.database.planning import EXPLAINED, Asked, Planner, rows_answer
from heddle.database.registry import Queries
from heddle.database.rewriting_sql import insert_columns
from heddle.database.statement import Statement
from heddle.database.statements import NamedTable, Place, read_statement
from heddle.database.targets import writable_table
from heddle.database.views import View

if TYPE_CHECKING:
    from heddle.database.commands import Command
    from heddle.database.duckdb_dialect import DuckDialect
    from heddle.database.policy import Policy
    from heddle.physical.result_cache import ResultCache


class Preparer:
    """Makes statements over the tables of a database. Thread-safe."""

    def __init__(
        self,
        tables: Catalog,
        planner: Planner,
        scratch: KeptTables,
        materialized: MaterializedOutputs,
        queries: Queries,
        policy: Policy | None,
        cache: ResultCache | None,
        memory_bytes: int,
    ) -> None:
        """`memory_bytes` is what a query may have."""
        self._tables = tables
        self._planner = planner
        self._scratch = scratch
        self._materialized = materialized
        self._queries = queries
        self._policy = policy
        self._cache = cache
        self._memory_bytes = memory_bytes

    def prepare(self, text: str, viewer: Viewer, settings: Settings, transaction: str | None) -> Statement:
        """With the tables as they are seen in a transaction. Raises `QueryError`."""
        if settings.language == "prql":
            from heddle.database.prql import to_sql

            text = to_sql(text, tuple(seen.info for seen in self._tables.seen(viewer)))
        command = read_command(text)
        if command is not None:
            return self._command(text, command, viewer, settings, transaction)
        if settings.language == "duckdb":
            return self._duckdb(text, viewer, settings, transaction)
        asked = self._asked(text, viewer, settings, transaction)
        typed = self._planner.typed(asked)
        explains = asked.read.kind == "explain"
        if explains:
            self._check_explains(viewer, asked.seen)

        def run(values: Sequence[object], within: str | None) -> Answer:
            own = asked if within == transaction else self._asked(text, viewer, settings, within)
            answer = self._planner.answer(own, values, explains=explains)
            return self._registered(text, answer, viewer, settings)

        schema = EXPLAINED if explains else typed.schema
        tables = tuple(seen.info.name for seen in asked.seen)
        parameters = with_types(typed.parameters, asked.read, None, ())
        return Statement(text, schema, parameters, run, tables=tables, is_constant=asked.read.is_constant)

    def _duckdb(self, text: str, viewer: Viewer, settings: Settings, transaction: str | None) -> Statement:
        dialect = self._duckdb_dialect
        query = dialect.query(text, viewer, settings, transaction)
        explains = query.read.kind == "explain"
        if explains:
            self._check_explains(viewer, query.seen)

        def run(values: Sequence[object], within: str | None) -> Answer:
            own = query if within == transaction else dialect.query(text, viewer, settings, within)
            return self._registered(text, own.answer(values, settings.rows_max), viewer, settings)

        schema = EXPLAINED if explains else dialect.schema(query)
        tables = tuple(seen.info.name for seen in query.seen)
        parameters = pa.schema([pa.field(name, pa.null()) for name in query.read.parameters])
        return Statement(text, schema, parameters, run, tables=tables)

    @cached_property
    def _duckdb_dialect(self) -> DuckDialect:
        from heddle.database.duckdb_dialect import DuckDialect

        return DuckDialect(self._tables, self._asked, self._planner, self._memory_bytes)

    def _check_explains(self, viewer: Viewer, seen: Sequence[Seen]) -> None:
        if self._policy is None or self._policy.may_explain(viewer, [each.table.info for each in seen]):
            return
        raise QueryError("denied", f"plans over restricted outputs are not shown to {viewer.name}")

    def check_transaction(self, transaction: str | None, viewer: Viewer) -> None:
        """Raises `QueryError` when it is not the viewer's."""
        if transaction is not None:
            self._scratch.check_transaction(transaction, viewer.name)

    def _asked(self, text: str, viewer: Viewer, settings: Settings, transaction: str | None) -> Asked:
        self.check_transaction(transaction, viewer)
        read = read_statement(text)
        seen = tuple(self._seen(table, viewer, settings, transaction) for table in read.tables)
        return Asked(read, seen, viewer, settings, transaction)

    def _seen(self, named: NamedTable, viewer: Viewer, settings: Settings, transaction: str | None) -> Seen:
        """The table with what the text gives to it."""
        seen = self._tables.find(named, viewer, settings, transaction)
        fixed = seen.table.fixed if isinstance(seen.table, View) else {}
        if named.values is None and not seen.info.parameters:
            return seen
        return replace(seen, given=given_to(seen.info, named.values, fixed))

    def _registered(self, text: str, answer: Answer, viewer: Viewer, settings: Settings) -> Answer:
        """The answer, in the registry as long as it is read."""
        answer.watched_by(
            self._queries.begin(
                answer.query_id,
                text,
                viewer,
                answer.cancel,
                session=settings.options.get("session"),
                timeout_s=settings.timeout_s,
            )
        )
        return answer

    def _command(
        self,
        text: str,
        command: Command,
        viewer: Viewer,
        settings: Settings,
        transaction: str | None,
    ) -> Statement:
        def schema_of(parts: tuple[str, ...]) -> pa.Schema:
            name = writable_table(parts, self._tables.name)
            named = NamedTable((SCRATCH_SCHEMA, name), Place(0, 0), None)
            return self._tables.find(named, viewer, settings, transaction).info.schema

        schema = answer_schema(command)
        parameters = pa.schema([])
        inner = inner_text(command, schema_of)
        if inner is not None and settings.language == "duckdb":
            raise QueryError(
                "unsupported",
                "tables are changed in DataFusion's dialect",
                help="set the language to `sql`",
            )
        if inner is not None:
            asked = self._asked(inner, viewer, settings, transaction)
            target = target_of(command, schema_of)
            filled = insert_columns(command, target) if isinstance(command, Insert) and target else ()
            parameters = with_types(self._planner.typed(asked).parameters, asked.read, target, filled)

        def run(values: Sequence[object], within: str | None) -> Answer:
            self.check_transaction(within, viewer)
            return self._done(text, command, values, viewer, settings, within)

        is_update, writes = len(schema) == 0, writes_tables(command)
        return Statement(text, schema, parameters, run, is_update=is_update, writes=writes)

    def _done(
        self,
        text: str,
        command: Command,
        values: Sequence[object],
        viewer: Viewer,
        settings: Settings,
        transaction: str | None,
    ) -> Answer:
        """The command is carried out before the answer is there."""
        query_id = uuid4().hex
        inside: list[Answer] = []
        cancelled: list[QueryError] = []

        def cancel(why: QueryError) -> None:
            cancelled.append(why)
            for answer in inside:
                answer.cancel(why)

        @contextmanager
        def rows_of(inner: str) -> Iterator[Answer]:
            answer = self._planner.answer(
                self._asked(inner, viewer, settings, transaction), values, explains=False
            )
            inside.append(answer)
            try:
                if cancelled:
                    raise cancelled[0]
                yield answer
            finally:
                answer.close()

        executor = Executor(
            self._tables,
            self._scratch,
            self._materialized,
            self._queries,
            self._cache,
            self._policy,
            viewer,
            settings,
            transaction,
            rows_of,
        )
        running = self._queries.begin(
            query_id,
            text,
            viewer,
            cancel,
            session=settings.options.get("session"),
            timeout_s=settings.timeout_s,
        )
        with running:
            done = executor.run(command)
            running.count(done.rows_updated or 0)
        if done.table is not None:
            return rows_answer(done.table)
        return Answer(query_id, pa.schema([]), lambda token: iter(()), ExitStack(), done.rows_updated)

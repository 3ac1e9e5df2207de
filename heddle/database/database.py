"""The database: outputs of programs, kept tables and the system's own, asked by statements of viewers.

text --read--> tables, places --type--> query --plan--> one plan with the workflow's --run--> record batches
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self
from uuid import uuid4

import pyarrow as pa

from heddle.database.answers import Answer
from heddle.database.catalog import Catalog
from heddle.database.commands import Insert
from heddle.database.dml import read_command
from heddle.database.errors import QueryError
from heddle.database.executing import Executor, answer_schema, check_may_write, inner_text, target_of
from heddle.database.information_schema import information_tables
from heddle.database.ingest import Ingest
from heddle.database.kept_tables import KeptTables
from heddle.database.materialized import MaterializedOutput, MaterializedOutputs, check_materialized
from heddle.database.model import (
    DEFAULT_SETTINGS,
    SCRATCH_SCHEMA,
    IngestMode,
    Settings,
    TableInfo,
    TableName,
    Viewer,
)
from heddle.database.parameter_types import with_types
from heddle.database.planning import EXPLAINED, Asked, Planner, rows_answer
from heddle.database.registry import Queries
from heddle.database.rewriting_sql import insert_columns
from heddle.database.sources import KeptSource, Table
from heddle.database.standard_system_tables import Served, standard_tables
from heddle.database.statements import NamedTable, Place, read_statement
from heddle.database.system_tables import SystemTables
from heddle.database.targets import writable_table, writable_target
from heddle.database.views import ProgramViews, View, programs_in, views_of
from heddle.engine import Engine

if TYPE_CHECKING:
    from heddle.compiling import Notify
    from heddle.database.commands import Command
    from heddle.database.policy import Policy
    from heddle.serve_settings import RefreshPolicy


class Statement:
    """`schema` is that of its answers; where parameters have no values yet, as far as it can be told.
    `parameters` has a field for each, of type null where it is not known. `tables` are those that a query
    reads. Thread-safe."""

    def __init__(
        self,
        text: str,
        schema: pa.Schema,
        parameters: pa.Schema,
        run: Callable[[Sequence[object], str | None], Answer],
        *,
        is_update: bool = False,
        tables: tuple[TableName, ...] = (),
    ) -> None:
        self.text = text
        self.tables = tables
        self.schema = schema
        self.parameters = parameters
        self.is_update = is_update
        self._run = run

    def run(self, values: Sequence[object] = (), *, transaction: str | None = None) -> Answer:
        """Raises `QueryError`."""
        if len(values) != len(self.parameters):
            wanted = f"the statement has {len(self.parameters)} parameters"
            raise QueryError("invalid", f"{wanted}, and {len(values)} values came")
        return self._run(values, transaction)


class Database:
    """A context manager; leaving it ends what runs, and the processes of plugins. Thread-safe."""

    def __init__(
        self,
        programs: Sequence[ProgramViews],
        scratch: KeptTables,
        outputs: KeptTables,
        policy: Policy | None,
        materialize: Mapping[str, RefreshPolicy],
        opened: ExitStack,
    ) -> None:
        """`open` makes it. `opened` is closed with it."""
        self.queries = Queries()
        self.catalog = programs[0].catalog
        self._programs = programs
        self._scratch = scratch
        self._policy = policy
        self._planner = Planner(programs)
        views = views_of(programs)
        self._materialized = MaterializedOutputs(outputs, self._kept_outputs(views, materialize))
        fixed: dict[TableName, Table] = {name: self._table(view) for name, view in views.items()}
        fixed |= information_tables(self.catalog, self.tables)
        self.system = SystemTables(self.catalog)
        """Where front doors add tables about themselves."""
        self._tables = Catalog(self.catalog, fixed, self.system, scratch, policy)
        typed = [program.program for program in programs]
        served = Served(
            self.catalog, typed, self.tables, self._restricted, self.queries, scratch, self._materialized
        )
        self.system.add(*standard_tables(served))
        self._opened = opened.pop_all()
        self._opened.callback(self._materialized.close)
        self._opened.callback(self.queries.close)

    @classmethod
    def open(
        cls,
        paths: Sequence[Path],
        *,
        profile: str | None = None,
        params: Mapping[str, str] | None = None,
        environ: Mapping[str, str] = os.environ,
        notify: Notify = lambda line: None,
        scratch: Path | None = None,
        policy: Policy | None = None,
        materialize: Mapping[str, RefreshPolicy] | None = None,
    ) -> Database:
        """Over programs, which are files or all in a folder. `scratch` is where tables are kept, a folder
        that goes at the end if None. Raises `UsageError`, and `ProgramError` for a program with errors."""
        from heddle.core.private_folder import scratch_folder

        programs: list[ProgramViews] = []
        with ExitStack() as opened:
            for path in programs_in(list(paths)):
                plugins = programs[0].engine.plugins if programs else None
                engine = Engine.open(
                    path, profile=profile, params=params, environ=environ, notify=notify, plugins=plugins
                )
                opened.enter_context(engine)
                catalog = programs[0].catalog if programs else engine.namespace
                programs.append(ProgramViews(engine, path, catalog))
            durable = scratch is not None
            if scratch is None:
                temporary = Path(tempfile.gettempdir())
                scratch = opened.enter_context(scratch_folder(f"tables-{uuid4().hex[:12]}", temporary))
            tables = opened.enter_context(KeptTables.open(scratch / "tables", durable=durable))
            outputs = opened.enter_context(KeptTables.open(scratch / "outputs", durable=durable))
            database = cls(programs, tables, outputs, policy, materialize or {}, opened)
        database._materialized.start()
        return database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """More than once does no harm."""
        self._opened.close()

    def mask(self, text: str) -> str:
        """The text without the secrets that programs have read."""
        for program in self._programs:
            text = program.engine.masker.mask(text)
        return text

    def tables(self, viewer: Viewer) -> tuple[TableInfo, ...]:
        """What the viewer sees, by catalog, schema and name."""
        return tuple(seen.info for seen in self._tables.seen(viewer))

    def prepare(
        self,
        text: str,
        viewer: Viewer,
        settings: Settings = DEFAULT_SETTINGS,
        transaction: str | None = None,
    ) -> Statement:
        """With the tables as they are seen in a transaction. Raises `QueryError`."""
        if settings.language == "prql":
            from heddle.database.prql import to_sql

            text = to_sql(text, self.tables(viewer))
        command = read_command(text)
        if command is not None:
            return self._command(text, command, viewer, settings, transaction)
        asked = self._asked(text, viewer, settings, transaction)
        typed = self._planner.typed(asked)
        explains = asked.read.kind == "explain"
        if explains and self._policy is not None:
            infos = [each.table.info for each in asked.seen]
            if not self._policy.may_explain(viewer, infos):
                raise QueryError("denied", f"plans over restricted outputs are not shown to {viewer.name}")

        def run(values: Sequence[object], within: str | None) -> Answer:
            own = asked if within == transaction else self._asked(text, viewer, settings, within)
            return self._registered(text, own, lambda: self._planner.answer(own, values, explains=explains))

        schema = EXPLAINED if explains else typed.schema
        tables = tuple(seen.info.name for seen in asked.seen)
        parameters = with_types(typed.parameters, asked.read, None, ())
        return Statement(text, schema, parameters, run, tables=tables)

    def ingest(
        self,
        target: TableName,
        schema: pa.Schema,
        mode: IngestMode,
        viewer: Viewer,
        transaction: str | None = None,
    ) -> Ingest:
        """Take rows for a table of the scratch schema. Raises `QueryError`."""
        name = writable_target(target, self.catalog)
        check_may_write(self._policy, viewer, target)
        self._check_transaction(transaction, viewer)
        return self._scratch.ingest(name, schema, mode, transaction)

    def begin(self, viewer: Viewer) -> str:
        """A transaction over the scratch schema. Raises `QueryError`."""
        return self._scratch.begin(viewer.name)

    def end(self, transaction: str, viewer: Viewer, *, commit: bool) -> None:
        """Raises `QueryError`; then nothing of it is there."""
        self._check_transaction(transaction, viewer)
        self._scratch.end(transaction, commit=commit)

    def _restricted(self, viewer: Viewer, table: TableInfo) -> bool:
        return self._policy is not None and self._policy.restricted(viewer, table)

    def _check_transaction(self, transaction: str | None, viewer: Viewer) -> None:
        if transaction is not None:
            self._scratch.check_transaction(transaction, viewer.name)

    def _table(self, view: View) -> Table:
        name = f"{view.info.name.schema}.{view.info.name.name}"
        if name not in self._materialized:
            return view
        return KeptSource(view.kept_info, lambda transaction: self._materialized.read(name))

    def _kept_outputs(
        self, views: Mapping[TableName, View], materialize: Mapping[str, RefreshPolicy]
    ) -> Mapping[str, MaterializedOutput]:
        by_name = {f"{name.schema}.{name.name}": view for name, view in views.items()}
        check_materialized(materialize, by_name)
        return {
            name: MaterializedOutput(
                name,
                by_name[name].info.schema,
                by_name[name].owner.program.hash,
                policy,
                partial(self._planner.all_rows, by_name[name]),
            )
            for name, policy in materialize.items()
        }

    def _asked(self, text: str, viewer: Viewer, settings: Settings, transaction: str | None) -> Asked:
        self._check_transaction(transaction, viewer)
        read = read_statement(text)
        seen = tuple(self._tables.find(table, viewer, settings, transaction) for table in read.tables)
        return Asked(read, seen, viewer, settings, transaction)

    def _registered(self, text: str, asked: Asked, make: Callable[[], Answer]) -> Answer:
        """The answer, in the registry as long as it is read."""
        answer = make()
        answer.watched_by(
            self.queries.begin(
                answer.query_id,
                text,
                asked.viewer,
                answer.cancel,
                session=asked.settings.options.get("session"),
                timeout_s=asked.settings.timeout_s,
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
            name = writable_table(parts, self.catalog)
            named = NamedTable((SCRATCH_SCHEMA, name), Place(0, 0), None)
            return self._tables.find(named, viewer, settings, transaction).info.schema

        schema = answer_schema(command)
        parameters = pa.schema([])
        inner = inner_text(command, schema_of)
        if inner is not None:
            asked = self._asked(inner, viewer, settings, transaction)
            target = target_of(command, schema_of)
            filled = insert_columns(command, target) if isinstance(command, Insert) and target else ()
            parameters = with_types(self._planner.typed(asked).parameters, asked.read, target, filled)

        def run(values: Sequence[object], within: str | None) -> Answer:
            self._check_transaction(within, viewer)
            return self._done(text, command, values, viewer, settings, within)

        return Statement(text, schema, parameters, run, is_update=len(schema) == 0)

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
            self.queries,
            self._policy,
            viewer,
            settings,
            transaction,
            rows_of,
        )
        running = self.queries.begin(
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

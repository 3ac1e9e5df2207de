"""The database: outputs of programs, kept tables and the system's own, asked by statements of viewers.

text --read--> tables, places --type--> query --plan--> one plan with the workflow's --run--> record batches
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from uuid import uuid4

import pyarrow as pa

from heddle.database.catalog import Catalog
from heddle.database.executing import check_may_write
from heddle.database.information_schema import information_tables
from heddle.database.ingest import Ingest
from heddle.database.kept_tables import KeptLimits, KeptTables
from heddle.database.keys import key_problems
from heddle.database.materialized import (
    MaterializedOutput,
    MaterializedOutputs,
    Refreshed,
    check_has_values,
    check_materialized,
)
from heddle.database.model import (
    DEFAULT_SETTINGS,
    IngestMode,
    Settings,
    TableInfo,
    TableName,
    Viewer,
)
from heddle.database.planning import Planner
from heddle.database.preparing import Preparer
from heddle.database.registry import Queries
from heddle.database.sources import KeptSource, Table
from heddle.database.standard_system_tables import Served, standard_tables
from heddle.database.statement import Statement
from heddle.database.system_tables import SystemTables
from heddle.database.targets import writable_target
from heddle.database.views import ProgramViews, View, programs_in, views_of
from heddle.engine import Engine

if TYPE_CHECKING:
    from heddle.compiling import Notify
    from heddle.core.refresh_policy import RefreshPolicy
    from heddle.database.policy import Policy
    from heddle.diagnostics import Diagnostic
    from heddle.physical.result_cache import ResultCache

MEMORY_PART: Final = 8
"""Tables of clients, and outputs that are kept, may each have one in so many bytes of the memory budget."""


class Database:
    """A context manager; leaving it ends what runs, and the processes of plugins. Thread-safe."""

    def __init__(
        self,
        programs: Sequence[ProgramViews],
        scratch: KeptTables,
        outputs: KeptTables,
        policy: Policy | None,
        materialize: Mapping[str, RefreshPolicy | None] | None,
        opened: ExitStack,
        cache: ResultCache | None,
    ) -> None:
        """`open` makes it. `opened` is closed with it."""
        self._cache = cache
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
        self._preparer = Preparer(
            self._tables,
            self._planner,
            scratch,
            self._materialized,
            self.queries,
            policy,
            cache,
            programs[0].engine.memory_bytes,
        )
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
        materialize: Mapping[str, RefreshPolicy | None] | None = None,
        result_cache_bytes: int = 0,
    ) -> Database:
        """Over programs, which are files or all in a folder. `scratch` is where tables are kept; if None they
        go at the end, and are in memory as long as there is some for them. `materialize` is laid over what
        programs say of outputs whose rows are kept; None: no output's are. The result cache takes up to
        `result_cache_bytes`, and at most half of what the machine has. Raises `UsageError`, and
        `ProgramError` for a program with errors."""
        from heddle.core.private_folder import scratch_folder
        from heddle.physical.memory import default_budget_bytes

        programs: list[ProgramViews] = []
        cache: ResultCache | None = None
        if result_cache_bytes:
            from heddle.physical.result_cache import ResultCache

            cache = ResultCache(min(result_cache_bytes, default_budget_bytes()))
        with ExitStack() as opened:
            for path in programs_in(list(paths)):
                plugins = programs[0].engine.plugins if programs else None
                engine = Engine.open(
                    path,
                    profile=profile,
                    params=params,
                    environ=environ,
                    notify=notify,
                    plugins=plugins,
                    cache=cache,
                )
                opened.enter_context(engine)
                catalog = programs[0].catalog if programs else engine.namespace
                programs.append(ProgramViews(engine, path, catalog))
            durable = scratch is not None
            if scratch is None:
                temporary = Path(tempfile.gettempdir())
                scratch = opened.enter_context(scratch_folder(f"tables-{uuid4().hex[:12]}", temporary))
            limits = KeptLimits(memory_bytes=default_budget_bytes() // MEMORY_PART)
            tables, outputs = (
                opened.enter_context(KeptTables.open(scratch / name, durable=durable, limits=limits))
                for name in ("tables", "outputs")
            )
            database = cls(programs, tables, outputs, policy, materialize, opened, cache)
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

    def key_problems(self) -> tuple[Diagnostic, ...]:
        """A warning for each foreign key that refers to nothing here."""
        return key_problems(views_of(self._programs))

    @property
    def result_cache(self) -> ResultCache | None:
        return self._cache

    def refreshed(self) -> Mapping[str, Refreshed]:
        """How the materialized outputs stand, by `workflow.output`."""
        return self._materialized.states()

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
        return self._preparer.prepare(text, viewer, settings, transaction)

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
        self._preparer.check_transaction(transaction, viewer)
        return self._scratch.ingest(name, schema, mode, transaction)

    def begin(self, viewer: Viewer) -> str:
        """A transaction over the scratch schema. Raises `QueryError`."""
        return self._scratch.begin(viewer.name)

    def end(self, transaction: str, viewer: Viewer, *, commit: bool) -> None:
        """Raises `QueryError`; then nothing of it is there."""
        self._preparer.check_transaction(transaction, viewer)
        self._scratch.end(transaction, commit=commit)

    def _restricted(self, viewer: Viewer, table: TableInfo) -> bool:
        return self._policy is not None and self._policy.restricted(viewer, table)

    def _table(self, view: View) -> Table:
        name = f"{view.info.name.schema}.{view.info.name.name}"
        if name not in self._materialized:
            return view
        return KeptSource(view.kept_info, lambda transaction: self._materialized.read(name))

    def _kept_outputs(
        self, views: Mapping[TableName, View], materialize: Mapping[str, RefreshPolicy | None] | None
    ) -> Mapping[str, MaterializedOutput]:
        if materialize is None:
            return {}
        by_name = {f"{name.schema}.{name.name}": view for name, view in views.items()}
        check_materialized(materialize, by_name)
        declared = {name: view.output.properties.materialize for name, view in by_name.items()}
        kept = {name: policy for name, policy in {**declared, **materialize}.items() if policy is not None}
        for name in kept:
            check_has_values(name, by_name[name].info.parameters)
        return {
            name: MaterializedOutput(
                name,
                by_name[name].info.schema,
                by_name[name].owner.program.hash,
                policy,
                partial(self._planner.all_rows, by_name[name], anew=True),
            )
            for name, policy in kept.items()
        }

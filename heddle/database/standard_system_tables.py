"""The system tables that each server has: its programs with all that is in them, its tables with their
columns, and its queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final, TypeAlias

import pyarrow as pa

from heddle.core.record import record
from heddle.core.types import TIMESTAMP, row_of_schema, type_name
from heddle.database.kept_manifest import KeptTable
from heddle.database.kept_tables import KeptTables
from heddle.database.materialized import MaterializedOutputs, Refreshed
from heddle.database.model import REMARKS, SCRATCH_SCHEMA, TableInfo, TableName, Viewer
from heddle.database.registry import Queries
from heddle.database.system_tables import SystemTable, column, table_of_rows
from heddle.frontend.typed import StepNode, TypedProgram

_TEXT: Final = pa.string()
_TEXTS: Final = pa.list_(pa.field("item", pa.string()))
_COUNT: Final = pa.int64()
_SECONDS: Final = pa.float64()
_FLAG: Final = pa.bool_()


@record(frozen=True, slots=True)
class Served:
    """What a server has to tell. `tables` gives those that a viewer sees, `restricted` whether a viewer sees
    one in part only."""

    catalog: str
    programs: Sequence[TypedProgram]
    tables: Callable[[Viewer], Sequence[TableInfo]]
    restricted: Callable[[Viewer, TableInfo], bool]
    queries: Queries
    scratch: KeptTables
    materialized: MaterializedOutputs

    def kept(self) -> Mapping[TableName, KeptTable]:
        """Tables with rows of their own."""
        scratch = {TableName(self.catalog, SCRATCH_SCHEMA, of.name): of for of in self.scratch.tables()}
        outputs = {
            TableName(self.catalog, *name.split(".", 1)): of for name, of in self.materialized.kept().items()
        }
        return {**scratch, **outputs}


PROGRAMS: Final = pa.schema(
    [
        column("program", _TEXT, "The name of its file", nullable=False),
        column("hash", _TEXT, "Programs with the same hash do the same", nullable=False),
        column("workflows", _COUNT, "How many it has", nullable=False),
        column("resources", _COUNT, "How many it declares", nullable=False),
        column("parameters", _COUNT, "How many it takes", nullable=False),
    ]
)
WORKFLOWS: Final = pa.schema(
    [
        column("program", _TEXT, "The file that it stands in", nullable=False),
        column("workflow", _TEXT, "Its name, and that of its schema", nullable=False),
        column("outputs", _COUNT, "How many it has", nullable=False),
        column("handler", _TEXT, "Where its failures go"),
        column("comment", _TEXT, "What the program says about it"),
    ]
)
OUTPUTS: Final = pa.schema(
    [
        column("catalog", _TEXT, "The namespace of the project", nullable=False),
        column("workflow", _TEXT, "The schema", nullable=False),
        column("output", _TEXT, "The table", nullable=False),
        column(
            "kind", _TEXT, "VIEW: computed for each query. TABLE: materialized, rows are kept", nullable=False
        ),
        column("type", _TEXT, "The row type", nullable=False),
        column("key", _TEXTS, "The columns that tell its rows apart, as is declared", nullable=False),
        column("comment", _TEXT, "What the program says about it"),
        column("refresh", _TEXT, "When kept rows are computed anew"),
        column("refresh_state", _TEXT, "waiting, running, done or failed"),
        column("refreshed_at", TIMESTAMP, "When the kept rows were computed"),
        column("refresh_seconds", _SECONDS, "How long that took"),
        column("rows", _COUNT, "How many are kept"),
        column("refresh_error", _TEXT, "What the last refresh failed of; for admins"),
    ]
)
COLUMNS: Final = pa.schema(
    [
        column("catalog", _TEXT, "The table's catalog", nullable=False),
        column("schema", _TEXT, "The table's schema", nullable=False),
        column("table", _TEXT, "The table", nullable=False),
        column("column", _TEXT, "Its name", nullable=False),
        column("position", _COUNT, "Its place in the table, from 1", nullable=False),
        column("type", _TEXT, "Its type in Heddle's words", nullable=False),
        column("arrow_type", _TEXT, "Its type in Arrow's words", nullable=False),
        column("nullable", _FLAG, "Whether it may be null", nullable=False),
        column("comment", _TEXT, "What is said about it"),
    ]
)
TABLES: Final = pa.schema(
    [
        column("catalog", _TEXT, "The table's catalog", nullable=False),
        column("schema", _TEXT, "The table's schema", nullable=False),
        column("table", _TEXT, "Its name", nullable=False),
        column("kind", _TEXT, "VIEW, TABLE or SYSTEM TABLE", nullable=False),
        column("writable", _FLAG, "Whether statements may change it", nullable=False),
        column("rows", _COUNT, "How many are kept"),
        column("size_bytes", _COUNT, "What the kept rows take, on the disk or in memory"),
        column("changed_at", TIMESTAMP, "When the kept rows were changed"),
        column("comment", _TEXT, "What is said about it"),
    ]
)
RESOURCES: Final = pa.schema(
    [
        column("program", _TEXT, "The file that declares it", nullable=False),
        column("resource", _TEXT, "Its name", nullable=False),
        column("module", _TEXT, "Where its type comes from", nullable=False),
        column("type", _TEXT, "What it is", nullable=False),
        column("steps", _COUNT, "How many steps use it", nullable=False),
    ]
)
PLUGINS: Final = pa.schema(
    [
        column("program", _TEXT, "The file that imports it", nullable=False),
        column("module", _TEXT, "What the import names", nullable=False),
        column("steps", _COUNT, "How many calls of its steps there are", nullable=False),
        column("effects", _COUNT, "How many of them leave something in the world", nullable=False),
        column("comment", _TEXT, "What it says about itself"),
    ]
)
PARAMETERS: Final = pa.schema(
    [
        column("program", _TEXT, "The file that declares it", nullable=False),
        column("parameter", _TEXT, "Its name", nullable=False),
        column("type", _TEXT, "Its type", nullable=False),
        column("has_value", _FLAG, "Whether it was given one, or has a default", nullable=False),
    ]
)
TABLE_PARAMETERS: Final = pa.schema(
    [
        column("catalog", _TEXT, "The table's catalog", nullable=False),
        column("schema", _TEXT, "The table's schema", nullable=False),
        column("table", _TEXT, "The table", nullable=False),
        column("parameter", _TEXT, "Its name", nullable=False),
        column("position", _COUNT, "Its place in a call, from 1", nullable=False),
        column("type", _TEXT, "Its type", nullable=False),
        column("required", _FLAG, "Whether a statement has to give it a value", nullable=False),
    ]
)
QUERIES: Final = pa.schema(
    [
        column("query_id", _TEXT, "Its id, for KILL", nullable=False),
        column("viewer", _TEXT, "Who asked", nullable=False),
        column("session", _TEXT, "The session in which it was asked"),
        column("text", _TEXT, "The statement", nullable=False),
        column("state", _TEXT, "running, finished, failed or cancelled", nullable=False),
        column("started_at", TIMESTAMP, "When it started", nullable=False),
        column("seconds", _SECONDS, "How long it ran, or runs", nullable=False),
        column("rows", _COUNT, "Rows that were given out or changed", nullable=False),
        column("size_bytes", _COUNT, "Size of the rows that were given out", nullable=False),
        column("error", _TEXT, "The kind of what it failed of"),
        column("cached", _TEXT, "What came from the result cache: the answer, or results of steps below it"),
    ]
)


_Rows: TypeAlias = Callable[[Served, Viewer], Iterator[tuple[object, ...]]]


def standard_tables(served: Served) -> tuple[SystemTable, ...]:
    """What a viewer does not see has no rows in them."""

    def table(name: str, schema: pa.Schema, rows: _Rows, remarks: str) -> SystemTable:
        return SystemTable(name, schema, lambda viewer: table_of_rows(schema, rows(served, viewer)), remarks)

    return (
        table("programs", PROGRAMS, _programs, "The programs that are served"),
        table("workflows", WORKFLOWS, _workflows, "Their workflows"),
        table("outputs", OUTPUTS, _outputs, "The outputs of workflows, and when they were refreshed"),
        table("columns", COLUMNS, _columns, "The columns of all tables"),
        table("tables", TABLES, _tables, "All tables, with what they keep"),
        table("resources", RESOURCES, _resources, "The resources that programs declare, without settings"),
        table("plugins", PLUGINS, _plugins, "The modules whose steps programs call"),
        table("parameters", PARAMETERS, _parameters, "What programs take, without values"),
        table("table_parameters", TABLE_PARAMETERS, _table_parameters, "What statements give to tables"),
        table(
            "queries", QUERIES, _queries, "Statements, the last ones first; those of others are for admins"
        ),
    )


def _visible(served: Served, viewer: Viewer) -> Iterator[TypedProgram]:
    """Programs of which the viewer sees an output, in order of their names."""
    schemas = {info.name.schema for info in served.tables(viewer)}
    for program in sorted(served.programs, key=_name):
        if viewer.admin or not schemas.isdisjoint(program.workflows):
            yield program


def _name(program: TypedProgram) -> str:
    return PurePath(program.source.path).name


def _programs(served: Served, viewer: Viewer) -> Iterator[tuple[object, ...]]:
    for program in _visible(served, viewer):
        counts = len(program.workflows), len(program.resources), len(program.parameters)
        yield (_name(program), program.hash, *counts)


def _workflows(served: Served, viewer: Viewer) -> Iterator[tuple[object, ...]]:
    seen = {(info.name.schema, info.name.name) for info in served.tables(viewer)}
    for program in _visible(served, viewer):
        for name, workflow in program.workflows.items():
            outputs = sum((name, output.name) in seen for output in workflow.outputs)
            if outputs or viewer.admin:
                yield _name(program), name, outputs, workflow.trap, workflow.doc


def _outputs(served: Served, viewer: Viewer) -> Iterator[tuple[object, ...]]:
    workflows = {name for program in served.programs for name in program.workflows}
    refreshed = served.materialized.states()
    for info in served.tables(viewer):
        if info.name.schema not in workflows:
            continue
        of = refreshed.get(f"{info.name.schema}.{info.name.name}")
        yield (
            info.name.catalog,
            info.name.schema,
            info.name.name,
            info.kind,
            str(row_of_schema(info.schema)),
            info.primary_key,
            info.remarks,
            *_refresh(of, viewer, restricted=served.restricted(viewer, info)),
        )


def _refresh(of: Refreshed | None, viewer: Viewer, *, restricted: bool) -> tuple[object, ...]:
    """How many rows there are is not for who sees some of them."""
    if of is None:
        return (None,) * 6
    error, rows = of.error if viewer.admin else None, None if restricted else of.rows
    return str(of.policy), of.state, _instant(of.refreshed_at), of.duration_s, rows, error


def _columns(served: Served, viewer: Viewer) -> Iterator[tuple[object, ...]]:
    for info in served.tables(viewer):
        name = info.name
        for position, of in enumerate(info.schema, 1):
            remarks = (of.metadata or {}).get(REMARKS)
            yield (
                name.catalog,
                name.schema,
                name.name,
                of.name,
                position,
                type_name(of.type),
                str(of.type),
                of.nullable,
                remarks.decode() if remarks is not None else None,
            )


def _tables(served: Served, viewer: Viewer) -> Iterator[tuple[object, ...]]:
    kept = served.kept()
    for info in served.tables(viewer):
        of = None if served.restricted(viewer, info) else kept.get(info.name)
        sizes = (None, None, None) if of is None else (of.rows, of.size_bytes, _instant(of.changed_at))
        name = info.name
        yield name.catalog, name.schema, name.name, info.kind, info.writable, *sizes, info.remarks


def _resources(served: Served, viewer: Viewer) -> Iterator[tuple[object, ...]]:
    for program in _visible(served, viewer):
        calls = [node.call for node in program.nodes if isinstance(node, StepNode)]
        for name, use in program.resources.items():
            steps = sum(name in call.resources.values() for call in calls)
            yield _name(program), name, use.module.path, use.signature.name, steps


def _plugins(served: Served, viewer: Viewer) -> Iterator[tuple[object, ...]]:
    for program in _visible(served, viewer):
        calls = [node.call for node in program.nodes if isinstance(node, StepNode)]
        modules = {call.module.path: call.module for call in calls}
        modules |= {use.module.path: use.module for use in program.resources.values()}
        for path, module in sorted(modules.items()):
            own = [call for call in calls if call.module.path == path]
            effects = sum(bool(call.signature.effect) for call in own)
            yield _name(program), path, len(own), effects, module.doc or None


def _parameters(served: Served, viewer: Viewer) -> Iterator[tuple[object, ...]]:
    for program in _visible(served, viewer):
        for parameter in program.parameters.values():
            yield _name(program), parameter.name, parameter.type_text, parameter.bound


def _table_parameters(served: Served, viewer: Viewer) -> Iterator[tuple[object, ...]]:
    for info in served.tables(viewer):
        name = info.name
        for position, of in enumerate(info.parameters, 1):
            yield name.catalog, name.schema, name.name, of.name, position, type_name(of.type), of.required


def _queries(served: Served, viewer: Viewer) -> Iterator[tuple[object, ...]]:
    for entry in served.queries.list(viewer):
        yield (
            entry.id,
            entry.viewer,
            entry.session,
            entry.text,
            entry.state,
            _instant(entry.started_at),
            entry.duration_s,
            entry.rows,
            entry.size_bytes,
            entry.error,
            entry.cached,
        )


def _instant(seconds: float | None) -> int | None:
    """Microseconds since 1970, as timestamps count."""
    return None if seconds is None else round(seconds * 1e6)

"""Outputs of one program as tables: a workflow is a schema, an output a view in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from heddle.core.record import record
from heddle.core.types import parse_type
from heddle.database.errors import QueryError
from heddle.database.keys import foreign_keys, primary_key
from heddle.database.model import TableInfo, TableName, TableParameter
from heddle.database.sources import AskedPlace, Rows, Source, files_of, reading_sql
from heddle.diagnostics import has_errors
from heddle.errors import ProgramError, UsageError
from heddle.logical.asked import AskedOutput, effects_below, streams_below
from heddle.logical.lower import relation_names
from heddle.logical.parametrised import taken_by

if TYPE_CHECKING:
    from heddle.core.types import RowType
    from heddle.engine import Engine
    from heddle.frontend.typed import NodeId, Output, Parameter, TypedProgram, Workflow
    from heddle.logical.parametrised import Taken


@record(frozen=True, slots=True)
class View:
    """An output that can be asked. `why_not` says why it cannot be computed for a query."""

    info: TableInfo
    owner: ProgramViews
    output: Output
    relation: str
    why_not: str | None
    fixed: Mapping[str, str]
    """Parameters that it depends on and that take nothing from a statement, with the reason."""

    @property
    def kept_info(self) -> TableInfo:
        """The table that it is when its rows are kept: those of the values that parameters have without a
        statement."""
        return replace(self.info, kind="TABLE", parameters=())

    def source(self, place: AskedPlace) -> Source:
        if self.why_not is not None:
            raise QueryError("unsupported", f"`{self.info.name}` cannot be queried: {self.why_not}")
        return self.source_of(self.output.node, self.relation, place.rules)

    def source_of(self, node: NodeId, relation: str, rules: str | None) -> Source:
        """The rows of another node, which is the output's under other values of parameters."""
        table, sql = AskedOutput(node), reading_sql(relation, rules)
        return Source(relation, self.info.schema, sql, lambda held: table, self, lasting=True)

    def source_elsewhere(self, place: AskedPlace, rows: Callable[[], Rows]) -> Source:
        """For a plan in another program, which reads the rows from a file."""
        sql = reading_sql(place.relation, place.rules)
        return Source(place.relation, self.info.schema, sql, lambda held: files_of(rows(), held))


class ProgramViews:
    """The views of a program's text as it is when it is opened."""

    def __init__(self, engine: Engine, path: Path, catalog: str) -> None:
        """Raises `ProgramError`."""
        self.engine = engine
        self.path = path
        checked = engine.check(ask=True)
        if checked.program is None or has_errors(checked.diagnostics):
            raise ProgramError(checked.diagnostics)
        self.program = checked.program
        self.catalog = catalog

    @cached_property
    def views(self) -> Mapping[TableName, View]:
        return {view.info.name: view for view in self._views()}

    def _views(self) -> Iterator[View]:
        relations = relation_names(self.program)
        for workflow in self.program.workflows.values():
            keys: set[str] = set()
            for output in workflow.outputs:
                row = _row(self.program, output)
                taken = taken_by(self.program, output.node)
                name = TableName(self.catalog, workflow.name, output.name)
                schema = row.arrow() if row.complete else pa.schema([])
                yield View(
                    TableInfo(
                        name,
                        "VIEW",
                        schema,
                        _remarks(output, workflow),
                        primary_key=primary_key(output, schema),
                        foreign_keys=foreign_keys(output, name, schema, keys),
                        parameters=tuple(map(_parameter, taken.open)),
                    ),
                    self,
                    output,
                    relations[output.node],
                    _why_not(self.program, output, row, taken),
                    taken.reasons,
                )


def views_of(programs: Iterable[ProgramViews]) -> Mapping[TableName, View]:
    """The views of all programs. Raises `UsageError` where two of them have the same name."""
    views: dict[TableName, View] = {}
    for program in programs:
        for name, view in program.views.items():
            if views.setdefault(name, view) is not view:
                raise UsageError(
                    f"two programs have the workflow `{name.schema}`",
                    help="serve one of them, or give it another name",
                )
    return views


def programs_in(paths: list[Path]) -> list[Path]:
    """The programs that are meant: files, and those in folders, without those of folders below. Raises
    `UsageError`."""
    if not paths:
        raise UsageError("no program is named", help="name a file `NAME.he`, or a folder of them")
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.glob("*.he"))
            if not inside:
                raise UsageError(f"the folder {path} has no programs", help="a program is a file `NAME.he`")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"there is no file {path}")
    return found


def _row(program: TypedProgram, output: Output) -> RowType:
    from heddle.frontend.typed import ErrorFrameNode, QueryNode, StepNode, TableNode

    node = program.nodes[output.node]
    assert isinstance(node, QueryNode | StepNode | TableNode | ErrorFrameNode)
    assert node.row is not None, "an output has rows"
    return node.row


def _remarks(output: Output, workflow: Workflow) -> str | None:
    return output.doc or workflow.doc


def _parameter(parameter: Parameter) -> TableParameter:
    return TableParameter(parameter.name, parse_type(parameter.type_text)[0], required=not parameter.bound)


def _why_not(program: TypedProgram, output: Output, row: RowType, taken: Taken) -> str | None:
    effects = effects_below(program, output.node)
    if effects:
        return f"its rows come through `{effects[0].call.callee}`, which has effects, and a query has none"
    streams = streams_below(program, output.node)
    if streams:
        return f"it reads the stream `{streams[0].call.callee}`, which only a run goes on with"
    for p in taken.fixed:
        if not p.bound:
            reason = taken.reasons[p.name]
            return f"its parameter `{p.name}` has no value, and {reason}; start with --param {p.name}=…"
    if not row.complete:
        return "its columns are known only when it runs; name them in the program"
    return None

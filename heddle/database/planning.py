"""A query on its way from a viewer to the engine: what its tables stand for, its types, plan and answer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pyarrow as pa

from heddle.core.record import record
from heddle.database.answers import Answer, query_error
from heddle.database.asking import StatementTyper, Typed, asked_query, spelled
from heddle.database.catalog import Seen
from heddle.database.errors import QueryError
from heddle.database.literals import literal
from heddle.database.model import DEFAULT_SETTINGS, LOCAL, Settings, TableName, Viewer
from heddle.database.policy_plan import PolicyGuard
from heddle.database.sources import AskedPlace, Source, reading_sql
from heddle.database.statements import ReadStatement, read_statement
from heddle.database.views import ProgramViews, View
from heddle.engine import RunOptions
from heddle.errors import HeddleError

if TYPE_CHECKING:
    from heddle.logical.plan import LogicalPlan
    from heddle.physical.cancel import CancelToken

PLANNED_MAX: Final = 1_000
"""Statements that are kept planned."""
EXPLAINED: Final = pa.schema([("plan_type", pa.string()), ("plan", pa.string())])


@record(frozen=True, slots=True)
class Planned:
    """A query whose parameters have values, ready to run. `owner` has the program that it is planned in."""

    schema: pa.Schema
    owner: ProgramViews
    plan: LogicalPlan
    options: RunOptions


@record(frozen=True, slots=True)
class Asked:
    """A query, with what its viewer sees of its tables."""

    read: ReadStatement
    seen: tuple[Seen, ...]
    viewer: Viewer
    settings: Settings
    transaction: str | None = None

    def sql(
        self, relations: Mapping[TableName, str], names: Mapping[str, str], values: Mapping[str, str]
    ) -> str:
        """The statement over tables that have the names `relations`."""
        sources = [reading_sql(relations[seen.info.name], seen.rules) for seen in self.seen]
        return self.read.sql(sources, names, values)


class Planner:
    """Answers queries over views of the programs and over kept tables. Thread-safe."""

    def __init__(self, programs: Sequence[ProgramViews]) -> None:
        self._programs = programs
        self._typer = StatementTyper()
        self._guard = PolicyGuard()
        self._planned: OrderedDict[object, Planned] = OrderedDict()
        self._lock = threading.Lock()

    def all_rows(self, view: View) -> Answer:
        """The rows of an output, for itself."""
        read = read_statement("select * from output")
        asked = Asked(read, (Seen(view, view.info, None),), LOCAL, DEFAULT_SETTINGS)
        return self.answer(asked, (), explains=False)

    def _sources(self, asked: Asked) -> Mapping[TableName, Source]:
        """What the tables stand for, checked that the text cannot mean them by another name. Views of several
        programs are planned in the first one's; rows of the others are computed before."""
        sources: dict[TableName, Source] = {}
        owner: ProgramViews | None = None
        for seen in asked.seen:
            name = seen.info.name
            if name in sources:
                continue
            place = AskedPlace(f"table_{len(sources)}", seen.rules, asked.viewer, asked.transaction)
            source = seen.table.source(place)
            owner = owner or (source.view.owner if source.view is not None else None)
            if source.view is not None and source.view.owner is not owner:
                source = source.view.source_elsewhere(place, partial(self.all_rows, source.view))
            sources[name] = source
            taken = asked.read.names if seen.rules is not None else asked.read.cte_names
            if source.relation in taken:
                raise QueryError("invalid", f"the name `{source.relation}` cannot be used here")
        return sources

    def typed(self, asked: Asked) -> Typed:
        """Types before parameters have values; one that DataFusion cannot tell is taken as null for that."""
        read, by_name = asked.read, self._sources(asked)
        names = spelled(seen.info.schema for seen in asked.seen)
        sqls = [by_name[seen.info.name].sql for seen in asked.seen]
        sources = by_name.values()
        try:
            return self._typer.typed(read.sql(sqls, names, {}), read.parameters, sources)
        except QueryError:
            if not read.parameters:
                raise
            nulls = dict.fromkeys(read.parameters, "NULL")
            typed = self._typer.typed(read.sql(sqls, names, nulls), (), sources)
            parameters = pa.schema([pa.field(name, pa.null()) for name in read.parameters])
            return Typed(typed.schema, parameters, typed.portable)

    def _plan(self, asked: Asked, values: Mapping[str, str], held: ExitStack) -> Planned:
        """What it reads is held."""
        by_name = self._sources(asked)
        sources = by_name.values()
        names = spelled(seen.info.schema for seen in asked.seen)
        sql = asked.read.sql([by_name[seen.info.name].sql for seen in asked.seen], names, values)
        options = RunOptions(memory_bytes=asked.settings.memory_bytes)
        owners = [source.view.owner for source in sources if source.view is not None]
        owner = owners[0] if owners else self._programs[0]
        lasting = all(source.lasting for source in sources)
        rules = tuple(seen.rules for seen in asked.seen)
        key = (sql, tuple(by_name), rules, options.memory_bytes)
        with self._lock:
            known = self._planned.get(key) if lasting else None
            if known is not None:
                self._planned.move_to_end(key)
                return known
        typed = self._typer.typed(sql, (), sources)
        if any(rules):
            schemas = {name: source.schema for name, source in by_name.items()}
            self._guard.require(lambda relations: asked.sql(relations, names, values), schemas)
        try:
            tables = {source.relation: source.bound(held) for source in sources}
        except QueryError as error:
            raise self._shown(error, asked) from error
        query = asked_query(asked.read, sql, typed, tables)
        plan = owner.engine.asked_plan(owner.program, query, options)
        planned = Planned(typed.schema, owner, plan, options)
        if lasting:
            with self._lock:
                self._planned[key] = planned
                while len(self._planned) > PLANNED_MAX:
                    self._planned.popitem(last=False)
        return planned

    def answer(self, asked: Asked, values: Sequence[object], *, explains: bool) -> Answer:
        given = {name: literal(value) for name, value in zip(asked.read.parameters, values, strict=True)}
        with ExitStack() as held:
            planned = self._plan(asked, given, held)
            if explains:
                return self._explained(planned)
            restricted = any(seen.rules is not None for seen in asked.seen)

            def batches(cancel: CancelToken) -> Iterator[pa.RecordBatch]:
                return planned.owner.engine.answer(
                    planned.owner.program, planned.plan, planned.options, lambda event: None, cancel
                )

            return Answer(
                uuid4().hex,
                planned.schema,
                batches,
                held.pop_all(),
                rows_max=asked.settings.rows_max,
                concealed=restricted,
            )

    def _shown(self, error: QueryError, asked: Asked) -> QueryError:
        """What the viewer is told: of restricted tables not what was met in them."""
        if all(seen.rules is None for seen in asked.seen):
            return error
        from heddle.database.policy import concealed

        return concealed(error)

    def _explained(self, planned: Planned) -> Answer:
        try:
            explanation = planned.owner.engine.explain_asked(
                planned.owner.program, planned.plan, planned.options
            )
        except HeddleError as error:
            raise query_error(error) from error
        text = explanation.to_text(plans=True)
        return rows_answer(pa.Table.from_pylist([{"plan_type": "plan", "plan": text}], schema=EXPLAINED))


def rows_answer(table: pa.Table) -> Answer:
    batches = table.combine_chunks().to_batches()
    return Answer(uuid4().hex, table.schema, lambda cancel: iter(batches), ExitStack())

"""A query on its way from a viewer to the engine: what its tables stand for, its types, plan and answer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pyarrow as pa

from heddle.core.record import record
from heddle.database.answers import Answer, query_error
from heddle.database.asking import StatementTyper, Typed, asked_query, spelled
from heddle.database.catalog import Seen, SeenKey
from heddle.database.errors import QueryError
from heddle.database.given import bound_types, plain_values
from heddle.database.literals import literal
from heddle.database.model import DEFAULT_SETTINGS, LOCAL, Settings, Viewer
from heddle.database.policy_plan import PolicyGuard
from heddle.database.sources import AskedPlace, Source, reading_sql
from heddle.database.statements import ReadStatement, read_statement
from heddle.database.views import ProgramViews, View
from heddle.engine import RunOptions
from heddle.errors import HeddleError
from heddle.logical.parametrised import NO_VALUES, Instances, Values

if TYPE_CHECKING:
    from heddle.frontend.typed import TypedProgram
    from heddle.logical.plan import LogicalPlan
    from heddle.physical.cancel import CancelToken
    from heddle.physical.events import Event, Listener

PLANNED_MAX: Final = 1_000
"""Statements that are kept planned."""
EXPLAINED: Final = pa.schema([("plan_type", pa.string()), ("plan", pa.string())])


@record(frozen=True, slots=True)
class Planned:
    """A query whose parameters have values, ready to run. `program` is that of `owner`, under the values that
    the query gives to it. A `literal` one has the same rows each time, so these are kept beside it."""

    schema: pa.Schema
    owner: ProgramViews
    program: TypedProgram
    plan: LogicalPlan
    options: RunOptions
    literal: bool
    kept: list[pa.RecordBatch] = field(default_factory=list)

    def batches(
        self, options: RunOptions, listener: Listener, cancel: CancelToken
    ) -> Iterator[pa.RecordBatch]:
        """At least one. Raises as `Engine.answer`."""
        if self.kept:
            return iter(self.kept)
        rows = self.owner.engine.answer(self.program, self.plan, options, listener, cancel)
        return self._keeping(rows) if self.literal else rows

    def _keeping(self, rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        self.kept[:] = list(rows)
        yield from self.kept


@record(frozen=True, slots=True)
class Asked:
    """A query, with what its viewer sees of its tables."""

    read: ReadStatement
    seen: tuple[Seen, ...]
    viewer: Viewer
    settings: Settings
    transaction: str | None = None

    def sql(
        self, relations: Mapping[SeenKey, str], names: Mapping[str, str], values: Mapping[str, str]
    ) -> str:
        """The statement over tables that have the names `relations`."""
        sources = [reading_sql(relations[seen.key], seen.rules) for seen in self.seen]
        return self.read.sql(sources, names, values)

    def check_relation(self, seen: Seen, relation: str) -> None:
        """Raises `QueryError` where the text could mean a table's relation by a name of its own."""
        if relation in (self.read.names if seen.rules is not None else self.read.cte_names):
            raise QueryError("invalid", f"the name `{relation}` cannot be used here")


class Planner:
    """Answers queries over views of the programs and over kept tables. Thread-safe."""

    def __init__(self, programs: Sequence[ProgramViews]) -> None:
        self._programs = programs
        self._typer = StatementTyper()
        self._guard = PolicyGuard()
        self._planned: OrderedDict[object, Planned] = OrderedDict()
        self._lock = threading.Lock()

    def all_rows(self, view: View, values: Values = NO_VALUES, *, anew: bool = False) -> Answer:
        """The rows of an output, for itself, under values of its parameters; `anew` without the result
        cache."""
        read = read_statement("select * from output")
        seen = Seen(view, view.info, None)
        asked = Asked(read, (seen,), LOCAL, DEFAULT_SETTINGS)
        return self._answer(asked, {}, {seen.key: values}, explains=False, anew=anew)

    def _sources(self, asked: Asked, given: Mapping[SeenKey, Values]) -> Mapping[SeenKey, Source]:
        """What the tables stand for, checked that the text cannot mean them by another name. Views of several
        programs are planned in the first one's; rows of the others are computed before."""
        sources: dict[SeenKey, Source] = {}
        owner: ProgramViews | None = None
        for seen in asked.seen:
            if seen.key in sources:
                continue
            place = AskedPlace(f"table_{len(sources)}", seen.rules, asked.viewer, asked.transaction)
            source = seen.table.source(place)
            owner = owner or (source.view.owner if source.view is not None else None)
            if source.view is not None and source.view.owner is not owner:
                values = given.get(seen.key, NO_VALUES)
                source = source.view.source_elsewhere(place, partial(self.all_rows, source.view, values))
            sources[seen.key] = source
            asked.check_relation(seen, source.relation)
        return sources

    def _under_values(
        self,
        asked: Asked,
        program: TypedProgram,
        sources: Mapping[SeenKey, Source],
        given: Mapping[SeenKey, Values],
    ) -> tuple[TypedProgram, Mapping[SeenKey, Source]]:
        """The program under the values that the query gives to its parameters, and what the tables stand for
        in it."""
        if not program.parameters:
            return program, sources
        instances = Instances(program)
        by_key = dict(sources)
        for seen in asked.seen:
            view = sources[seen.key].view
            if view is not None:
                node = instances.node(view.output.node, given.get(seen.key, NO_VALUES))
                by_key[seen.key] = view.source_of(node, instances.relation(node), seen.rules)
                asked.check_relation(seen, by_key[seen.key].relation)
        return instances.program, by_key

    def typed(self, asked: Asked) -> Typed:
        """Types before parameters have values; one that DataFusion cannot tell is taken as null for that."""
        read, by_key = asked.read, self._sources(asked, {})
        names = spelled(seen.info.schema for seen in asked.seen)
        sqls = [by_key[seen.key].sql for seen in asked.seen]
        sources = by_key.values()
        try:
            typed = self._typer.typed(read.sql(sqls, names, {}), read.parameters, sources)
        except QueryError:
            if not read.parameters:
                raise
            nulls = dict.fromkeys(read.parameters, "NULL")
            typed = self._typer.typed(read.sql(sqls, names, nulls), (), sources)
            parameters = pa.schema([pa.field(name, pa.null()) for name in read.parameters])
            typed = replace(typed, parameters=parameters)
        given = bound_types([of for seen in asked.seen for of in seen.given])
        if not given:
            return typed
        fields = [f.with_type(given.get(f.name, f.type)) for f in typed.parameters]
        return replace(typed, parameters=pa.schema(fields))

    def _plan(
        self,
        asked: Asked,
        values: Mapping[str, str],
        given: Mapping[SeenKey, Values],
        held: ExitStack,
    ) -> Planned:
        """What it reads is held."""
        by_key = self._sources(asked, given)
        sources = by_key.values()
        names = spelled(seen.info.schema for seen in asked.seen)
        sql = asked.read.sql([by_key[seen.key].sql for seen in asked.seen], names, values)
        options = RunOptions(memory_bytes=asked.settings.memory_bytes, result_cache=True)
        owners = [source.view.owner for source in sources if source.view is not None]
        owner = owners[0] if owners else self._programs[0]
        lasting = all(source.lasting for source in sources)
        rules = tuple(seen.rules for seen in asked.seen)
        called = tuple(repr(given.get(seen.key)) for seen in asked.seen)
        key = (sql, tuple(by_key), called, rules, options.memory_bytes)
        with self._lock:
            known = self._planned.get(key) if lasting else None
            if known is not None:
                self._planned.move_to_end(key)
                return known
        typed = self._typer.typed(sql, (), sources)
        if any(rules):
            schemas = {key: source.schema for key, source in by_key.items()}
            self._guard.require(lambda relations: asked.sql(relations, names, values), schemas)
        program, by_key = self._under_values(asked, owner.program, by_key, given)
        sql = asked.read.sql([by_key[seen.key].sql for seen in asked.seen], names, values)
        try:
            tables = {source.relation: source.bound(held) for source in by_key.values()}
        except QueryError as error:
            raise self._shown(error, asked) from error
        query = asked_query(asked.read, sql, typed, tables)
        plan = owner.engine.asked_plan(program, query, options)
        planned = Planned(typed.schema, owner, program, plan, options, typed.literal)
        if lasting:
            with self._lock:
                self._planned[key] = planned
                while len(self._planned) > PLANNED_MAX:
                    self._planned.popitem(last=False)
        return planned

    def answer(self, asked: Asked, values: Sequence[object], *, explains: bool) -> Answer:
        named = dict(zip(asked.read.parameters, values, strict=True))
        given = {seen.key: plain_values(seen.given, named) for seen in asked.seen}
        literals = {name: literal(value) for name, value in named.items()}
        return self._answer(asked, literals, given, explains=explains, anew=False)

    def _answer(
        self,
        asked: Asked,
        values: Mapping[str, str],
        given: Mapping[SeenKey, Values],
        *,
        explains: bool,
        anew: bool,
    ) -> Answer:
        """`values` are those of the statement's parameters, as SQL."""
        with ExitStack() as held:
            planned = self._plan(asked, values, given, held)
            if explains:
                return self._explained(planned)
            options = replace(planned.options, result_cache=False) if anew else planned.options
            restricted = any(seen.rules is not None for seen in asked.seen)

            def tell(event: Event) -> None:
                answer.tell(event)

            def batches(cancel: CancelToken) -> Iterator[pa.RecordBatch]:
                return planned.batches(options, tell, cancel)

            answer = Answer(
                uuid4().hex,
                planned.schema,
                batches,
                held.pop_all(),
                rows_max=asked.settings.rows_max,
                concealed=restricted,
            )
            return answer

    def _shown(self, error: QueryError, asked: Asked) -> QueryError:
        """What the viewer is told: of restricted tables not what was met in them."""
        if all(seen.rules is None for seen in asked.seen):
            return error
        from heddle.database.policy import concealed

        return concealed(error)

    def _explained(self, planned: Planned) -> Answer:
        try:
            explanation = planned.owner.engine.explain_asked(planned.program, planned.plan, planned.options)
        except HeddleError as error:
            raise query_error(error) from error
        text = explanation.to_text(plans=True)
        return rows_answer(pa.Table.from_pylist([{"plan_type": "plan", "plan": text}], schema=EXPLAINED))


def rows_answer(table: pa.Table) -> Answer:
    batches = table.combine_chunks().to_batches()
    return Answer(uuid4().hex, table.schema, lambda cancel: iter(batches), ExitStack())

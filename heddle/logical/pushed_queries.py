"""Which queries of a fragment can become statements of the databases that their inputs come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from heddle.core.deep_stack import on_deep_stack
from heddle.core.record import record
from heddle.core.types import RowType
from heddle.frontend.typed import NO_POLICY
from heddle.logical.dialects.terms import Refused, Relation
from heddle.logical.plan import Fragment, OpId, Query
from heddle.logical.pushed_selects import Selected, translated
from heddle.logical.sql import reading_places
from heddle.logical.sql_sources import SqlSource

_READ_AS = "postgres"
"""The dialect of sqlglot that reads the SQL of queries, which is DataFusion's."""


@record(frozen=True, slots=True)
class Movable:
    """A query as a SELECT of a database, with the queries below it, over `sources` of one connection.
    `inside` are the relations of all these queries, its own too."""

    query: Query
    selected: Selected
    sources: tuple[SqlSource, ...]
    inside: frozenset[str]


@record(frozen=True, slots=True)
class Movables:
    """`last` are the movable queries that none of the others reads, `reasons` why others stay, by the
    operators that they concern."""

    last: tuple[Movable, ...]
    reasons: tuple[tuple[OpId, str], ...]


def parsed(sql: str) -> exp.Expr:
    """The tree of SQL of the program. Raises `Refused` for what sqlglot cannot read."""
    try:
        return parse_one(sql, read=_READ_AS)
    except SqlglotError:
        raise Refused("the query has a form that cannot be read here") from None


def movable_queries(fragment: Fragment, inputs: Mapping[str, SqlSource], trapped: frozenset[str]) -> Movables:
    """`inputs` are those of the fragment that are sources, by relation; `trapped` are the plan's."""
    return on_deep_stack(_Search(fragment, inputs, trapped).found)


def row_of(fragment: Fragment) -> RowType:
    """What a fragment gives, with its choice of columns."""
    if fragment.columns is None:
        return fragment.row
    named = {column.name: column for column in fragment.row}
    return replace(fragment.row, columns=tuple(named[name] for name in fragment.columns))


class _Search:
    """One pass over the queries of a fragment, from the first to its result."""

    def __init__(self, fragment: Fragment, inputs: Mapping[str, SqlSource], trapped: frozenset[str]) -> None:
        self._fragment = fragment
        self._inputs = inputs
        self._trapped = trapped
        self._movable: dict[str, Movable] = {}
        self._places: Counter[str] = Counter()
        for query in fragment.queries:
            self._places += reading_places(query)

    def found(self) -> Movables:
        reasons: list[tuple[OpId, str]] = []
        for query in self._fragment.queries:
            over = self._below(query)
            if not over:
                continue
            try:
                self._check(query, over)
                selected = self._selected(query, over[0])
            except Refused as refused:
                reasons += [(source.step.id, f"{_place(query)}: {refused}") for source in over]
                continue
            inside = (self._movable[t].inside for t in query.tables if t in self._movable)
            own = frozenset({query.relation}).union(*inside)
            self._movable[query.relation] = Movable(query, selected, over, own)
        all_ = self._movable.values()
        last = (m for m in all_ if not any(m.query.relation in o.inside for o in all_ if o is not m))
        return Movables(tuple(last), tuple(dict.fromkeys(reasons)))

    def _below(self, query: Query) -> tuple[SqlSource, ...]:
        """The sources that the query reads, itself or through movable queries."""
        over: list[SqlSource] = []
        for relation in query.tables:
            if relation in self._inputs:
                over.append(self._inputs[relation])
            elif relation in self._movable:
                over += self._movable[relation].sources
        return tuple(over)

    def _check(self, query: Query, over: tuple[SqlSource, ...]) -> None:
        """Raises `Refused` for what its text does not tell."""
        for relation in query.tables:
            if relation not in self._inputs and relation not in self._movable:
                raise Refused("it reads rows that come from elsewhere as well")
            if self._places[relation] > 1:
                raise Refused("it reads the same rows in several places")
        if len({source.connection for source in over}) > 1:
            raise Refused("it reads from several connections")
        if not query.portable:
            raise Refused("it compares texts with numbers, which databases do in their own ways")
        if query.late or not query.row.complete:
            raise Refused("its columns are known only when the program runs")
        steps = [source.step for source in over]
        first = steps[0]
        if self._fragment.trap is not None or any(step.trap is not None for step in steps):
            raise Refused("it has a trap of its own, or its rows have one")
        workflows = {self._fragment.workflow, *(step.workflow for step in steps)}
        if len(workflows) > 1 and workflows & self._trapped:
            raise Refused("its failures and those of its rows go to different handlers")
        if self._fragment.policy not in (NO_POLICY, first.policy) or any(
            step.policy != first.policy for step in steps
        ):
            raise Refused("it has a policy of its own")

    def _selected(self, query: Query, source: SqlSource) -> Selected:
        dialect, fragment = source.dialect, self._fragment
        relations = {name: self._relation(name, source) for name in query.tables}
        selected = translated(parsed(query.sql), relations, dialect, query.row)
        if query is fragment.result:
            selected = selected.only(fragment.columns) if fragment.columns is not None else selected
            selected = selected.first(fragment.limit) if fragment.limit is not None else selected
        return selected

    def _relation(self, name: str, source: SqlSource) -> Relation:
        if name in self._inputs:
            return self._inputs[name].relation
        return self._movable[name].selected.relation(source.dialect)


def _place(query: Query) -> str:
    return query.path.rpartition("/")[2]

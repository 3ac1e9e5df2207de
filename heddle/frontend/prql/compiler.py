"""The query compiler: requests in, SQL with row types or diagnostics out.

Queries go into modules of up to `BATCH_QUERIES`, because prqlc resolves its standard library anew for each
module; then each query gets its SQL over the keys of what it reads, and DataFusion types it. A query that
fails is taken out of its module, and what reads it goes on with an open row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from heddle.core.planning import idle_planner
from heddle.core.types import OPEN_ROW, RowType
from heddle.diagnostics import Diagnostic
from heddle.frontend.prql.edited import unspelled
from heddle.frontend.prql.finish import Finisher
from heddle.frontend.prql.module import module_statements
from heddle.frontend.prql.native import Doc, PrqlFailure, resolve, with_stack_for
from heddle.frontend.prql.prepared import Preparation, Prepared, waits_for_rows
from heddle.frontend.prql.request import CompiledQuery, FailedQuery, QueryRequest, QueryResult
from heddle.frontend.prql.resolved import WILDCARD, relation_of

BATCH_QUERIES: Final = 24
"""Past this the cost of resolving a module grows faster than its queries."""

BATCH_FAILURES_MAX: Final = 2
"""After so many failures in one module its queries are compiled one by one, so that the cost stays linear."""


class QueryCompiler:
    """Compiles the queries of one program; holds the rows of the relations that are known so far."""

    def __init__(self) -> None:
        self._rows: dict[str, RowType] = {}
        self._orders: dict[str, tuple[tuple[str, bool], ...]] = {}

    def declare(self, key: str, row: RowType) -> None:
        """A relation that is no query: a step's output, a table of the program, an error frame."""
        self._rows[key] = row
        self._orders.pop(key, None)

    def compile(self, requests: Sequence[QueryRequest]) -> dict[str, QueryResult]:
        """Results by key. A request may read declared relations and the requests before it."""
        characters = sum(len(request.query.text) for request in requests)
        return with_stack_for(characters, lambda: self._compile(requests)) if requests else {}

    def _compile(self, requests: Sequence[QueryRequest]) -> dict[str, QueryResult]:
        results: dict[str, QueryResult] = {}
        preparation = Preparation(self._columns_of, self._prefix_columns)
        with idle_planner() as planner:
            finisher = Finisher(self._rows, self._orders, planner)
            run = _Run(self, preparation, finisher, results)
            for number, request in enumerate(requests, start=2):
                run.add(request, number)
            run.flush()
        return {request.key: results[request.key] for request in requests}

    def settle(self, key: str, result: QueryResult) -> None:
        """Make a result known to the queries that read it."""
        if isinstance(result, CompiledQuery):
            self.declare(key, result.row)
            self._orders[key] = result.order_by
        else:
            self.declare(key, OPEN_ROW)

    def resolve(self, members: Sequence[Prepared]) -> tuple[Doc, dict[str, str]]:
        """The module of some queries, resolved, and what its names stand for. Raises `PrqlFailure`."""
        statements, names = module_statements(members, self._rows)
        module: Doc = json.loads(unspelled(resolve(statements)))
        return module, names

    def is_open(self, key: str) -> bool:
        return self._rows.get(key, OPEN_ROW).open

    def columns(self, prepared: Prepared) -> tuple[str, ...]:
        """The names of the columns of all that a query reads."""
        rows = [self._rows.get(key, OPEN_ROW) for key in prepared.reads]
        return tuple(dict.fromkeys(name for row in rows for name in row.names))

    def _columns_of(self, key: str) -> tuple[str, ...] | None:
        row = self._rows.get(key, OPEN_ROW)
        return None if row.open else row.names

    def _prefix_columns(self, prefix: Prepared) -> tuple[str, ...] | None:
        """The columns of the first part of a pipeline."""
        try:
            module, names = self.resolve([prefix])
        except PrqlFailure:
            return None
        query = relation_of(module, prefix.request.key, names)
        if query is None or WILDCARD in query["relation"]["columns"]:
            return None
        return tuple(dict.fromkeys(c["Single"] for c in query["relation"]["columns"] if c["Single"]))


class _Run:
    """One call of `compile`: collects queries into modules and compiles them in order.

    `_open` are the queries of the module at hand that may have open rows. What reads one of them goes into
    the next module, because prqlc gives an open relation every column that another query asks of it.
    """

    def __init__(
        self,
        compiler: QueryCompiler,
        preparation: Preparation,
        finisher: Finisher,
        results: dict[str, QueryResult],
    ) -> None:
        self._compiler = compiler
        self._preparation = preparation
        self._finisher = finisher
        self._results = results
        self._batch: list[Prepared] = []
        self._open: set[str] = set()

    def add(self, request: QueryRequest, number: int) -> None:
        if request.lookups or waits_for_rows(request.query.text):
            self.flush()
        prepared = self._preparation.prepare(request, number)
        if not isinstance(prepared, Prepared):
            self._fail(request, prepared)
            return
        if prepared.stands_alone:
            self.flush()
            self._single(prepared)
            return
        if self._open.intersection(prepared.reads):
            self.flush()
        own = {member.request.key for member in self._batch}
        if any(self._compiler.is_open(key) for key in prepared.reads if key not in own):
            self._open.add(request.key)
        self._batch.append(prepared)
        if len(self._batch) >= BATCH_QUERIES:
            self.flush()

    def flush(self) -> None:
        batch, self._batch = self._batch, []
        self._open.clear()
        for _ in range(BATCH_FAILURES_MAX):
            if len(batch) <= 1:
                break
            try:
                module, names = self._compiler.resolve(batch)
            except PrqlFailure as failure:
                culprit = next((m for m in batch if m.number == failure.first.source), None)
                if culprit is None:
                    break
                batch = [m for m in batch if m is not culprit]
                self._single_out(culprit, batch)
            else:
                self._take(batch, module, names)
                return
        for member in batch:
            self._single(member)

    def _single_out(self, culprit: Prepared, others: list[Prepared]) -> None:
        """Compile a failing query by itself, once the queries that it reads have been."""
        keys = {m.request.key for m in others}
        if keys.intersection(culprit.reads):
            before = [m for m in others if m.number < culprit.number]
            others[:] = [m for m in others if m.number > culprit.number]
            self._batch = before
            self.flush()
        self._single(culprit)

    def _take(self, members: Iterable[Prepared], module: Doc, names: dict[str, str]) -> None:
        for member in members:
            query = relation_of(module, member.request.key, names)
            assert query is not None, "the module's main reads every query"
            result = self._finisher.finish(member, query, partial(self._fresh, member))
            self._settle(member.request.key, result)

    def _fresh(self, member: Prepared) -> Doc | None:
        """The query's document once more, unchanged, to look for the part that has wrong types."""
        try:
            module, names = self._compiler.resolve([member])
        except PrqlFailure:
            return None
        return relation_of(module, member.request.key, names)

    def _single(self, member: Prepared) -> None:
        try:
            module, names = self._compiler.resolve([member])
        except PrqlFailure as failure:
            self._retry(member, failure)
        else:
            self._take([member], module, names)

    def _retry(self, member: Prepared, failure: PrqlFailure) -> None:
        """A text that parses and is not legal may be one of the forms that the normaliser knows."""
        again = self._preparation.prepare_normalised(member)
        if again is not None:
            try:
                module, names = self._compiler.resolve([again])
            except PrqlFailure:
                pass
            else:
                self._take([again], module, names)
                return
        from heddle.frontend.prql.messages import Messages

        messages = Messages(member.request, member.text, self._compiler.columns(member))
        self._fail(member.request, messages.of_failure(failure))

    def _fail(self, request: QueryRequest, diagnostics: tuple[Diagnostic, ...]) -> None:
        self._settle(request.key, FailedQuery(request.key, diagnostics))

    def _settle(self, key: str, result: QueryResult) -> None:
        self._results[key] = result
        self._compiler.settle(key, result)

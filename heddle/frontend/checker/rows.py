"""Rows: every draft gets its row type, in waves that keep compiled queries together.

Drafts whose inputs have rows are typed at once; queries that wait only for each other go to the compiler in
one call, because a call costs far more than a query. A query waits for no step whose signature tells its row.
A failed query has an open row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, assert_never

from heddle.core.types import OPEN_ROW, RowType
from heddle.diagnostics import Diagnostic, Source
from heddle.frontend.catalog import AskedCall, Catalog
from heddle.frontend.checker.calls import ResolvedCall
from heddle.frontend.checker.drafts import (
    AnyDraft,
    BrokenDraft,
    ErrorsDraft,
    Lookup,
    QueryDraft,
    StepDraft,
    TableDraft,
    inputs_of,
)
from heddle.frontend.checker.edges import check_edge, output_row
from heddle.frontend.checker.parameters import Parameters
from heddle.frontend.checker.report import Report
from heddle.frontend.prql.compiler import QueryCompiler
from heddle.frontend.prql.request import CompiledQuery, FailedQuery, LookupRequest, QueryRequest
from heddle.frontend.typed import ERROR_FRAME_ROW, ResourceUse

OF_OPEN_ROWS: Final = frozenset({"HD0615", "HD0616"})
"""Findings that say that the columns of an input are not known."""

OF_UNSETTLED_ROWS: Final = frozenset({"HD0603", "HD0615", "HD0620"})
"""Mistakes that known columns may clear up: which side of a join has a name, what both sides have."""


class RowTyping:
    """`ordered` are the typed drafts as they were given, but inputs before readers: the order of the
    program's nodes."""

    def __init__(
        self,
        source: Source,
        catalog: Catalog,
        compiler: QueryCompiler,
        parameters: Parameters,
        report: Report,
        resources: Mapping[str, ResourceUse],
    ) -> None:
        self._source = source
        self._catalog = catalog
        self._compiler = compiler
        self._parameters = parameters
        self._report = report
        self._resources = resources
        self._by_key: dict[str, AnyDraft] = {}
        self.ordered: list[AnyDraft] = []

    def type_all(self, drafts: Iterable[AnyDraft]) -> None:
        every = list(drafts)
        readers: dict[AnyDraft, list[AnyDraft]] = {draft: [] for draft in every}
        waiting: dict[AnyDraft, int] = {}
        ready: deque[AnyDraft] = deque()
        queries: deque[QueryDraft] = deque()

        def add(draft: AnyDraft) -> None:
            if isinstance(draft, QueryDraft):
                queries.append(draft)
            else:
                ready.append(draft)

        def release(draft: AnyDraft) -> None:
            for reader in readers[draft]:
                waiting[reader] -= 1
                if waiting[reader] == 0:
                    add(reader)

        for draft in every:
            self._by_key[draft.key] = draft
            if (told := _told_row(draft)) is not None:
                self._compiler.declare(draft.key, told)
            awaited = _awaited(draft)
            waiting[draft] = len(awaited)
            for input_draft in awaited:
                readers[input_draft].append(draft)
            if not awaited:
                add(draft)
        while ready or queries:
            while ready:
                draft = ready.popleft()
                self._type(draft)
                release(draft)
            wave: list[QueryDraft] = []
            while queries:
                wave.append(queries.popleft())
                release(wave[-1])
            self._compile(wave)
        self.ordered = _inputs_first(every)

    def _type(self, draft: AnyDraft) -> None:
        match draft:
            case TableDraft(columns=columns):
                draft.row = columns
            case ErrorsDraft():
                draft.row = ERROR_FRAME_ROW
            case BrokenDraft():
                draft.row, draft.poisoned = OPEN_ROW, True
            case StepDraft():
                self._type_step(draft)
            case QueryDraft():
                raise AssertionError("queries are compiled in waves")
            case _:
                assert_never(draft)
        if draft.row is None or _told_row(draft) is not None:
            return
        row = draft.row
        if isinstance(draft, StepDraft) and draft.lookup is not None and draft.lookup.joined:
            from heddle.frontend.checker.lookups import with_hidden
            from heddle.frontend.checker.probes import requested

            row = with_hidden(row, requested(draft, self._parameters, self._report))
        self._compiler.declare(draft.key, row)

    def _type_step(self, draft: StepDraft) -> None:
        call, below = draft.call, draft.piped
        input_row = below.row if below is not None else None
        if draft.lookup is None:
            draft.parameters = self._parameters.bind(call, input_row)
        elif call.signature.input_mode == "required":
            input_row = call.signature.input
        if below is not None:
            check_edge(draft, below, self._report)
        inferred: RowType | None = None
        if call.signature.output_from_config:
            inferred = OPEN_ROW if call.broken else self._infer(draft, input_row)
            draft.call = self._settled(call)
        draft.row = output_row(call, input_row, inferred)
        if below is not None and call.signature.lookup and not call.broken:
            self._pipe_lookup(draft, inferred)
        if draft.row is not None and draft.row.open:
            draft.poisoned = call.broken or (below is not None and below.poisoned)
            waits = inferred is not None and self._parameters.lack_in(call.settings.values)
            draft.unsettled = waits or (below is not None and below.unsettled)

    def _pipe_lookup(self, draft: StepDraft, inferred: RowType | None) -> None:
        """A step that is called with the distinct values of what is piped into it."""
        call = draft.call
        values = {b.name: b.column for b in draft.parameters if b.source == "piped"}
        row = inferred if inferred is not None else call.signature.output
        if values and row is not None:
            draft.lookup = Lookup(joined=False, row=row, values=values)
            return
        self._report.error(
            "HD0314",
            call.span,
            f"`{call.callee}` takes nothing of the rows that are piped into it: its statement names none of "
            "their columns",
            "start a statement with it, or name a column as `@column` in its statement",
        )

    def _settled(self, call: ResolvedCall) -> ResolvedCall:
        """A pass-through step whose settings say its columns is as one that declares them: what it does not
        write travels past it."""
        signature = call.signature
        if not signature.passthrough or call.broken:
            return call
        values = self._parameters.with_values(call.settings.values)
        own, problem = self._catalog.infer_row(call.module, signature, values, None)
        if problem is not None or not own.complete:
            return call
        return replace(call, signature=replace(signature, output=own, output_from_config=False))

    def _infer(self, draft: StepDraft, input_row: RowType | None) -> RowType:
        call, settings = draft.call, draft.call.settings
        values = self._parameters.with_values(settings.values)
        asked = AskedCall(
            call.callee,
            {slot: self._resources[name] for slot, name in call.resources.items() if name in self._resources},
            self._parameters.values(),
            self._source,
            call.span,
            settings.spans,
        )
        row, problem = self._catalog.infer_row(call.module, call.signature, values, input_row, asked)
        draft.remembered = self._catalog.is_remembered(call.module, call.signature, values, input_row)
        if problem is not None:
            span = settings.spans.get(problem.setting or "", call.origin)
            self._report.extend(
                [
                    Diagnostic(
                        problem.code, problem.severity, problem.message, self._source, span, problem.help
                    )
                ]
            )
        return row

    def _compile(self, wave: list[QueryDraft]) -> None:
        requests = [
            QueryRequest(
                key=draft.key,
                query=draft.query,
                source=self._source,
                input=draft.piped.key if draft.piped is not None else None,
                relations={name: other.key for name, other in draft.relations.items()},
                lookups=self._lookups(draft),
            )
            for draft in wave
        ]
        results = self._compiler.compile(requests)
        for draft in wave:
            self._take(draft, results[draft.key])

    def _lookups(self, draft: QueryDraft) -> dict[str, LookupRequest]:
        below = (d for d in inputs_of(draft) if isinstance(d, StepDraft) and d.lookup is not None)
        return {
            d.key: d.lookup.request for d in below if d.lookup is not None and d.lookup.request is not None
        }

    def _take(self, draft: QueryDraft, result: CompiledQuery | FailedQuery) -> None:
        poisoned = any(below.poisoned for below in inputs_of(draft))
        unsettled = any(below.unsettled for below in inputs_of(draft))
        if isinstance(result, FailedQuery):
            draft.row, draft.poisoned = OPEN_ROW, True
            if unsettled and all(d.code in OF_UNSETTLED_ROWS for d in result.diagnostics):
                draft.unsettled, draft.late, draft.read = True, True, inputs_of(draft)
                return
        self._report.extend(d for d in result.diagnostics if not (poisoned and d.code in OF_OPEN_ROWS))
        if isinstance(result, FailedQuery):
            return
        draft.unsettled = unsettled and result.row.open
        draft.poisoned = poisoned and result.row.open
        draft.sql, draft.prql, draft.row = result.sql, result.prql, result.row
        draft.late, draft.reduces = result.late, result.reduces
        if self._lookups(draft):
            from heddle.frontend.checker.probes import take_probes

            take_probes(draft, result, self._by_key, self._parameters, self._report)
        draft.read = tuple(self._by_key[key] for key in result.inputs)
        draft.lineage = {name: (self._by_key[key], column) for name, (key, column) in result.lineage.items()}
        draft.demands = {self._by_key[key]: names for key, names in result.demands.items()}


def _told_row(draft: AnyDraft) -> RowType | None:
    """The row of a step that its signature tells, whatever is piped into it."""
    if not isinstance(draft, StepDraft) or draft.call.broken or draft.lookup is not None:
        return None
    signature = draft.call.signature
    if signature.passthrough or signature.output_from_config or signature.lookup:
        return None
    return signature.output if signature.output is not None and signature.output.complete else None


def _awaited(draft: AnyDraft) -> list[AnyDraft]:
    """The inputs that have to be typed before it: a query needs no more of them than their rows."""
    return [d for d in inputs_of(draft) if not isinstance(draft, QueryDraft) or _told_row(d) is None]


def _inputs_first(drafts: Iterable[AnyDraft]) -> list[AnyDraft]:
    """The drafts, and what else they read, in their order, but each behind its inputs."""
    placed: dict[AnyDraft, None] = {}
    stack = list(drafts)[::-1]
    while stack:
        draft = stack[-1]
        read = draft.read if isinstance(draft, QueryDraft) else ()
        missing = [below for below in (*inputs_of(draft), *read) if below not in placed]
        if missing:
            stack.extend(reversed(missing))
            continue
        placed[stack.pop()] = None
    return list(placed)

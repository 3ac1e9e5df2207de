"""Probes: what a compiled query says of its lookups becomes drafts, and inputs of the lookups' steps.

orders ─┬─ probe ─── customer ─┐
        └─────────────────────[query]
"""

from __future__ import annotations

from collections.abc import Mapping

from heddle.core.types import Column, type_name, widens
from heddle.diagnostics import Label
from heddle.frontend.checker.drafts import AnyDraft, QueryDraft, StepDraft, inputs_of
from heddle.frontend.checker.lookups import request_of, unreturned
from heddle.frontend.checker.parameters import Parameters
from heddle.frontend.checker.report import Report
from heddle.frontend.prql.request import CompiledQuery, LookupRequest, Probe


def _lookups_of(draft: QueryDraft) -> list[StepDraft]:
    """The steps that are called with values of the query's own rows."""
    return [
        below
        for below in inputs_of(draft)
        if isinstance(below, StepDraft) and below.lookup is not None and below.lookup.joined
    ]


def requested(draft: StepDraft, parameters: Parameters, report: Report) -> LookupRequest:
    """What a lookup in a join is called with; its row is known. A step whose rows cannot be told apart is
    reported."""
    lookup = draft.lookup
    assert lookup is not None and draft.row is not None, "a lookup gives rows"
    if lookup.request is None:
        lookup.row = draft.row
        lookup.request = request_of(draft.call, parameters.declared)
        lost = unreturned(draft.call, draft.row) if not draft.row.open else ()
        if lost:
            report.error(
                "HD0625",
                draft.span,
                f"`{draft.call.callee}` does not return `{lost[0]}`, so nothing tells which rows of the "
                "join its rows belong to",
                'return the column too, or declare the step with rows="map"',
            )
    return lookup.request


def take_probes(
    draft: QueryDraft,
    result: CompiledQuery,
    by_key: dict[str, AnyDraft],
    parameters: Parameters,
    report: Report,
) -> None:
    """Make the probes of a query, and let its lookups read them."""
    waiting = {below.key: below for below in _lookups_of(draft)}
    for probe in result.probes:
        made = _draft(draft, probe, by_key)
        draft.probes += (made,)
        for key, values in probe.keys.items():
            step = waiting.pop(key)
            _connect(step, made, values, parameters, report)
            assert step.lookup is not None, "it was asked for as one"
            step.lookup.compared = probe.compared[key]
    for step in waiting.values():  # nothing of the rows gives a value, so it is a source like any other
        step.lookup = None
        step.parameters = parameters.bind(step.call, None)


def _draft(draft: QueryDraft, probe: Probe, by_key: dict[str, AnyDraft]) -> QueryDraft:
    query = probe.query
    path = f"{draft.path}/{query.key.rpartition('_')[2]}"
    made = QueryDraft(draft.number, path, draft.span, draft.query, None, {}, draft.trap, draft.policy)
    made.relation = query.key
    made.row, made.poisoned, made.unsettled = query.row, draft.poisoned, draft.unsettled
    made.sql, made.prql, made.late, made.reduces = query.sql, query.prql, query.late, query.reduces
    made.read = tuple(by_key[key] for key in query.inputs)
    made.lineage = {name: (by_key[key], column) for name, (key, column) in query.lineage.items()}
    made.demands = {by_key[key]: names for key, names in query.demands.items()}
    by_key[query.key] = made
    return made


def _connect(
    step: StepDraft, probe: QueryDraft, values: Mapping[str, str], parameters: Parameters, report: Report
) -> None:
    assert step.lookup is not None and probe.row is not None, "a query gives rows"
    step.piped, step.lookup.values = probe, values
    step.parameters = parameters.bind(step.call, None, values)
    for wanted in step.call.signature.input if step.call.signature.input_mode == "required" else ():
        given = probe.row.column(values[wanted.name])
        if given is not None:
            _check_type(step, given, wanted, probe, report)


def _check_type(step: StepDraft, given: Column, wanted: Column, probe: QueryDraft, report: Report) -> None:
    if given.type is None or wanted.type is None or widens(given.type, wanted.type):
        return
    report.error(
        "HD0502",
        step.span,
        f"`{step.call.callee}` takes `{wanted.name}` as {type_name(wanted.type)}, and the rows that it is "
        f"joined to have it as {type_name(given.type)}",
        f'convert it before: col.cast {{ {wanted.name}: "{type_name(wanted.type)}" }}',
        labels=(Label(probe.span, "it is joined here"),),
    )

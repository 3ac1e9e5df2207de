"""Edges: what flows into a step against what it takes, and what flows out of it.

Columns match by name, more are allowed, and only casts that lose nothing are inserted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from heddle.core.types import OPEN_ROW, Column, RowType, type_name, widens
from heddle.diagnostics import Label, did_you_mean
from heddle.frontend.checker.calls import ResolvedCall
from heddle.frontend.checker.drafts import (
    AnyDraft,
    BrokenDraft,
    ErrorsDraft,
    QueryDraft,
    StepDraft,
    TableDraft,
)
from heddle.frontend.checker.report import Report


def check_edge(draft: StepDraft, below: AnyDraft, report: Report) -> None:
    """Report every column that the step needs and does not get, or gets with a type that does not fit."""
    given = below.row
    if given is None:
        return
    for wanted in draft.call.signature.input:
        column = given.column(wanted.name)
        if column is not None:
            _check_column(draft.call, column, wanted, below, report)
        elif not given.open:
            report.error(
                "HD0501",
                draft.call.span,
                f"`{draft.call.callee}` needs a column `{wanted}`, and {described(below)} gives none",
                _missing_help(wanted.name, given),
            )
    _check_key(draft, given, below, report)


def output_row(call: ResolvedCall, given: RowType | None, inferred: RowType | None) -> RowType | None:
    """The row of what comes out; `inferred` is what the config says of it."""
    signature = call.signature
    if inferred is not None:
        if signature.input_mode == "optional" and given is not None:
            return replace(given.with_columns(inferred.columns), open=given.open or inferred.open)
        return inferred
    if signature.output is None:
        return None
    if signature.passthrough:
        below = given if given is not None else OPEN_ROW
        return replace(below.with_columns(signature.output.columns), open=below.open or signature.output.open)
    return signature.output


def described(draft: AnyDraft) -> str:
    """A relation for messages."""
    match draft:
        case TableDraft():
            return "the table"
        case QueryDraft():
            return "the query before it"
        case ErrorsDraft():
            return "the error frame"
        case StepDraft(call=call):
            return f"`{call.callee}`"
        case BrokenDraft():
            return "what is before it"
        case _:
            assert_never(draft)


def origin(draft: AnyDraft, column: str) -> tuple[AnyDraft, str]:
    """The relation that made a column, and its name there: queries and steps may pass it through."""
    while True:
        match draft:
            case QueryDraft(lineage=lineage) if column in lineage:
                draft, column = lineage[column]
            case StepDraft(piped=below, call=call) if below is not None and _passes(call, column):
                draft = below
            case _:
                return draft, column


def _passes(call: ResolvedCall, column: str) -> bool:
    signature = call.signature
    own = signature.output is None or signature.output.column(column) is not None
    return signature.passthrough and not signature.output_from_config and not own


def _check_column(
    call: ResolvedCall, column: Column, wanted: Column, below: AnyDraft, report: Report
) -> None:
    if column.type is None or wanted.type is None or widens(column.type, wanted.type):
        return
    made_by, name = origin(below, column.name)
    found, expected = type_name(column.type, column.nullable), type_name(wanted.type, wanted.nullable)
    report.error(
        "HD0502",
        call.span,
        f"`{call.callee}` takes `{wanted.name}` as {expected}, and {described(below)} gives {found}",
        f'convert it before: col.cast {{ {wanted.name}: "{type_name(wanted.type)}" }}',
        labels=(Label(made_by.span, f"`{name}` comes from here"),),
    )


def _check_key(draft: StepDraft, given: RowType, below: AnyDraft, report: Report) -> None:
    key, span = draft.policy.key, draft.key_span
    if key is None or span is None or given.open or given.column(key) is not None:
        return
    report.error(
        "HD0507",
        span,
        f"the policy's key is the column `{key}`, and {described(below)} gives none",
        _missing_help(key, given, rename=False),
    )


def _missing_help(name: str, given: RowType, *, rename: bool = True) -> str:
    near = did_you_mean(name, given.names)
    if near is None:
        return f"it has: {', '.join(given.names) or 'no columns'}"
    cure = f'? rename it before: col.rename {{ {near}: "{name}" }}' if rename else "?"
    return f"did you mean `{near}`{cure}"

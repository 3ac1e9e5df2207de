"""Edges: what flows into a step against what it takes, and what flows out of it.

Columns match by name, more are allowed, and only casts that lose nothing are inserted.
"""

from __future__ import annotations

from dataclasses import replace

from heddle.core.types import OPEN_ROW, RowType, type_name, widens
from heddle.diagnostics import did_you_mean
from heddle.frontend.checker.calls import ResolvedCall
from heddle.frontend.checker.report import Report


def check_edge(call: ResolvedCall, given: RowType, report: Report) -> None:
    """Report every column that the step needs and does not get, or gets with a type that does not fit."""
    for wanted in call.signature.input:
        column = given.column(wanted.name)
        if column is None:
            if not given.open:
                report.error(
                    "HD0501",
                    call.span,
                    f"`{call.callee}` needs a column `{wanted}`, and its input has none",
                    _missing_help(wanted.name, given),
                )
            continue
        if column.type is None or wanted.type is None or widens(column.type, wanted.type):
            continue
        found, expected = type_name(column.type, column.nullable), type_name(wanted.type, wanted.nullable)
        report.error(
            "HD0502",
            call.span,
            f"`{call.callee}` takes `{wanted.name}` as {expected}, and its input has {found}",
            f'convert it before: col.cast {{ {wanted.name}: "{type_name(wanted.type)}" }}',
        )


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


def _missing_help(name: str, given: RowType) -> str:
    near = did_you_mean(name, given.names)
    if near is not None:
        return f'did you mean `{near}`? rename it before: col.rename {{ {near}: "{name}" }}'
    return f"the input has: {', '.join(given.names) or 'no columns'}"

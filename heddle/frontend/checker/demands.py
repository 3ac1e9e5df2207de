"""Demands: what readers need from an open row flows back to the source that has it.

`kafka.consume` without a schema gives an open row; a query that selects `user_id` and a step that takes
it as an int make it a row with `user_id: int` in it, which the source can then decode and check.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from heddle.core.types import Column, RowType
from heddle.frontend.checker.drafts import AnyDraft, QueryDraft, StepDraft

Wanted = dict[str, pa.DataType | None]


def settle_open_rows(ordered: Iterable[AnyDraft]) -> None:
    """Give open sources the columns that are demanded of them, and queries the types found that way."""
    drafts = list(ordered)
    wanted: dict[AnyDraft, Wanted] = {draft: {} for draft in drafts}
    for draft in reversed(drafts):
        match draft:
            case StepDraft(piped=None):
                if draft.row is not None and draft.row.open:
                    draft.row = _with_wanted(draft.row, wanted[draft])
            case StepDraft(piped=below) if below is not None:
                _ask_of_input(draft, below, wanted)
            case QueryDraft():
                draft.row = _typed(draft.row, wanted[draft])
                _ask_through_query(draft, wanted)
            case _:
                continue


def _ask_of_input(draft: StepDraft, below: AnyDraft, wanted: dict[AnyDraft, Wanted]) -> None:
    for column in draft.call.signature.input:
        _ask(wanted[below], column.name, column.type)
    signature = draft.call.signature
    if signature.passthrough and signature.output is not None:
        for name, type_ in wanted[draft].items():
            if signature.output.column(name) is None:
                _ask(wanted[below], name, type_)


def _ask_through_query(draft: QueryDraft, wanted: dict[AnyDraft, Wanted]) -> None:
    for name, type_ in wanted[draft].items():
        if name in draft.lineage:
            below, column = draft.lineage[name]
            _ask(wanted[below], column, type_)
    for below, names in draft.demands.items():
        for name in sorted(names):
            _ask(wanted[below], name, None)


def _ask(wanted: Wanted, name: str, type_: pa.DataType | None) -> None:
    if wanted.get(name) is None:
        wanted[name] = type_


def _with_wanted(row: RowType, wanted: Wanted) -> RowType:
    new = [Column(name, type_) for name, type_ in wanted.items() if row.column(name) is None]
    return _typed(row.with_columns(new), wanted) or row


def _typed(row: RowType | None, wanted: Wanted) -> RowType | None:
    """The row with types where it had none."""
    if row is None:
        return None
    found = [
        Column(c.name, wanted[c.name], c.nullable)
        for c in row
        if c.type is None and wanted.get(c.name) is not None
    ]
    return row.with_columns(found) if found else row

"""Demands: what readers need from an open row flows back to the source that has it.

`kafka.consume` without a schema gives an open row; a query that selects `user_id` and a step that takes
it as an int make it a row with `user_id: int` in it, which the source can then decode and check.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa

from heddle.core.record import record
from heddle.core.types import OPEN_ROW, Column, RowType, type_name, widens
from heddle.diagnostics import Label, Span
from heddle.frontend.checker.drafts import AnyDraft, QueryDraft, StepDraft
from heddle.frontend.checker.report import Report


@record(frozen=True, slots=True)
class Demand:
    """A column that is needed, as `type` once a step has said so; `callee` and `place` are that step's.
    `required`: some step takes no nulls in it."""

    type: pa.DataType | None
    callee: str
    place: Span
    required: bool = False


_UNTYPED = Demand(None, "", Span(0, 0))


def settle_open_rows(ordered: Iterable[AnyDraft], report: Report) -> None:
    """Give open sources the columns that are demanded of them, and queries the types found that way."""
    _Settling(list(ordered), report).settle()


class _Settling:
    def __init__(self, drafts: list[AnyDraft], report: Report) -> None:
        self._drafts = drafts
        self._report = report
        self._wanted: dict[AnyDraft, dict[str, Demand]] = {draft: {} for draft in drafts}

    def settle(self) -> None:
        for draft in reversed(self._drafts):
            match draft:
                case StepDraft(piped=None):
                    if draft.row is not None and draft.row.open:
                        draft.row = self._with_wanted(draft, draft.row)
                    if draft.row is not None and _decodes(draft):
                        draft.row = self._with_required(draft, draft.row)
                case StepDraft(piped=below) if below is not None:
                    self._ask_of_input(draft, below)
                case QueryDraft():
                    draft.row = self._typed(draft, draft.row)
                    self._ask_through_query(draft)
                case _:
                    continue

    def _ask_of_input(self, draft: StepDraft, below: AnyDraft) -> None:
        signature = draft.call.signature
        for column in signature.input:
            demand = Demand(column.type, draft.call.callee, draft.call.span, not column.nullable)
            self._ask(below, column.name, demand)
        if signature.passthrough and signature.output is not None and not signature.output_from_config:
            for name, demand in self._wanted[draft].items():
                if signature.output.column(name) is None:
                    self._ask(below, name, demand)

    def _ask_through_query(self, draft: QueryDraft) -> None:
        for name, demand in self._wanted[draft].items():
            if name in draft.lineage:
                below, column = draft.lineage[name]
                self._ask(below, column, demand)
        for below, names in draft.demands.items():
            for name in sorted(names):
                self._ask(below, name, _UNTYPED)

    def _ask(self, below: AnyDraft, name: str, new: Demand) -> None:
        wanted = self._wanted[below]
        known = wanted.get(name, _UNTYPED)
        wanted[name] = self._both(below, name, known, new)

    def _both(self, below: AnyDraft, name: str, first: Demand, second: Demand) -> Demand:
        """The narrower of two demands, which satisfies both."""
        narrower = self._narrower(below, name, first, second)
        required = first.required or second.required
        return narrower if narrower.required == required else replace(narrower, required=required)

    def _narrower(self, below: AnyDraft, name: str, first: Demand, second: Demand) -> Demand:
        if second.type is None or first.type is None:
            return first if second.type is None else second
        if widens(first.type, second.type):
            return first
        if not widens(second.type, first.type) and _is_unknown(below, name):
            self._conflict(name, *sorted((first, second), key=lambda demand: demand.place))
        return second

    def _conflict(self, name: str, first: Demand, second: Demand) -> None:
        self._report.error(
            "HD0506",
            second.place,
            f"`{second.callee}` takes `{name}` as {type_name(second.type)}, and `{first.callee}` takes the "
            f"same column as {type_name(first.type)}",
            f'convert it before one of them: col.cast {{ {name}: "{type_name(second.type)}" }}',
            labels=(Label(first.place, f"`{name}` is {type_name(first.type)} here"),),
        )

    def _with_wanted(self, draft: AnyDraft, row: RowType) -> RowType:
        new = [Column(name, d.type) for name, d in self._wanted[draft].items() if row.column(name) is None]
        return self._typed(draft, row.with_columns(new)) or row

    def _with_required(self, draft: AnyDraft, row: RowType) -> RowType:
        """What a step takes no nulls in, a stream's record must have: without it it is no row."""
        wanted = self._wanted[draft]
        found = [
            replace(c, nullable=False)
            for c in row
            if c.nullable and c.name in wanted and wanted[c.name].required
        ]
        return row.with_columns(found) if found else row

    def _typed(self, draft: AnyDraft, row: RowType | None) -> RowType | None:
        """The row with types where it had none."""
        if row is None:
            return None
        wanted = self._wanted[draft]
        found = [
            Column(c.name, wanted[c.name].type, c.nullable)
            for c in row
            if c.type is None and c.name in wanted and wanted[c.name].type is not None
        ]
        return row.with_columns(found) if found else row


def _decodes(draft: StepDraft) -> bool:
    """Whether the program's own demands say what a record must have, and not a schema that is written."""
    return draft.call.signature.stream and draft.call.settings.values.get("schema") is None


def _is_unknown(draft: AnyDraft, name: str) -> bool:
    """Whether demands are all that is known of a column; else the edges have been checked."""
    column = (draft.row or OPEN_ROW).column(name)
    return column is None or column.type is None

"""Scopes: one workflow or handler while its statements are read, and what its names stand for so far."""

from __future__ import annotations

from dataclasses import field
from typing import TypeVar

from heddle.core.record import record
from heddle.diagnostics import Label, Span
from heddle.frontend import ast
from heddle.frontend.checker.declarations import Declarations
from heddle.frontend.checker.drafts import AnyDraft, BrokenDraft, ErrorsDraft, StepDraft
from heddle.frontend.checker.report import Report
from heddle.frontend.typed import Policy

D = TypeVar("D", bound=AnyDraft)


@record(slots=True, eq=False)
class Scope:
    """`assigned` are its names so far, `later` all that its statements assign, `last` its unnamed ends.

    `program` are the drafts of the whole program, in the order they were made; `drafts` are its own.
    """

    name: str
    is_handler: bool
    policy: Policy
    statements: tuple[ast.Statement, ...]
    program: list[AnyDraft]
    later: dict[str, Span] = field(init=False)
    assigned: dict[str, AnyDraft] = field(default_factory=dict)
    outputs: list[tuple[ast.Ident, AnyDraft, str | None]] = field(default_factory=list)
    last: list[tuple[AnyDraft, Span]] = field(default_factory=list)
    drafts: list[AnyDraft] = field(default_factory=list)
    _errors: ErrorsDraft | None = None

    def __post_init__(self) -> None:
        self.later = {}
        for statement in self.statements:
            if statement.name is not None:
                self.later.setdefault(statement.name.text, statement.name.span)

    @property
    def next_number(self) -> int:
        return len(self.program)

    @property
    def errors(self) -> ErrorsDraft | None:
        """The error frame, once something has asked for it."""
        return self._errors

    def add(self, draft: D) -> D:
        self.program.append(draft)
        self.drafts.append(draft)
        return draft

    def broken(self, span: Span, piped: AnyDraft | None = None) -> BrokenDraft:
        """What stands for a relation that a reported mistake leaves unknown."""
        inputs = () if piped is None else (piped,)
        return self.add(BrokenDraft(self.next_number, self.name, span, inputs))

    def error_frame(self, span: Span) -> ErrorsDraft:
        """The one relation that every `*` of a handler reads."""
        if self._errors is None:
            self._errors = self.add(ErrorsDraft(self.next_number, f"{self.name}/errors", span))
        return self._errors

    def assign(
        self, name: ast.Ident, draft: AnyDraft, doc: str | None, found: Declarations, report: Report
    ) -> None:
        text = name.text
        if text == "input":
            report.error(
                "HD0308",
                name.span,
                "`input` cannot be assigned: it is what is piped into a query",
                "choose another name",
            )
        elif text in self.assigned:
            report.error(
                "HD0307",
                name.span,
                f"`{text}` is assigned twice in `{self.name}`",
                "choose another name for one of them",
                labels=(Label(self.later[text], "assigned here first"),),
            )
        else:
            self.outputs.append((name, draft, doc))
            self.assigned[text] = draft
            self._check_assigned(name, draft, found, report)

    def _check_assigned(self, name: ast.Ident, draft: AnyDraft, found: Declarations, report: Report) -> None:
        if name.text in found.steps:
            report.error(
                "HD0305",
                name.span,
                f"`{name.text}` is the name of a step already",
                "choose another name",
                labels=(Label(found.steps[name.text].name.span, "declared here"),),
            )
        if isinstance(draft, StepDraft) and draft.gives_nothing:
            report.error(
                "HD0318",
                name.span,
                f"`{draft.call.callee}` gives no rows, so there is nothing to call `{name.text}`",
                "name what goes into it, in a statement of its own",
            )
            self.assigned[name.text] = self.broken(name.span)

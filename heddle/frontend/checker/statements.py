"""Statements: each workflow's and handler's pipelines become drafts, with every name resolved.

A name means, in this order: an assignment of this workflow, a bound step, `Workflow.output`. Workflows may
refer to each other in any order, so their statements are read when first needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from heddle.diagnostics import Label, Span
from heddle.frontend import ast
from heddle.frontend.checker.calls import Calls, ResolvedCall
from heddle.frontend.checker.declarations import Declarations
from heddle.frontend.checker.drafts import (
    AnyDraft,
    BrokenDraft,
    ErrorsDraft,
    QueryDraft,
    StepDraft,
    TableDraft,
)
from heddle.frontend.checker.policies import Policies, for_step
from heddle.frontend.checker.report import Report, near_or_known, rename_fix
from heddle.frontend.checker.tables import read_table
from heddle.frontend.prql.names import relation_names
from heddle.frontend.typed import Policy


@dataclass
class Scope:
    """One workflow or handler while its statements are read.

    `assigned` are its names so far, `later` those still to come, `last` its unnamed ends.
    """

    name: str
    is_handler: bool
    policy: Policy
    later: dict[str, Span]
    assigned: dict[str, AnyDraft] = field(default_factory=dict)
    outputs: list[tuple[ast.Ident, AnyDraft, str | None]] = field(default_factory=list)
    last: list[tuple[AnyDraft, Span]] = field(default_factory=list)
    drafts: list[AnyDraft] = field(default_factory=list)
    errors: ErrorsDraft | None = None


class Statements:
    """Reads workflows and handlers; `drafts` are all of the program in the order they were made."""

    def __init__(self, found: Declarations, calls: Calls, policies: Policies, report: Report) -> None:
        self._found = found
        self._calls = calls
        self._policies = policies
        self._report = report
        self._reading: list[str] = []
        self._shared: dict[str, AnyDraft] = {}
        self.scopes: dict[str, Scope] = {}
        self.drafts: list[AnyDraft] = []

    def read_all(self) -> None:
        for name in self._found.workflows:
            self._workflow(name)
        for handler in self._found.handlers.values():
            self._handler(handler)
        for name, step in self._found.steps.items():
            if name not in self._found.used:
                self._calls.bound_step(name, head=True)
            self.trap_name(step.stage.trap)

    def trap_name(self, trap: ast.Ident | None) -> str | None:
        if trap is None:
            return None
        if trap.text not in self._found.handlers:
            if trap.text not in self._found.broken:
                known = self._found.handlers
                hint = near_or_known(trap.text, known, "handlers")
                fix = rename_fix(trap.text, known, trap.span)
                self._report.error("HD0304", trap.span, f"there is no handler `{trap.text}`", hint, fix=fix)
            return None
        self._found.used.add(trap.text)
        return trap.text

    def _workflow(self, name: str) -> Scope:
        if name in self.scopes:
            return self.scopes[name]
        item = self._found.workflows[name]
        for trigger in item.triggers:
            self._unsupported(trigger.span, "triggers (`on …`) are", "run the workflow with `heddle run`")
        policy = self._policies.over(item.policy, self._policies.defaults)
        scope = Scope(name, False, policy, _assignments(item.statements))
        self._reading.append(name)
        self._statements(item.statements, scope)
        self._reading.pop()
        self.scopes[name] = scope
        return scope

    def _handler(self, item: ast.HandlerItem) -> None:
        if item.trap is not None:
            self._report.error(
                "HD0312",
                item.trap.span,
                f"the handler `{item.name.text}` has a trap of its own",
                "take it out: a failure in a handler goes to the trap of the workflow",
            )
        scope = Scope(item.name.text, True, self._policies.defaults, _assignments(item.statements))
        self._statements(item.statements, scope)
        self.scopes[item.name.text] = scope

    def _statements(self, statements: tuple[ast.Statement, ...], scope: Scope) -> None:
        for number, statement in enumerate(statements, start=1):
            self._statement(statement, number, scope)

    def _statement(self, statement: ast.Statement, number: int, scope: Scope) -> None:
        place = f"{scope.name}/{number}"
        current = self._head(statement.head, f"{place}.0", scope)
        for index, stage in enumerate(statement.stages, start=1):
            current = self._stage(stage, f"{place}.{index}", current, scope)
        if statement.name is not None:
            self._assign(statement.name, current, statement.doc, scope)
        elif statement.stages or not isinstance(statement.head.operation, ast.Call):
            scope.last.append((current, statement.span))
        else:
            scope.last.append((current, statement.head.span))

    def _assign(self, name: ast.Ident, draft: AnyDraft, doc: str | None, scope: Scope) -> None:
        text = name.text
        if text == "input":
            self._report.error(
                "HD0308",
                name.span,
                "`input` cannot be assigned: it is what is piped into a query",
                "choose another name",
            )
            return
        if text in scope.assigned:
            first = next(i.span for i, _, _ in scope.outputs if i.text == text)
            label = Label(first, "assigned here first")
            self._report.error(
                "HD0307",
                name.span,
                f"`{text}` is assigned twice in `{scope.name}`",
                "choose another name for one of them",
                labels=(label,),
            )
            return
        if text in self._found.steps or text in self._found.workflows:
            kind = "step" if text in self._found.steps else "workflow"
            self._report.error(
                "HD0305", name.span, f"`{text}` is the name of a {kind} already", "choose another name"
            )
        scope.assigned[text] = draft
        scope.outputs.append((name, draft, doc))

    def _head(self, stage: ast.Stage, path: str, scope: Scope) -> AnyDraft:
        operation = stage.operation
        match operation:
            case ast.TableLiteral():
                rows, row = read_table(operation, self._report)
                return self._add(TableDraft(self._number(), path, operation.span, rows, row), scope)
            case ast.ErrorFrame():
                return self._error_frame(operation, path, scope)
            case ast.Query():
                return self._query(stage, operation, path, None, scope)
            case ast.Call(module=None) if operation.name.text == "input":
                self._report.error(
                    "HD0308",
                    operation.span,
                    "`input` is what is piped into a query; nothing is piped into the head",
                    "start with `*` in a handler, or with a name",
                )
                return self._broken(path, operation.span, scope)
            case ast.Call() if (named := self._named(operation, scope)) is not None:
                self._no_settings(operation, stage)
                return named
            case ast.Call():
                return self._call(stage, operation, path, None, scope)
            case _:
                return self._block(operation, path, None, scope)

    def _stage(self, stage: ast.Stage, path: str, piped: AnyDraft, scope: Scope) -> AnyDraft:
        operation = stage.operation
        match operation:
            case ast.Query():
                return self._query(stage, operation, path, piped, scope)
            case ast.Call():
                return self._call(stage, operation, path, piped, scope)
            case ast.Match() | ast.Loop() | ast.Atomic() | ast.Expect():
                return self._block(operation, path, piped, scope)
            case ast.TableLiteral() | ast.ErrorFrame():
                return self._broken(path, operation.span, scope, piped)
            case _:
                assert_never(operation)

    def _named(self, call: ast.Call, scope: Scope) -> AnyDraft | None:
        """The relation that a call at a head stands for when it is no step."""
        if call.module is not None:
            if call.module.text in self._found.workflows and call.module.text not in self._found.modules:
                return self._other_output(call.module, call.name, scope)
            return None
        name = call.name
        if name.text in scope.assigned:
            return scope.assigned[name.text]
        if name.text in scope.later and name.text not in self._found.steps:
            self._before_assignment(name.text, name.span, scope)
            return self._broken("", name.span, scope)
        return None

    def _other_output(self, workflow: ast.Ident, output: ast.Ident, scope: Scope) -> AnyDraft:
        span = workflow.span.to(output.span)
        if workflow.text == scope.name and not scope.is_handler:
            if output.text in scope.assigned:
                return scope.assigned[output.text]
            self._before_assignment(output.text, output.span, scope)
            return self._broken("", span, scope)
        if workflow.text in self._reading:
            circle = " -> ".join([*self._reading[self._reading.index(workflow.text) :], workflow.text])
            self._report.error(
                "HD0316",
                span,
                f"workflows wait for each other: {circle}",
                "move what both need into a workflow of its own",
            )
            return self._broken("", span, scope)
        other = self._workflow(workflow.text)
        if output.text not in other.assigned:
            known = other.assigned
            hint = near_or_known(output.text, known, "outputs")
            fix = rename_fix(output.text, known, output.span)
            self._report.error(
                "HD0301",
                output.span,
                f"the workflow `{workflow.text}` has no output `{output.text}`",
                hint,
                fix=fix,
            )
            return self._broken("", span, scope)
        return other.assigned[output.text]

    def _before_assignment(self, name: str, span: Span, scope: Scope) -> None:
        if name in scope.later:
            label = Label(scope.later[name], "assigned here")
            self._report.error(
                "HD0306",
                span,
                f"`{name}` is used before it is assigned",
                "move the statement that assigns it up",
                labels=(label,),
            )
        else:
            hint = near_or_known(name, scope.assigned, "names")
            self._report.error(
                "HD0301",
                span,
                f"there is no relation `{name}`",
                hint,
                fix=rename_fix(name, scope.assigned, span),
            )

    def _query(
        self, stage: ast.Stage, query: ast.Query, path: str, piped: AnyDraft | None, scope: Scope
    ) -> AnyDraft:
        relations: dict[str, AnyDraft] = {}
        for name, span in relation_names(query):
            if name == "input" or name in relations:
                if name == "input" and piped is None:
                    self._report.error(
                        "HD0308",
                        span,
                        "nothing is piped into this query, so it has no `input`",
                        "start from a name: `from orders`",
                    )
                    piped = self._broken("", span, scope)
                continue
            relations[name] = self._relation(name, span, scope)
        policy = self._policies.over(stage.policy, scope.policy)
        trap = self.trap_name(stage.trap)
        draft = QueryDraft(self._number(), f"{path}:query", query.span, query, piped, relations, trap, policy)
        return self._add(draft, scope)

    def _relation(self, name: str, span: Span, scope: Scope) -> AnyDraft:
        """What a name after from, join or append stands for."""
        if name in scope.assigned:
            return scope.assigned[name]
        if name in self._found.steps:
            return self._shared_step(name, span, scope)
        workflow, dot, output = name.partition(".")
        if dot and workflow in self._found.workflows:
            middle = span.start + len(workflow)
            first = ast.Ident(workflow, Span(span.start, middle))
            return self._other_output(first, ast.Ident(output, Span(middle + 1, span.end)), scope)
        if name in scope.later:
            self._before_assignment(name, span, scope)
        elif name not in self._found.broken:
            known = [*scope.assigned, *self._found.steps, *self._outputs_of_others(scope)]
            hint = near_or_known(name, known, "relations")
            self._report.error(
                "HD0301", span, f"there is no relation `{name}`", hint, fix=rename_fix(name, known, span)
            )
        return self._broken("", span, scope)

    def _outputs_of_others(self, scope: Scope) -> list[str]:
        return [
            f"{name}.{statement.name.text}"
            for name, item in self._found.workflows.items()
            if name != scope.name
            for statement in item.statements
            if statement.name is not None
        ]

    def _shared_step(self, name: str, span: Span, scope: Scope) -> AnyDraft:
        self._found.used.add(name)
        if name not in self._shared:
            item = self._found.steps[name]
            plain = ast.Call(None, ast.Ident(name, item.name.span), None, None, item.name.span)
            call = self._calls.resolve(plain, head=True)
            if call is not None and call.signature.input_mode == "required":
                self._report.error(
                    "HD0313",
                    span,
                    f"`{name}` needs rows piped into it, so it cannot be joined",
                    "pipe rows into it, and join its result",
                )
                call = None
            if call is None:
                self._shared[name] = self._broken("", span, scope)
            else:
                policy = for_step(
                    self._policies.over(call.policy, self._policies.defaults), call.policy, call.signature
                )
                trap = self.trap_name(call.trap)
                draft = StepDraft(self._number(), f"step/{name}", call.span, call, None, trap, policy, True)
                self._shared[name] = self._add(draft, scope)
        return self._shared[name]

    def _call(
        self, stage: ast.Stage, call: ast.Call, path: str, piped: AnyDraft | None, scope: Scope
    ) -> AnyDraft:
        if (
            piped is not None
            and call.module is None
            and (call.name.text in scope.assigned or call.name.text in scope.later)
        ):
            self._report.error(
                "HD0309",
                call.span,
                f"`{call.name.text}` is an assigned name, and stands in mid-chain",
                f"start a statement with it, or join it: (from input | join {call.name.text} (==…))",
            )
            return self._broken(path, call.span, scope, piped)
        resolved = self._calls.resolve(call, head=piped is None)
        trap = self.trap_name(stage.trap)
        if resolved is None or not self._fits(resolved, piped):
            return self._broken(path, call.span, scope, piped)
        own = stage.policy or resolved.policy
        policy = self._policies.over(resolved.policy, scope.policy)
        policy = for_step(self._policies.over(stage.policy, policy), own, resolved.signature)
        if trap is None and resolved.trap is not None:
            trap = self.trap_name(resolved.trap)
        takes = piped if resolved.signature.input_mode != "none" else None
        draft = StepDraft(
            self._number(), f"{path}:{resolved.callee}", call.span, resolved, takes, trap, policy, False
        )
        return self._add(draft, scope)

    def _fits(self, call: ResolvedCall, piped: AnyDraft | None) -> bool:
        if piped is None and call.signature.input_mode == "required":
            self._report.error(
                "HD0313",
                call.span,
                f"`{call.callee}` needs rows piped into it",
                "pipe something into it: `orders | …`",
            )
            return False
        if piped is not None and call.signature.input_mode == "none":
            self._report.error(
                "HD0314",
                call.span,
                f"`{call.callee}` makes its own rows, and takes none",
                "start a statement with it",
            )
            return False
        if isinstance(piped, StepDraft) and piped.call.signature.output is None:
            self._report.error(
                "HD0318",
                call.span,
                f"`{piped.call.callee}` before it gives no rows",
                "end the pipeline there",
            )
            return False
        return True

    def _error_frame(self, operation: ast.ErrorFrame, path: str, scope: Scope) -> AnyDraft:
        if not scope.is_handler:
            self._report.error(
                "HD0311",
                operation.span,
                "`*` is the rows that failed, and only a handler has them",
                "start with a name, a table, a query or a step",
            )
            return self._broken(path, operation.span, scope)
        if scope.errors is None:
            scope.errors = ErrorsDraft(self._number(), f"{scope.name}/errors", operation.span)
            self._add(scope.errors, scope)
        return scope.errors

    def _block(
        self,
        operation: ast.Match | ast.Loop | ast.Atomic | ast.Expect,
        path: str,
        piped: AnyDraft | None,
        scope: Scope,
    ) -> AnyDraft:
        name = type(operation).__name__.lower()
        self._unsupported(operation.span, f"`{name}` is", "it parses and formats, but does not run yet")
        return self._broken(path, operation.span, scope, piped)

    def _unsupported(self, span: Span, what: str, help: str) -> None:
        self._report.error("HD0320", span, f"{what} unsupported", help)

    def _no_settings(self, call: ast.Call, stage: ast.Stage) -> None:
        if call.config is not None or call.ref is not None:
            self._report.error(
                "HD0309",
                call.span,
                f"`{call.callee}` is an assigned name, and takes no settings",
                "take them out",
            )
        self.trap_name(stage.trap)

    def _broken(self, path: str, span: Span, scope: Scope, piped: AnyDraft | None = None) -> BrokenDraft:
        draft = BrokenDraft(self._number(), path, span, () if piped is None else (piped,))
        self._add(draft, scope)
        return draft

    def _number(self) -> int:
        return len(self.drafts)

    def _add(self, draft: AnyDraft, scope: Scope) -> AnyDraft:
        self.drafts.append(draft)
        scope.drafts.append(draft)
        return draft


def _assignments(statements: tuple[ast.Statement, ...]) -> dict[str, Span]:
    names: dict[str, Span] = {}
    for statement in statements:
        if statement.name is not None:
            names.setdefault(statement.name.text, statement.name.span)
    return names

"""Statements: each workflow's and handler's pipelines become drafts, with every name resolved.

Workflows are read in an order in which each comes after those whose outputs it reads.
"""

from __future__ import annotations

from typing import assert_never

from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.checker.calls import Calls, ResolvedCall
from heddle.frontend.checker.declarations import Declarations
from heddle.frontend.checker.drafts import AnyDraft, QueryDraft, StepDraft, TableDraft
from heddle.frontend.checker.mentions import Mentions, reading_order
from heddle.frontend.checker.policies import Policies, Written
from heddle.frontend.checker.relations import Relations
from heddle.frontend.checker.report import Report, circle
from heddle.frontend.checker.scope import Scope
from heddle.frontend.checker.tables import read_table


class Statements:
    """`drafts` are all of the program in the order they were made, `scopes` its workflows and handlers."""

    def __init__(
        self, found: Declarations, mentions: Mentions, calls: Calls, policies: Policies, report: Report
    ) -> None:
        self._found = found
        self._mentions = mentions
        self._calls = calls
        self._policies = policies
        self._report = report
        self._relations = Relations(found, calls, policies, report)
        self.drafts: list[AnyDraft] = []

    @property
    def scopes(self) -> dict[str, Scope]:
        return self._relations.scopes

    def read_all(self) -> None:
        order, circles = reading_order(self._found.workflows, self._mentions)
        for span, names in circles:
            self._report.error(
                "HD0316",
                span,
                f"workflows wait for each other: {circle(names)}",
                "move what both need into a workflow of its own",
            )
        for name in order:
            self._workflow(self._found.workflows[name])
        for handler in self._found.handlers.values():
            self._handler(handler)
        for name, step in self._found.steps.items():
            self._relations.trap(step.stage.trap)
            self._policies.check(step.stage.policy)
            if not self._calls.is_bound(name):
                self._calls.check_unused(name)

    def trap(self, trap: ast.Ident | None) -> str | None:
        return self._relations.trap(trap)

    def _workflow(self, item: ast.WorkflowItem) -> None:
        for trigger in item.triggers:
            self._unsupported(trigger.span, "triggers (`on …`) are", "run the workflow with `heddle run`")
        policy = self._policies.over(item.policy, self._policies.defaults)
        self._statements(Scope(item.name.text, False, policy, item.statements, self.drafts))

    def _handler(self, item: ast.HandlerItem) -> None:
        if item.trap is not None:
            self._report.error(
                "HD0312",
                item.trap.span,
                f"the handler `{item.name.text}` has a trap of its own",
                "take it out: a failure in a handler goes to the trap of the workflow",
            )
        self._statements(Scope(item.name.text, True, self._policies.defaults, item.statements, self.drafts))

    def _statements(self, scope: Scope) -> None:
        for number, statement in enumerate(scope.statements, start=1):
            place = f"{scope.name}/{number}"
            current = self._head(statement.head, f"{place}.0", scope)
            for index, stage in enumerate(statement.stages, start=1):
                current = self._stage(stage, f"{place}.{index}", current, scope)
            if statement.name is None:
                scope.last.append((current, statement.span))
            else:
                scope.assign(statement.name, current, statement.doc, self._found, self._report)
        self.scopes[scope.name] = scope

    def _head(self, stage: ast.Stage, path: str, scope: Scope) -> AnyDraft:
        operation = stage.operation
        trap = self._trap(stage, scope)
        match operation:
            case ast.TableLiteral():
                self._check_bare("a table", operation.span, stage)
                rows, row = read_table(operation, self._report)
                return scope.add(TableDraft(scope.next_number, path, operation.span, rows, row))
            case ast.ErrorFrame():
                self._check_bare("the error frame", operation.span, stage)
                return self._error_frame(operation.span, scope)
            case ast.Query():
                return self._query(stage, operation, path, trap, None, scope)
            case ast.Call(module=None) if operation.name.text == "input":
                self._check_bare("`input`", operation.span, stage, operation)
                return self._input_at_head(operation.span, scope)
            case ast.Call() if (named := self._relations.at_head(operation, scope)) is not None:
                self._check_bare(f"`{operation.callee}`", operation.span, stage, operation)
                return named
            case ast.Call():
                return self._call(stage, operation, path, trap, None, scope)
            case _:
                return self._block(operation, None, scope)

    def _stage(self, stage: ast.Stage, path: str, piped: AnyDraft, scope: Scope) -> AnyDraft:
        operation = stage.operation
        trap = self._trap(stage, scope)
        if isinstance(piped, StepDraft) and piped.gives_nothing:
            self._report.error(
                "HD0318",
                operation.span,
                f"`{piped.call.callee}` gives no rows, so nothing can follow it",
                "end the pipeline there, or put this before it",
            )
            piped = scope.broken(operation.span)
        match operation:
            case ast.Query():
                return self._query(stage, operation, path, trap, piped, scope)
            case ast.Call():
                return self._call(stage, operation, path, trap, piped, scope)
            case ast.Match() | ast.Loop() | ast.Atomic() | ast.Expect():
                return self._block(operation, piped, scope)
            case ast.TableLiteral() | ast.ErrorFrame():
                return scope.broken(operation.span, piped)
            case _:
                assert_never(operation)

    def _trap(self, stage: ast.Stage, scope: Scope) -> str | None:
        """The handler that the stage names."""
        trap = self._relations.trap(stage.trap)
        if trap is not None and trap == scope.name and stage.trap is not None:
            self._report.error(
                "HD0312",
                stage.trap.span,
                f"the handler `{trap}` would handle its own failure",
                "take it out: a failure in a handler goes to the trap of the workflow",
            )
        return trap

    def _query(
        self,
        stage: ast.Stage,
        query: ast.Query,
        path: str,
        trap: str | None,
        piped: AnyDraft | None,
        scope: Scope,
    ) -> AnyDraft:
        names = self._mentions.relations[query.span]
        if piped is None and scope.is_handler and (not names or any(name == "input" for name, _ in names)):
            piped = scope.error_frame(query.span)
        path = f"{path}:query"
        relations: dict[str, AnyDraft] = {}
        for name, span in names:
            if self._relations.hyphenated(query, span, scope):
                return scope.broken(query.span, piped)
            if name == "input":
                piped = piped or self._no_input(span, scope)
            elif name not in relations:
                relations[name] = self._relations.in_query(query, name, span, path, trap, scope)
        policy = self._policies.over(stage.policy, scope.policy)
        return scope.add(
            QueryDraft(scope.next_number, path, query.span, query, piped, relations, trap, policy)
        )

    def _no_input(self, span: Span, scope: Scope) -> AnyDraft:
        self._report.error(
            "HD0308",
            span,
            "nothing is piped into this query, so it has no `input`",
            "start from a name: `from orders`",
        )
        return scope.broken(span)

    def _call(
        self,
        stage: ast.Stage,
        call: ast.Call,
        path: str,
        trap: str | None,
        piped: AnyDraft | None,
        scope: Scope,
    ) -> AnyDraft:
        resolved = None
        if piped is not None and self._is_relation(call, scope):
            self._name_in_mid_chain(call, scope)
        elif call.module is None and call.name.text not in self._found.steps:
            known = self._relations.names(scope) if piped is None else None
            from heddle.frontend.checker.unknown import unknown_name

            unknown_name(call.name, self._found, known, self._report)
        else:
            resolved = self._calls.resolve(call, head=piped is None)
        own: Written = stage.policy
        if resolved is None or not self._fits(resolved, piped):
            self._policies.check(own)
            return scope.broken(call.span, piped)
        policy = self._policies.of_step((*resolved.policies, own), scope.policy, resolved.signature)
        trap = trap or self._relations.trap(resolved.trap)
        takes = piped if resolved.signature.input_mode != "none" else None
        name = f"{path}:{resolved.callee}"
        draft = StepDraft(scope.next_number, name, call.span, resolved, takes, trap, policy)
        if own is not None and self._policies.says_key(own):
            draft.key_span = own.span
        return scope.add(draft)

    def _is_relation(self, call: ast.Call, scope: Scope) -> bool:
        if call.module is not None:
            return call.module.text in self._found.workflows
        name = call.name.text
        return name not in self._found.steps and (name in scope.assigned or name in scope.later)

    def _name_in_mid_chain(self, call: ast.Call, scope: Scope) -> None:
        kind = "an output" if call.module is not None else "an assigned name"
        self._report.error(
            "HD0309",
            call.span,
            f"`{call.callee}` is {kind}, and stands in mid-chain",
            f"start a statement with it, or join it: (from input | join {call.callee} (==…))",
        )

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
        return True

    def _input_at_head(self, span: Span, scope: Scope) -> AnyDraft:
        """`input` in a handler is the error frame; elsewhere it is nothing at a head."""
        if scope.is_handler:
            return scope.error_frame(span)
        self._report.error(
            "HD0308",
            span,
            "`input` is what is piped into a query; nothing is piped into the head",
            "start with a name, a table, a query or a step",
        )
        return scope.broken(span)

    def _error_frame(self, span: Span, scope: Scope) -> AnyDraft:
        if scope.is_handler:
            return scope.error_frame(span)
        self._report.error(
            "HD0311",
            span,
            "`*` is the rows that failed, and only a handler has them",
            "start with a name, a table, a query or a step",
        )
        return scope.broken(span)

    def _block(
        self, operation: ast.Match | ast.Loop | ast.Atomic | ast.Expect, piped: AnyDraft | None, scope: Scope
    ) -> AnyDraft:
        match operation:
            case ast.Match():
                name, cure = "match", "write a statement with a filter for each arm"
            case ast.Loop():
                name, cure = "loop", "write the turns one after the other, or loop inside a step"
            case ast.Atomic():
                name, cure = "atomic", "leave it out: each stage is tried again by itself"
            case ast.Expect():
                name, cure = "expect", "compare what `heddle run` writes"
            case _:
                assert_never(operation)
        self._unsupported(operation.span, f"`{name}` is", cure)
        return scope.broken(operation.span, piped)

    def _unsupported(self, span: Span, what: str, help: str) -> None:
        self._report.error("HD0320", span, f"{what} unsupported", help)

    def _check_bare(self, what: str, span: Span, stage: ast.Stage, call: ast.Call | None = None) -> None:
        """A head that only stands for rows: nothing about it can be set, fail or be held."""
        self._policies.check(stage.policy)
        parts = (
            ("settings", call is not None and call.config is not None),
            ("resource", call is not None and call.ref is not None),
            ("trap", stage.trap is not None),
            ("policy", stage.policy is not None),
        )
        extra = [part for part, there in parts if there]
        if extra:
            message = f"{what} stands for rows, and takes no {' and no '.join(extra)}"
            self._report.error("HD0309", span, message, "write it at the step or query that makes the rows")

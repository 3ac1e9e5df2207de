"""Relations: what a name at a head, or behind from, join and append, stands for.

In this order: an assignment of this workflow, a bound step, `Workflow.output`. A bound step without free
parameters is evaluated once for the program; one that takes values or columns from the rows that it is joined
to is a lookup, and belongs to its query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from heddle.diagnostics import Fix, Label, Span
from heddle.frontend import ast
from heddle.frontend.checker.calls import Calls, ResolvedCall
from heddle.frontend.checker.declarations import Declarations
from heddle.frontend.checker.drafts import AnyDraft, Lookup, StepDraft
from heddle.frontend.checker.policies import Policies
from heddle.frontend.checker.report import Report
from heddle.frontend.checker.scope import Scope

_HYPHENATED = r"[A-Za-z_]\w*(?:-\w+)+"


class Relations:
    """`scopes` are the workflows that were read so far."""

    def __init__(self, found: Declarations, calls: Calls, policies: Policies, report: Report) -> None:
        self._found = found
        self._calls = calls
        self._policies = policies
        self._report = report
        self._shared: dict[str, AnyDraft] = {}
        self.scopes: dict[str, Scope] = {}

    def trap(self, trap: ast.Ident | None) -> str | None:
        if trap is None or trap.text in self._found.handlers:
            return None if trap is None else trap.text
        from heddle.frontend.checker.unknown import unknown_handler

        unknown_handler(trap, self._found, self._report)
        return None

    def at_head(self, call: ast.Call, scope: Scope) -> AnyDraft | None:
        """The relation that a call at a head names, None when it is a step."""
        if call.module is not None:
            if call.module.text in self._found.workflows:
                return self._output(call.module.text, call.name, call.module.span.to(call.name.span), scope)
            return None
        name = call.name
        if name.text in scope.assigned:
            return scope.assigned[name.text]
        if name.text in scope.later and name.text not in self._found.steps:
            self._too_early(name.text, name.span, scope)
            return scope.broken(name.span)
        return None

    def in_query(
        self, query: ast.Query, name: str, span: Span, path: str, trap: str | None, scope: Scope
    ) -> AnyDraft:
        """What a name in a relation position of a query stands for; `trap` is the query's."""
        if name in scope.assigned:
            return scope.assigned[name]
        if name in self._found.steps:
            return self._step(query, name, span, path, trap, scope)
        workflow, dot, output = name.partition(".")
        if dot and workflow in self._found.workflows:
            place = Span(span.end - len(output), span.end)
            return self._output(workflow, ast.Ident(output, place), span, scope)
        if name in scope.later:
            self._too_early(name, span, scope)
        elif not self._found.broken.intersection((name, workflow)):
            self._unknown(name, span, scope)
        return scope.broken(span)

    def hyphenated(self, query: ast.Query, span: Span, scope: Scope) -> bool:
        """Report a name with hyphens, which PRQL reads as a subtraction."""
        text, start = query.text, span.start - query.body.start
        written = re.compile(_HYPHENATED).match(text, start)
        if written is None or not self._means(written[0], scope):
            return False
        name, place = written[0], Span(span.start, span.start + len(written[0]))
        self._report.error(
            "HD0301",
            place,
            f"`{name}` is read as a subtraction",
            f"put the name between backticks: `` `{name}` ``",
            fix=Fix("put it between backticks", ((place, f"`{name}`"),)),
        )
        return True

    def _means(self, name: str, scope: Scope) -> bool:
        return name in scope.assigned or name in scope.later or name in self._found.steps

    def names(self, scope: Scope) -> Iterator[str]:
        """All names that mean something in a query."""
        outputs = (
            f"{name}.{output}"
            for name, other in self.scopes.items()
            if name != scope.name and not other.is_handler
            for output in other.assigned
        )
        return chain(scope.assigned, self._found.steps, outputs)

    def _output(self, workflow: str, output: ast.Ident, span: Span, scope: Scope) -> AnyDraft:
        own = workflow == scope.name and not scope.is_handler
        other = scope if own else self.scopes.get(workflow)
        if other is None:  # the workflows wait for each other, which is reported
            return scope.broken(span)
        if output.text in other.assigned:
            return other.assigned[output.text]
        if own and output.text in scope.later:
            self._too_early(output.text, output.span, scope)
        elif output.text not in self._found.broken:
            message = f"the workflow `{workflow}` has no output `{output.text}`"
            known, name = other.assigned, output.text
            cure = None if known else f"name one: `> {name}` at the end of a statement"
            self._report.unknown("HD0301", output.span, message, known, "outputs", name=name, otherwise=cure)
        return scope.broken(span)

    def _too_early(self, name: str, span: Span, scope: Scope) -> None:
        self._report.error(
            "HD0306",
            span,
            f"`{name}` is used before it is assigned",
            "move the statement that assigns it up",
            labels=(Label(scope.later[name], "assigned here"),),
        )

    def _unknown(self, name: str, span: Span, scope: Scope) -> None:
        kind = self._found.kind_of(name)
        if kind == "a workflow":
            message = f"`{name}` is a workflow, and gives no rows"
            outputs = [f"{name}.{o}" for o in self.scopes[name].assigned] if name in self.scopes else []
            known = ", ".join(outputs) or f"{name}.…"
            self._report.error("HD0301", span, message, f"read one of its outputs: {known}")
            return
        message = f"`{name}` is {kind}, not a relation" if kind else f"there is no relation `{name}`"
        nothing = next(self.names(scope), None) is None
        cure = f"assign it (`… > {name}`), or declare it (`step {name} = …`)" if nothing else None
        names = self.names(scope)
        self._report.unknown("HD0301", span, message, names, "relations", name=name, otherwise=cure)

    def _step(
        self, query: ast.Query, name: str, span: Span, path: str, trap: str | None, scope: Scope
    ) -> AnyDraft:
        call = self._source(name, span)
        if call is None:
            return scope.broken(span)
        from heddle.frontend.checker.lookups import free_parameters, is_joined

        takes_rows = call.signature.input_mode == "required"
        if (takes_rows or free_parameters(call)) and is_joined(query, span):
            if not self._can_look_up(call, span):
                return scope.broken(span)
            draft = self._draft(call, f"{path}/{name}", scope)
            draft.trap = draft.trap or trap
            draft.lookup = Lookup(joined=True)
            return scope.add(draft)
        if takes_rows:
            self._report.error(
                "HD0313",
                span,
                f"`{name}` needs rows piped into it",
                "pipe something into it: `orders | …`",
            )
            return scope.broken(span)
        if name not in self._shared:
            self._shared[name] = scope.add(self._draft(call, f"step/{name}", scope))
        return self._shared[name]

    def _source(self, name: str, span: Span) -> ResolvedCall | None:
        item = self._found.steps[name]
        plain = ast.Call(None, ast.Ident(name, item.name.span), None, None, item.name.span)
        return self._calls.resolve(plain, head=True)

    def _can_look_up(self, call: ResolvedCall, span: Span) -> bool:
        """Whether a step can be called with values of the rows that it is joined to; else it is reported."""
        signature, name = call.signature, call.callee
        if signature.input_mode != "required":
            if signature.lookup or not signature.runnable:
                return True
            self._report.error(
                "HD0625",
                span,
                f"`{name}` would take values from the rows that it is joined to, and "
                f"`{call.module.path}` does not say that its step can",
                "declare the step with lookup=True, or take the parameters out of its statement",
            )
        elif signature.input.open or not signature.input.columns:
            self._report.error(
                "HD0313",
                span,
                f"`{name}` needs rows piped into it, so it cannot be joined",
                "pipe rows into it, and join its result; or name the columns that it takes in a Table class: "
                "then it is called with those of the rows that it is joined to",
            )
        elif signature.output is None or signature.effect:
            self._report.error(
                "HD0313",
                span,
                f"`{name}` writes what is piped into it, so it cannot be joined",
                "write the rows in a statement of its own",
            )
        else:
            return True
        return False

    def _draft(self, call: ResolvedCall, path: str, scope: Scope) -> StepDraft:
        policy = self._policies.of_step(call.policies, self._policies.defaults, call.signature)
        trap = self.trap(call.trap)
        return StepDraft(scope.next_number, path, call.span, call, None, trap, policy)

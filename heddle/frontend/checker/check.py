"""`check`: the phases in order, and the typed program at their end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import assert_never

from heddle.core.record import record
from heddle.core.signature import ModuleSignature
from heddle.core.types import OPEN_ROW
from heddle.diagnostics import Diagnostic, has_errors
from heddle.frontend import ast
from heddle.frontend.catalog import Catalog
from heddle.frontend.checker.calls import Calls
from heddle.frontend.checker.declarations import Declarations, declare, report_unused
from heddle.frontend.checker.demands import settle_open_rows
from heddle.frontend.checker.drafts import (
    AnyDraft,
    BrokenDraft,
    ErrorsDraft,
    QueryDraft,
    StepDraft,
    TableDraft,
)
from heddle.frontend.checker.parameters import Parameters
from heddle.frontend.checker.policies import Policies
from heddle.frontend.checker.report import Report
from heddle.frontend.checker.rows import RowTyping
from heddle.frontend.checker.statements import Scope, Statements
from heddle.frontend.prql.compiler import QueryCompiler
from heddle.frontend.typed import (
    ERROR_FRAME_ROW,
    NO_POLICY,
    ErrorFrameNode,
    Handler,
    Node,
    NodeId,
    Output,
    Policy,
    QueryInput,
    QueryNode,
    StepCall,
    StepNode,
    TableNode,
    TypedProgram,
    Workflow,
)


@record(frozen=True, slots=True)
class CheckOutcome:
    """`program` is None when there is an error."""

    program: TypedProgram | None
    diagnostics: tuple[Diagnostic, ...]


def check(
    program: ast.Program,
    catalog: Catalog,
    compiler: QueryCompiler,
    *,
    strict_layout: bool = False,
    defaults: Policy = NO_POLICY,
) -> CheckOutcome:
    """Type a program. Layout findings come from the parser; `strict_layout` is its option. `defaults` is the
    project's policy for all stages."""
    report = Report(program.source)
    found = declare(program, catalog, report)
    policies = Policies(found.policies, report, defaults)
    parameters = Parameters(catalog, report)
    for workflow in found.workflows.values():
        parameters.declare(workflow)
    calls = Calls(found, catalog, report)
    calls.read_resources()
    statements = Statements(found, calls, policies, report)
    statements.read_all()
    typing = RowTyping(program.source, catalog, compiler, parameters, report)
    typing.type_all(statements.drafts)
    settle_open_rows(typing.ordered)
    traps = {w.name.text: statements.trap_name(w.trap) for w in found.workflows.values()}
    for use in calls.resources.values():
        for value, span in ((v, use.config_spans.get(k, use.span)) for k, v in use.config.items()):
            parameters.use_in(value, span)
    typed_parameters = parameters.result()
    found.used |= policies.used
    report_unused(found, report)
    for scope in statements.scopes.values():
        _report_unnamed(scope, report)
    diagnostics = tuple(sorted(report.diagnostics, key=lambda d: d.span))
    if has_errors(diagnostics):
        return CheckOutcome(None, diagnostics)
    nodes = _Nodes(typing.ordered)
    typed = TypedProgram(
        source=program.source,
        nodes=nodes.nodes,
        workflows={
            n: _workflow(found.workflows[n], statements.scopes[n], traps[n], nodes) for n in found.workflows
        },
        handlers={n: _handler(found.handlers[n], statements.scopes[n], nodes) for n in found.handlers},
        resources=calls.resources,
        parameters=typed_parameters,
        hash=_hash(program, found, catalog),
    )
    return CheckOutcome(typed, diagnostics)


class _Nodes:
    """Drafts as nodes; a node's id is its place in the typed order."""

    def __init__(self, ordered: list[AnyDraft]) -> None:
        self.ids: dict[AnyDraft, NodeId] = {draft: i for i, draft in enumerate(ordered)}
        self.nodes: tuple[Node, ...] = tuple(self._node(draft) for draft in ordered)

    def _node(self, draft: AnyDraft) -> Node:
        id_ = self.ids[draft]
        match draft:
            case TableDraft():
                return TableNode(id_, draft.rows, draft.columns, draft.span)
            case ErrorsDraft():
                return ErrorFrameNode(id_, ERROR_FRAME_ROW, draft.span)
            case QueryDraft():
                return self._query(id_, draft)
            case StepDraft():
                return self._step(id_, draft)
            case BrokenDraft():
                raise AssertionError("a program with a broken draft has errors")
            case _:
                assert_never(draft)

    def _query(self, id_: NodeId, draft: QueryDraft) -> QueryNode:
        return QueryNode(
            id=id_,
            sql=draft.sql,
            prql=draft.prql,
            inputs=tuple(QueryInput(d.key, self.ids[d]) for d in draft.read),
            row=draft.row or OPEN_ROW,
            lineage={name: (self.ids[d], column) for name, (d, column) in draft.lineage.items()},
            trap=draft.trap,
            policy=draft.policy,
            path=draft.path,
            span=draft.span,
            late=draft.late,
            relation=draft.key,
            reduces=draft.reduces,
        )

    def _step(self, id_: NodeId, draft: StepDraft) -> StepNode:
        resolved = draft.call
        call = StepCall(
            callee=resolved.callee,
            module=resolved.module,
            signature=resolved.signature,
            config=resolved.settings.values,
            resources=resolved.resources,
            parameters=draft.parameters,
            span=resolved.span,
            config_spans=resolved.settings.spans,
        )
        below = None if draft.piped is None else self.ids[draft.piped]
        return StepNode(id_, call, below, draft.row, draft.trap, draft.policy, draft.path, draft.span)


def _workflow(item: ast.WorkflowItem, scope: Scope, trap: str | None, nodes: _Nodes) -> Workflow:
    return Workflow(
        name=scope.name,
        nodes=tuple(nodes.ids[d] for d in scope.drafts),
        outputs=tuple(
            Output(n.text, nodes.ids[d], n.span, doc) for n, d, doc in scope.outputs if d.row is not None
        ),
        last=tuple(nodes.ids[d] for d, _ in scope.last if d.row is not None),
        trap=trap,
        policy=scope.policy,
        span=item.span,
        doc=item.doc,
    )


def _handler(item: ast.HandlerItem, scope: Scope, nodes: _Nodes) -> Handler:
    errors = None if scope.errors is None else nodes.ids[scope.errors]
    return Handler(scope.name, tuple(nodes.ids[d] for d in scope.drafts), errors, item.span)


def _report_unnamed(scope: Scope, report: Report) -> None:
    """An unnamed result beside sinks goes nowhere."""
    sinks = any(isinstance(d, StepDraft) and d.row is None for d in scope.drafts)
    for draft, span in scope.last if sinks else ():
        if draft.row is not None and not _is_effect(draft):
            report.warning(
                "HD0317",
                span,
                "nothing takes the result of this statement",
                "name it (`> name`), or write it somewhere",
            )


def _is_effect(draft: AnyDraft) -> bool:
    return isinstance(draft, BrokenDraft) or (
        isinstance(draft, StepDraft) and draft.call.signature.effect is True
    )


def _hash(program: ast.Program, found: Declarations, catalog: Catalog) -> str:
    """Names what would run: the text, the profile's settings, the parameters and the modules' code."""
    digest = hashlib.sha256(program.source.text.encode())
    laid: list[tuple[str, str, Mapping[str, object]]] = [
        *(("resources", n, catalog.overlay("resources", n)) for n in sorted(found.resources)),
        *(("steps", n, catalog.overlay("steps", n)) for n in sorted(found.steps)),
        ("params", "", catalog.parameters()),
    ]
    for kind, name, settings in laid:
        digest.update(repr((kind, name, sorted(settings.items(), key=lambda pair: pair[0]))).encode())
    for name, module in sorted(found.modules.items()):
        if isinstance(module, ModuleSignature):
            digest.update(repr((name, module.path, module.code_hash)).encode())
    return digest.hexdigest()

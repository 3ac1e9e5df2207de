"""`check`: the phases in order, and the typed program at their end."""

from __future__ import annotations

from collections.abc import Mapping

from heddle.core.record import record
from heddle.core.signature import ModuleSignature
from heddle.diagnostics import Diagnostic, Span, has_errors
from heddle.frontend import ast
from heddle.frontend.catalog import Catalog
from heddle.frontend.checker.calls import Calls
from heddle.frontend.checker.declarations import Declarations, declare, report_unused
from heddle.frontend.checker.drafts import AnyDraft, BrokenDraft, QueryDraft, StepDraft
from heddle.frontend.checker.mentions import read_mentions
from heddle.frontend.checker.nodes import Nodes, typed_handler, typed_workflow
from heddle.frontend.checker.parameters import Parameters
from heddle.frontend.checker.policies import Policies
from heddle.frontend.checker.report import Report
from heddle.frontend.checker.resources import Resources
from heddle.frontend.checker.rows import RowTyping
from heddle.frontend.checker.scope import Scope
from heddle.frontend.checker.statements import Statements
from heddle.frontend.prql.compiler import QueryCompiler
from heddle.frontend.prql.native import with_stack_for
from heddle.frontend.typed import NO_POLICY, OutputProperties, Policy, StepNode, TypedProgram


@record(frozen=True, slots=True)
class CheckOutcome:
    """`program` is None when there is an error, here or in the syntax."""

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
    mentions = read_mentions(program)
    found = declare(program, catalog, report)
    resources = Resources(found, catalog, report)
    policies = Policies(found, report, defaults)
    parameters = Parameters(catalog, report)
    for workflow in found.workflows.values():
        parameters.declare(workflow)
    calls = Calls(found, resources, catalog, report)
    statements = Statements(found, mentions, calls, policies, report)
    statements.read_all()
    traps = {name: statements.trap(w.trap) for name, w in found.workflows.items()}
    typing = RowTyping(program.source, catalog, compiler, parameters, report, resources.uses)
    characters = sum(len(d.query.text) for d in statements.drafts if isinstance(d, QueryDraft))
    with_stack_for(characters, lambda: typing.type_all(statements.drafts))
    if any(_has_demands(draft) for draft in typing.ordered):
        from heddle.frontend.checker.demands import settle_open_rows

        settle_open_rows(typing.ordered, report)
    for use in resources.uses.values():
        parameters.use_in(use.config, use.signature.config, use.config_spans, use.span)
    typed_parameters = parameters.result()
    for scope in statements.scopes.values():
        _report_unnamed(scope, report)
    properties: Mapping[Span, OutputProperties] = {}
    if any(_has_properties(scope) for scope in statements.scopes.values()):
        from heddle.frontend.checker.properties import read_properties

        properties = read_properties(statements.scopes, found, report)
    if not program.broken:  # what cannot be read may use anything
        report_unused(found, mentions.names | report.suggested, report)
    diagnostics = tuple(sorted(report.diagnostics, key=lambda d: d.span))
    if program.broken or has_errors(diagnostics):
        return CheckOutcome(None, diagnostics)
    nodes = Nodes(typing.ordered)
    scopes = statements.scopes
    typed = TypedProgram(
        source=program.source,
        nodes=nodes.nodes,
        workflows={
            n: typed_workflow(w, scopes[n], traps[n], nodes, properties) for n, w in found.workflows.items()
        },
        handlers={n: typed_handler(h, scopes[n], nodes) for n, h in found.handlers.items()},
        resources=resources.uses,
        parameters=typed_parameters,
        contents=_contents(program, found, catalog, defaults),
    )
    if any(isinstance(node, StepNode) and node.call.signature.stream for node in typed.nodes):
        from heddle.frontend.checker.turns import check_turns

        check_turns(typed, report)
        diagnostics = tuple(sorted(report.diagnostics, key=lambda d: d.span))
    return CheckOutcome(None if has_errors(diagnostics) else typed, diagnostics)


def _has_demands(draft: AnyDraft) -> bool:
    """Whether what is asked of its columns says more of them: an open row's, and a stream's."""
    if draft.row is None:
        return False
    return not draft.row.complete or (isinstance(draft, StepDraft) and draft.call.signature.stream)


def _has_properties(scope: Scope) -> bool:
    return any(statement.properties is not None for statement in scope.statements)


def _report_unnamed(scope: Scope, report: Report) -> None:
    """An unnamed result goes nowhere where a workflow has effects; else it is printed."""
    if scope.is_handler or not any(_is_effect(draft) for draft in scope.drafts):
        return
    for draft, span in scope.last:
        if not _is_effect(draft) and not isinstance(draft, BrokenDraft):
            report.warning(
                "HD0317",
                span,
                "nothing takes the result of this statement",
                "name it (`> name`), or write it somewhere (`| io.print`)",
            )


def _is_effect(draft: AnyDraft) -> bool:
    return isinstance(draft, StepDraft) and (draft.gives_nothing or draft.call.signature.effect is True)


def _contents(program: ast.Program, found: Declarations, catalog: Catalog, defaults: Policy) -> str:
    """The text, the project's settings for it, the parameters and the modules' code."""
    laid: list[tuple[str, str, Mapping[str, object]]] = [
        *(("resources", n, catalog.overlay("resources", n)) for n in sorted(found.resources)),
        *(("steps", n, catalog.overlay("steps", n)) for n in sorted(found.steps)),
        ("params", "", catalog.parameters()),
    ]
    settings = [(kind, name, sorted(values.items(), key=lambda pair: pair[0])) for kind, name, values in laid]
    modules = [
        (name, module.path, module.code_hash)
        for name, module in sorted(found.modules.items())
        if isinstance(module, ModuleSignature)
    ]
    return repr((program.source.text, settings, modules, defaults))

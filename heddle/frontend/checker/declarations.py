"""What a program declares: imports with their modules, resources, bound steps, handlers, workflows.

`declare` reads the items once and reports collisions; the rest of the checker looks names up here.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, assert_never

from heddle.core.signature import ModuleSignature
from heddle.diagnostics import Diagnostic, Fix, Label, Span
from heddle.frontend import ast
from heddle.frontend.catalog import Catalog, CatalogProblem
from heddle.frontend.checker.report import Report

IO_MODULE = "std/io"
Kind: TypeAlias = Literal["a resource", "a step", "a handler", "a workflow", "a policy", "an import"]
Named: TypeAlias = ast.ResourceItem | ast.StepItem | ast.HandlerItem | ast.WorkflowItem | ast.PolicyItem


@dataclass
class Declarations:
    """`modules` maps an import's name to its module, None when it could not be found (that is reported).

    `broken` are names whose declaration a syntax error has hidden: their uses are no second mistake.
    """

    modules: dict[str, ModuleSignature | None] = field(default_factory=dict)
    imports: dict[str, ast.Import] = field(default_factory=dict)
    resources: dict[str, ast.ResourceItem] = field(default_factory=dict)
    steps: dict[str, ast.StepItem] = field(default_factory=dict)
    handlers: dict[str, ast.HandlerItem] = field(default_factory=dict)
    workflows: dict[str, ast.WorkflowItem] = field(default_factory=dict)
    policies: dict[str, ast.PolicyItem] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def kind_of(self, name: str) -> Kind | None:
        """What the name was declared as, for messages about its use as something else."""
        kinds: tuple[tuple[Kind, Container[str]], ...] = (
            ("a resource", self.resources),
            ("a step", self.steps),
            ("a handler", self.handlers),
            ("a workflow", self.workflows),
            ("a policy", self.policies),
            ("an import", self.modules),
        )
        for kind, items in kinds:
            if name in items:
                return kind
        return None


def declare(program: ast.Program, catalog: Catalog, report: Report) -> Declarations:
    found = Declarations()
    found.broken = {b.name.text for b in program.broken if b.name is not None}
    places: dict[str, Span] = {}
    for item in program.items:
        match item:
            case ast.Import():
                if _is_new(item.name, (item.alias or item.path).span, places, report):
                    _import(item, found, catalog, report)
            case ast.TestItem():
                report.error(
                    "HD0320",
                    item.name.span,
                    "tests in a program are unsupported",
                    "test the workflow from outside, with `heddle run`",
                )
            case _:
                if _is_new(item.name.text, item.name.span, places, report):
                    _keep(item, found)
    if "io" not in found.modules:
        _standard_io(found, catalog)
    return found


def _keep(item: Named, found: Declarations) -> None:
    name = item.name.text
    match item:
        case ast.ResourceItem():
            found.resources[name] = item
        case ast.StepItem():
            found.steps[name] = item
        case ast.HandlerItem():
            found.handlers[name] = item
        case ast.WorkflowItem():
            found.workflows[name] = item
        case ast.PolicyItem():
            found.policies[name] = item
        case _:
            assert_never(item)


def _is_new(name: str, span: Span, places: dict[str, Span], report: Report) -> bool:
    if name == "input":
        report.error(
            "HD0308",
            span,
            "`input` cannot be declared: it is what is piped into a query",
            "choose another name",
        )
        return False
    if name in places:
        label = Label(places[name], "declared here first")
        report.error("HD0305", span, f"`{name}` is declared twice", "rename one of them", labels=(label,))
        return False
    places[name] = span
    return True


def _import(item: ast.Import, found: Declarations, catalog: Catalog, report: Report) -> None:
    module = catalog.module(item.path.value)
    found.imports[item.name] = item
    if isinstance(module, CatalogProblem):
        span = item.path.span
        report.extend([Diagnostic(module.code, "error", module.message, report.source, span, module.help)])
        found.modules[item.name] = None
    else:
        found.modules[item.name] = module


def _standard_io(found: Declarations, catalog: Catalog) -> None:
    module = catalog.module(IO_MODULE)
    assert isinstance(module, ModuleSignature), "std/io is built in"
    found.modules["io"] = module


def report_unused(found: Declarations, used: Container[str], report: Report) -> None:
    for kind, name, span, whole in _unused(found, used):
        fix = Fix(f"take the {kind} out", ((whole, ""),))
        report.warning(
            "HD0310", span, f"the {kind} `{name}` is never used", "take it out, or use it", fix=fix
        )


def _unused(found: Declarations, used: Container[str]) -> Iterator[tuple[str, str, Span, Span]]:
    for name, item in found.imports.items():
        if name not in used and found.modules[name] is not None:
            yield "import", name, (item.alias or item.path).span, item.span
    for kind, items in (
        ("resource", found.resources),
        ("step", found.steps),
        ("handler", found.handlers),
        ("policy", found.policies),
    ):
        for name, declared in items.items():
            if name not in used:
                yield kind, name, declared.name.span, declared.span

"""What a program declares: imports with their modules, resources, bound steps, handlers, workflows.

`declare` reads the items once and reports collisions; the rest of the checker looks names up here.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import field
from typing import Literal, TypeAlias, assert_never

from heddle.core.record import record
from heddle.core.signature import ModuleSignature
from heddle.diagnostics import Fix, Label, Span
from heddle.frontend import ast
from heddle.frontend.catalog import Catalog, CatalogProblem
from heddle.frontend.checker.report import Report

IO_MODULE = "std/io"
_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_NOT_IN_NAME = r"[^A-Za-z0-9_]+|^[0-9]+"
Kind: TypeAlias = Literal["a resource", "a step", "a handler", "a workflow", "a policy", "an import"]
Named: TypeAlias = ast.ResourceItem | ast.StepItem | ast.HandlerItem | ast.WorkflowItem | ast.PolicyItem


@record(slots=True, eq=False)
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
                module = _module(item, catalog, report)
                if _has_name(item, report) and _is_new(item.name, _name_span(item), places, report):
                    found.imports[item.name] = item
                    found.modules[item.name] = module
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


def _name_span(item: ast.Import) -> Span:
    return (item.alias or item.path).span


def _has_name(item: ast.Import, report: Report) -> bool:
    """The last segment of a path is the import's name only where a program can write it."""
    if item.alias is not None or re.fullmatch(_NAME, item.name):
        return True
    name = re.sub(_NOT_IN_NAME, "_", item.name.removesuffix(".py")).strip("_") or "module"
    report.error(
        "HD0321",
        item.path.span,
        f"the import {item.path.text} needs a name",
        f"write one behind it: import {item.path.text} {name}",
        fix=Fix(f"call it `{name}`", ((Span(item.path.span.end, item.path.span.end), f" {name}"),)),
    )
    return False


def _module(item: ast.Import, catalog: Catalog, report: Report) -> ModuleSignature | None:
    """The module, None when there is none, which is an error."""
    module = catalog.module(item.path.value)
    if isinstance(module, CatalogProblem):
        report.error(module.code, item.path.span, module.message, module.help)
        return None
    return module


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
            yield "import", name, _name_span(item), item.span
    for kind, items in (
        ("resource", found.resources),
        ("step", found.steps),
        ("handler", found.handlers),
        ("policy", found.policies),
    ):
        for name, declared in items.items():
            if name not in used:
                yield kind, name, declared.name.span, declared.span

"""Names that stand for nothing where they are: each function reports one kind, with the cure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final, assert_never

from heddle.core.signature import ModuleSignature
from heddle.frontend import ast
from heddle.frontend.catalog import Catalog
from heddle.frontend.checker.declarations import Declarations, Kind
from heddle.frontend.checker.report import Report

BUILT_IN_FOLDERS: Final = ("std", "fhub")


def unknown_module(
    name: ast.Ident, found: Declarations, catalog: Catalog, report: Report, *, workflows: bool
) -> None:
    """`name.…`, where `name` is no import, nor a workflow where `workflows` may stand."""
    if name.text in found.broken:
        return
    kind = found.kind_of(name.text)
    if kind is not None:
        message = f"`{name.text}` is {kind}, not an import"
        report.error("HD0301", name.span, message, _used_as(kind, name.text))
        return
    paths = (f"{folder}/{name.text}" for folder in BUILT_IN_FOLDERS)
    path = next((p for p in paths if isinstance(catalog.module(p), ModuleSignature)), f"…/{name.text}")
    message, cure = f"there is no import `{name.text}`", f'import it: import "{path}"'
    known = chain(found.modules, found.workflows if workflows else ())
    report.unknown("HD0301", name.span, message, known, "imports", name=name.text, otherwise=cure)


def unknown_step(call: ast.Call, module: ModuleSignature, report: Report) -> None:
    name = call.name
    message = f'"{module.path}" has no step `{name.text}`'
    if name.text in module.resources:
        message += ", only a resource type of that name"
        report.error("HD0302", name.span, message, f"declare it: resource … = {call.callee} {{…}}")
        return
    report.unknown("HD0302", name.span, message, (*module.steps, *module.readers), "steps", name=name.text)


def unknown_resource(name: ast.Ident, found: Declarations, report: Report) -> None:
    if name.text in found.broken:
        return
    kind = found.kind_of(name.text)
    message = f"`{name.text}` is {kind}, not a resource" if kind else f"there is no resource `{name.text}`"
    cure = None if found.resources else f"declare it: resource {name.text} = …"
    report.unknown("HD0303", name.span, message, found.resources, "resources", name=name.text, otherwise=cure)


def unknown_handler(name: ast.Ident, found: Declarations, report: Report) -> None:
    if name.text in found.broken:
        return
    kind = found.kind_of(name.text)
    message = f"`{name.text}` is {kind}, not a handler" if kind else f"there is no handler `{name.text}`"
    cure = None if found.handlers else f"declare it: handler {name.text} {{ * | io.stderr }}"
    report.unknown("HD0304", name.span, message, found.handlers, "handlers", name=name.text, otherwise=cure)


def unknown_policy(name: ast.Ident, found: Declarations, report: Report) -> None:
    if name.text in found.broken:
        return
    kind = found.kind_of(name.text)
    message = f"`{name.text}` is {kind}, not a policy" if kind else f"there is no policy `{name.text}`"
    cure = None if found.policies else f"declare it: policy {name.text} {{ retry: 3 }}"
    report.unknown("HD0319", name.span, message, found.policies, "policies", name=name.text, otherwise=cure)


def unknown_name(
    name: ast.Ident, found: Declarations, relations: Iterable[str] | None, report: Report, *, beside: str = ""
) -> None:
    """A bare name that is no bound step nor, at a head, one of the `relations` there.

    `beside` is the step that would be bound to it.
    """
    if name.text in found.broken:
        return
    kind = found.kind_of(name.text)
    if kind is not None:
        message = f"`{name.text}` is {kind}, and gives no rows"
        report.error("HD0301", name.span, message, _used_as(kind, name.text))
        return
    message = f"there is no step{'' if relations is None else ' or relation'} `{name.text}`"
    known = (known for known in chain(found.steps, relations or ()) if known != beside)
    cure = "bind it to a step of a module, like `io.csv`" if beside else f"declare it: step {name.text} = …"
    report.unknown("HD0301", name.span, message, known, "names", name=name.text, otherwise=cure)


def _used_as(kind: Kind, name: str) -> str:
    match kind:
        case "an import":
            return f"call one of its steps: `{name}.…`"
        case "a handler":
            return f"set it as a trap: `? {name}`"
        case "a policy":
            return f"it stands after a step: `! {name}`"
        case "a resource":
            return f"bind it to a step: `<…={name}>`"
        case "a workflow":
            return f"read one of its outputs: `{name}.…`"
        case "a step":
            return f"call it without a dot: `{name}`"
        case _:
            assert_never(kind)

"""Queries of one module that define a column anew end with a `select` of the columns they give.

prqlc keeps the old column, without a name, and then refuses any query of the module that reads the
result. The names are known without resolving as long as a pipeline only filters, sorts, takes and derives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from heddle.frontend.prql import tree
from heddle.frontend.prql.native import Doc

Names = tuple[str, ...]

_KEEPS: Final = frozenset(("filter", "sort", "take"))


def without_unnamed(main: Doc, names_of: Callable[[str], Names | None]) -> tuple[Doc, Names | None]:
    """The pipeline, with a `select` at its end if it must have one, and its columns where they are known."""
    calls = main.get("Pipeline", {}).get("exprs", ())
    names = _first_names(calls, names_of)
    again = False
    for call in calls[1:]:
        if names is None:
            return main, None
        name = tree.callee(call)
        if name in _KEEPS:
            continue
        made = _aliases(call) if name in {"derive", "select"} else None
        if made is None:
            return main, None
        if name == "select":
            names = made
            continue
        again = again or any(n in names for n in made)
        names = tuple(n for n in names if n not in made) + made
    if not again or names is None or len(set(names)) != len(names):
        return main, names
    chosen: Doc = {"Tuple": [{"Ident": [name], "span": main["span"]} for name in names], "span": main["span"]}
    select: Doc = {
        "FuncCall": {"name": {"Ident": ["select"], "span": main["span"]}, "args": [chosen]},
        "span": main["span"],
    }
    return {**main, "Pipeline": {**main["Pipeline"], "exprs": [*calls, select]}}, names


def _first_names(calls: list[Doc], names_of: Callable[[str], Names | None]) -> Names | None:
    if not calls or tree.callee(calls[0]) != "from":
        return None
    args = calls[0]["FuncCall"]["args"]
    path: list[str] = args[0].get("Ident", []) if len(args) == 1 else []
    return names_of(path[0]) if len(path) == 1 else None


def _aliases(call: Doc) -> Names | None:
    """The names that a derive or select gives its columns, when each has one."""
    args = call["FuncCall"]["args"]
    if len(args) != 1:
        return None
    items = args[0]["Tuple"] if "Tuple" in args[0] else [args[0]]
    names: list[str] = []
    for item in items:
        name = item.get("alias") or (item["Ident"][-1] if "Ident" in item else None)
        if name is None or name in names:
            return None
        names.append(name)
    return tuple(names)

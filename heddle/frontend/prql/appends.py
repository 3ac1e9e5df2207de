"""`append by:name t`: columns of the same name under each other, null where a side has none.

    append by:name t  ->  select {a, b, c = null} | append (from t | select {a, b = null, c})

prqlc's own form does not survive every pair of relations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heddle.frontend.prql.native import Doc
from heddle.frontend.prql.tree import callee, nodes

Columns = Callable[[list[Doc]], "tuple[str, ...] | None"]


def append_by_name(pipeline: Doc, columns: Columns) -> list[Doc]:
    """Rewrite a tree in place; gives the appends of which the columns are not all known."""
    unknown: list[Doc] = []
    for node in list(nodes(pipeline)):
        exprs = node.get("Pipeline", {}).get("exprs")
        if exprs and any(_is_by_name(stage) for stage in exprs):
            node["Pipeline"]["exprs"] = _rewritten(exprs, columns, unknown)
    return unknown


def _is_by_name(stage: Doc) -> bool:
    by = stage.get("FuncCall", {}).get("named_args", {}).get("by", {})
    return callee(stage) == "append" and by.get("Ident") == ["name"]


def _rewritten(exprs: list[Doc], columns: Columns, unknown: list[Doc]) -> list[Doc]:
    done: list[Doc] = []
    for stage in exprs:
        if not _is_by_name(stage):
            done.append(stage)
            continue
        below = _pipeline_of(stage["FuncCall"]["args"][0])
        upper, lower = columns(done), columns(below)
        if upper is None or lower is None:
            unknown.append(stage)
            done.append(stage)
            continue
        names = list(dict.fromkeys((*upper, *lower)))
        span = stage.get("span")
        united: Doc = {"Pipeline": {"exprs": [*below, _select(names, lower, span)]}, "span": span}
        append: Doc = {"FuncCall": {**stage["FuncCall"], "args": [united], "named_args": {}}, "span": span}
        done += [_select(names, upper, span), append]
    return done


def _pipeline_of(relation: Doc) -> list[Doc]:
    if "Pipeline" in relation:
        return list(relation["Pipeline"]["exprs"])
    if "FuncCall" in relation:
        return [relation]
    span = relation.get("span")
    return [{"FuncCall": {"name": {"Ident": ["from"], "span": span}, "args": [relation]}, "span": span}]


def _select(names: list[str], own: tuple[str, ...], span: Any) -> Doc:
    items: list[Doc] = [
        {"Ident": ["this", name], "span": span}
        if name in own
        else {"Literal": "Null", "span": span, "alias": name}
        for name in names
    ]
    tuple_: Doc = {"Tuple": items, "span": span}
    return {"FuncCall": {"name": {"Ident": ["select"], "span": span}, "args": [tuple_]}, "span": span}

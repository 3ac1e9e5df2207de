"""A module for prqlc: declarations of the relations that its queries read, the queries, and a main that reads
them all.

Relations are declared by their columns' names only: types are DataFusion's. An open relation is declared
anew for each query that reads it, because prqlc takes a column that one query needs for known in the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from heddle.core.types import OPEN_ROW, RowType
from heddle.frontend.prql import tree
from heddle.frontend.prql.edited import spelled
from heddle.frontend.prql.expressions import DATE_PARTS
from heddle.frontend.prql.names import READERS
from heddle.frontend.prql.native import Doc
from heddle.frontend.prql.prepared import Prepared
from heddle.frontend.prql.redefined import Names, without_unnamed


def module_statements(
    members: Sequence[Prepared], rows: Mapping[str, RowType]
) -> tuple[list[Doc], dict[str, str]]:
    """The module's statements, and the relation keys by the names that the module uses for them."""
    own = {m.request.key for m in members}
    names = {key: key for key in own}
    declared: dict[str, Doc] = {}
    queries: list[Doc] = []
    known: dict[str, Names | None] = {}

    def names_of(relation: str) -> Names | None:
        if relation in own:
            return known.get(relation)
        row = rows.get(names.get(relation, relation), OPEN_ROW)
        return None if row.open else tuple(spelled(column) for column in row.names)

    for member in members:
        renamed: dict[str, str] = {}
        for key in member.reads:
            if key in own:
                continue
            row = rows.get(key, OPEN_ROW)
            name = f"{key}@{member.number}" if row.open else key
            renamed[key] = name
            names[name] = key
            if name not in declared:
                declared[name] = _declaration(name, row)
        queries += _with_names(member.statements, renamed)
        main, known[member.request.key] = without_unnamed(_with_names(member.main, renamed), names_of)
        queries.append(_let(member.request.key, main))
    prefix: Doc = {"ModuleDef": {"name": "default_db", "stmts": list(declared.values())}}
    functions = [_DATE_PARTS] if any(m.may_take_date_parts for m in members) else []
    return [*functions, prefix, *queries, *_main([m.request.key for m in members])], names


def _with_names(value: Any, renamed: Mapping[str, str]) -> Any:
    """The tree with relations under other names; the tree itself is left as it is."""
    if all(key == name for key, name in renamed.items()):
        return value
    return _copy(value, renamed)


def _copy(value: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_copy(item, renamed) for item in value]
    if not isinstance(value, dict):
        return value
    copied = {key: _copy(item, renamed) for key, item in value.items()}
    if "FuncCall" in copied and tree.callee(copied) in READERS and copied["FuncCall"]["args"]:
        relation = copied["FuncCall"]["args"][0]
        path = relation.get("Ident", ())
        if len(path) == 1 and path[0] in renamed:
            relation["Ident"] = [renamed[path[0]]]
    return copied


def _declaration(name: str, row: RowType) -> Doc:
    columns: list[Doc] = [{"Single": [spelled(column), None]} for column in row.names]
    if row.open:
        columns.append({"Wildcard": None})
    tuple_type = {"kind": {"Tuple": columns}, "span": None, "name": None}
    array_type = {"kind": {"Array": tuple_type}, "span": None, "name": None}
    return {"VarDef": {"kind": "Let", "name": name, "value": None, "ty": array_type}}


def _function(name: str, operator: str) -> Doc:
    """A function of one value that stays in the resolved query as an operator."""
    parameter = {"name": "value", "default_value": None}
    body = {"Internal": operator, "span": None}
    function = {"return_ty": None, "body": body, "params": [parameter], "named_params": []}
    return _let(name, {"Func": function, "span": None})


def _let(name: str, value: Doc) -> Doc:
    return {"VarDef": {"kind": "Let", "name": name, "value": value}}


def _main(keys: Sequence[str]) -> list[Doc]:
    """A query that reads all others and is cheap to resolve: it speaks of none of their columns."""
    first, *others = ([_call("from", _ident(key)), _ONE_COLUMN] for key in keys)
    appends = [_call("append", {"Pipeline": {"exprs": stages}}) for stages in others]
    value = {"Pipeline": {"exprs": [*first, *appends]}}
    return [{"VarDef": {"kind": "Main", "name": "main", "value": value}}]


def _call(function: str, argument: Doc) -> Doc:
    return {"FuncCall": {"name": _ident(function), "args": [argument]}}


def _ident(name: str) -> Doc:
    return {"Ident": [name]}


_ONE_COLUMN: Final[Doc] = _call("select", {"Tuple": [{"Literal": {"Integer": 1}, "alias": "n"}]})

_DATE_PARTS: Final[Doc] = {
    "ModuleDef": {
        "name": tree.DATE_MODULE,
        "stmts": [_function(name, f"std.date.{name}") for name in DATE_PARTS],
    }
}
"""The functions `date.year`, `date.month` and so on, which prqlc does not have."""

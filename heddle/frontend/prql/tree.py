"""A query as prqlc's syntax tree: walking it, what proves it illegal, and what Heddle refuses.

Trees come from `native.parse_text` and are changed in place before they are compiled; nodes keep the spans
of the text that they came from.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any, Final

from heddle.frontend.prql.native import Doc, span_of
from heddle.frontend.prql.words import TRANSFORMS

FILE_READERS: Final = frozenset(("read_csv", "read_parquet", "read_json"))
_ONE_ARGUMENT: Final = frozenset(
    ("from", "select", "derive", "filter", "sort", "take", "aggregate", "append")
)

HIDDEN: Final = "_heddle_"
"""Names that start with this are Heddle's own and never leave a query."""

DATE_MODULE: Final = f"{HIDDEN}date"
"""The module of the functions `date.…` that prqlc does not have."""

_VALUES: Final = frozenset(
    (
        *("Tuple", "Binary", "Unary", "Case", "Range", "Array", "FString"),
        *("left", "right", "expr", "Expr", "condition", "value", "start", "end"),
    )
)
"""Keys of prqlc's nodes under which values stand."""


STD_NAMES: Final = frozenset(
    (
        *("min", "max", "sum", "average", "stddev", "all", "any", "count", "count_distinct", "concat_array"),
        *(
            "lag",
            "lead",
            "first",
            "last",
            "rank",
            "rank_dense",
            "row_number",
            "as",
            "in",
            "math",
            "text",
            "date",
        ),
        *(
            "mul",
            "div_i",
            "div_f",
            "mod",
            "add",
            "sub",
            "eq",
            "ne",
            "gt",
            "lt",
            "gte",
            "lte",
            "and",
            "or",
            "not",
        ),
        *("neg", "coalesce", "regex_search", "int", "float", "bool", "time", "timestamp", "func", "array"),
        *("relation", "range", "transform", "prql", "from_text", *TRANSFORMS, *FILE_READERS),
    )
)
"""The names of prqlc's standard library that a column may have too."""

_CONTAINERS: Final = (dict, list)
_LONG_CHAIN: Final = 16
"""Longer than the left edge of any balanced tree of `words.TERMS_MAX` operands."""


def nodes(tree: Any) -> Iterator[Doc]:
    """Every object in a tree, outer ones before inner ones."""
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            item = item.values()
        for value in item:
            if isinstance(value, _CONTAINERS):
                stack.append(value)


def depth_of(tree: Any) -> int:
    """How deep objects and lists nest."""
    deepest = 0
    stack: list[tuple[Any, int]] = [(tree, 1)]
    while stack:
        item, depth = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(item, dict):
            stack.extend((value, depth + 1) for value in item.values() if isinstance(value, dict | list))
        elif isinstance(item, list):
            stack.extend((value, depth + 1) for value in item if isinstance(value, dict | list))
    return deepest


def main_of(statements: list[Doc]) -> Doc | None:
    """The query itself among the statements of its text."""
    found = [s["VarDef"] for s in statements if "VarDef" in s and s["VarDef"]["kind"] in ("Main", "Into")]
    return found[-1] if found else None


def stages(value: Doc) -> list[Doc]:
    """The transforms of a pipeline, or the only one."""
    return list(value["Pipeline"]["exprs"]) if "Pipeline" in value else [value]


def callee(node: Doc) -> str | None:
    """The name of the function that a node calls."""
    call = node.get("FuncCall")
    name: list[str] | None = call["name"].get("Ident") if call else node.get("Ident")
    return ".".join(name).removeprefix("std.") if name else None


def is_surely_illegal(statements: list[Doc]) -> bool:
    """Whether the text parses and yet cannot be legal PRQL, so that compiling it would be in vain."""
    main = main_of(statements)
    if main is None:
        return False
    first = stages(main["value"])[0]
    if (
        "Ident" in first
        or callee(first) in TRANSFORMS - {"from"}
        or any(lacking(s) for s in stages(main["value"]))
    ):
        return True
    return any(_misused(node) for node in nodes(statements) if "FuncCall" in node)


def lacking(stage: Doc) -> str | None:
    """The name of a transform that lacks an argument: `take`, `group k`; `take -1` reads as a subtraction."""
    if "Binary" in stage:
        name = callee(stage["Binary"]["left"])
        return name if name in TRANSFORMS else None
    name = callee(stage)
    if name not in TRANSFORMS:
        return None
    given = len(stage["FuncCall"]["args"]) if "FuncCall" in stage else 0
    return name if given < (2 if name == "group" else 1) else None


def _misused(node: Doc) -> bool:
    """A transform with too many arguments, or with `a = b` where a condition stands."""
    name, args = callee(node), node["FuncCall"]["args"]
    if name in _ONE_ARGUMENT and len(args) > 1:
        return not ("Pipeline" in args[-1] or callee(args[-1]) in TRANSFORMS)
    if name == "join" and len(args) == 2 and ("alias" in args[1] or _calls_word(args[1])):
        return True
    if name == "join" and len(args) > 2 and callee(args[1]) in ("where", "on", "using"):
        return True
    return name == "filter" and bool(args) and ("alias" in args[0] or _calls_word(args[0]))


def _calls_word(node: Doc) -> bool:
    """`a and b` reads as a call of `a`."""
    call = node.get("FuncCall")
    return call is not None and any(
        a.get("Ident") in (["and"], ["or"], ["is"], ["not"]) for a in call["args"]
    )


def prefer_columns(value: Doc, own: frozenset[str]) -> None:
    """A name that stands where a value stands is a column, and where a function stands it is a function.

    prqlc finds `count` ambiguous where a column is called so; `this.count` and `std.count` are not.
    Conditions of joins are left alone, because `this` is only one of their sides. `own` are names that the
    query declares.
    """
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack:
        item, is_value = stack.pop()
        if isinstance(item, list):
            stack.extend((part, is_value) for part in item)
        elif isinstance(item, dict):
            _settle(item, "this" if is_value else None, own)
            if "FuncCall" in item:
                _settle(item["FuncCall"]["name"], "std", own)
            for function in item.get("Pipeline", {}).get("exprs", ())[1:]:
                _settle(function, "std", own)
            stack.extend(_values_in(item))


def _settle(node: Doc, scope: str | None, own: frozenset[str]) -> None:
    path: list[str] = node.get("Ident") or []
    if scope is None or len(path) != 1 or path[0] not in STD_NAMES - own:
        return
    if scope == "this" or path[0] not in TRANSFORMS:
        node["Ident"] = [scope, path[0]]


def _values_in(node: Doc) -> Iterator[tuple[Any, bool]]:
    """The parts of a node, and whether each of them stands where only a value can stand."""
    if "FuncCall" in node:
        call = node["FuncCall"]
        name = callee(node)
        if name == "join":
            yield call["args"][:1], False
            return
        takes_relation = name in ("from", "append", "intersect", "remove", "loop", "as")
        for i, argument in enumerate(call["args"]):
            is_pipeline = (name in ("group", "window") and i > 0) or name == "loop"
            yield argument, not (takes_relation or is_pipeline)
        return
    if "Pipeline" in node:
        first, *others = node["Pipeline"]["exprs"]
        yield first, "Ident" in first
        yield others, False
        return
    for key, part in node.items():
        if isinstance(part, dict | list) and key != "Ident":
            yield part, key in _VALUES


def merge_concats(statements: list[Doc]) -> None:
    """`concat a b` becomes an f-string of its arguments, unless the query has its own `concat`."""
    if any(s.get("VarDef", {}).get("name") == "concat" for s in statements):
        return
    for node in nodes(statements):
        if "FuncCall" in node and callee(node) == "concat":
            args = node.pop("FuncCall")["args"]
            node["FString"] = [{"Expr": {"expr": a, "format": None}} for a in args]


def rename_functions(statements: list[Doc]) -> None:
    """Give the query's functions and their parameters names that no column has: prqlc mixes them up."""
    parameters: dict[str, dict[str, str]] = {}
    for node in nodes(statements):
        value = node["VarDef"]["value"] if "VarDef" in node else None
        if value is not None and "Func" in value:
            name = node["VarDef"]["name"]
            parameters[name] = _rename_parameters(value["Func"])
            node["VarDef"]["name"] = f"{HIDDEN}function_{name}"
    for node in nodes(statements):
        for function in node.get("Pipeline", {}).get("exprs", ())[1:]:
            if "Ident" in function:
                _rename_function(function, parameters)
        if "FuncCall" in node:
            call = node["FuncCall"]
            names = parameters.get(callee(node) or "", {})
            if call.get("named_args"):
                call["named_args"] = {names.get(k, k): v for k, v in call["named_args"].items()}
            _rename_function(call["name"], parameters)


def rename_date_parts(statements: list[Doc], parts: Container[str]) -> None:
    """Let calls of `date.year` and the like mean the functions of `DATE_MODULE`.

    Only what is called: `date.year` may also be a column of a relation called `date`.
    """
    for node in nodes(statements):
        for function in node.get("Pipeline", {}).get("exprs", ())[1:]:
            _rename_date_part(function, parts)
        if "FuncCall" in node:
            _rename_date_part(node["FuncCall"]["name"], parts)


def _rename_date_part(function: Doc, parts: Container[str]) -> None:
    path: list[str] = function.get("Ident") or []
    if len(path) == 2 and path[0] == "date" and path[1] in parts:
        function["Ident"] = [DATE_MODULE, path[1]]


def _rename_parameters(function: Doc) -> dict[str, str]:
    declared = [*function["params"], *function["named_params"]]
    names = {p["name"]: f"{HIDDEN}parameter_{p['name']}" for p in declared}
    for parameter in declared:
        parameter["name"] = names[parameter["name"]]
    for inner in nodes(function["body"]):
        path: list[str] = inner.get("Ident") or [""]
        if path[0] in names:
            inner["Ident"] = [names[path[0]], *path[1:]]
    return names


def _rename_function(node: Doc, known: Container[str]) -> None:
    path: list[str] = node.get("Ident") or [""]
    if len(path) == 1 and path[0] in known:
        node["Ident"] = [f"{HIDDEN}function_{path[0]}"]


def balance(statements: list[Doc]) -> None:
    """Make balanced trees of long `a && b && c`, `a || b || c`, `a ?? b ?? c`: the order of evaluation
    does not matter there, and prqlc reads documents only up to a depth."""
    for node in nodes(statements):
        binary = node.get("Binary")
        if binary and binary["op"] in ("And", "Or", "Coalesce") and _chains(binary["left"], binary["op"]):
            operands = _operands(node, binary["op"])
            if len(operands) > _LONG_CHAIN:
                node["Binary"] = _balanced(operands, binary["op"], node.get("span"))["Binary"]


def _chains(node: Doc, op: str) -> bool:
    return "Binary" in node and node["Binary"]["op"] == op and "alias" not in node


def _operands(node: Doc, op: str) -> list[Doc]:
    found: list[Doc] = []
    while _chains(node, op) or not found:
        found.append(node["Binary"]["right"])
        node = node["Binary"]["left"]
    found.append(node)
    return found[::-1]


def _balanced(operands: list[Doc], op: str, span: str | None) -> Doc:
    if len(operands) == 1:
        return operands[0]
    half = len(operands) // 2
    left, right = _balanced(operands[:half], op, span), _balanced(operands[half:], op, span)
    return {"Binary": {"left": left, "op": op, "right": right}, "span": span}


def number_spans(tree: Any, number: int) -> frozenset[tuple[int, int, int]]:
    """Give all spans the number of the query, so that an error of a whole module leads to it. Returns the
    spans of expressions that the query itself names."""
    aliased: list[Doc] = []
    for node in nodes(tree):
        span = node.get("span")
        if isinstance(span, str):
            node["span"] = f"{number}:{span.partition(':')[2]}"
        if "alias" in node:
            aliased.append(node)
    return frozenset(span for node in aliased if (span := span_of(node)) is not None)

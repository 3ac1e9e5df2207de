"""prqlc's built-in functions as declarations that a module brings along.

Without them prqlc parses its standard library anew for each module, which takes ten times as long as most
queries do. `declarations` gives a module `std` with what the queries name, and what prqlc itself looks for.
They hold for the releases in `VERSIONS`, and mean the same as prqlc's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

Doc: TypeAlias = dict[str, Any]

VERSIONS: Final = frozenset({"0.13.14"})
"""Releases of prqlc whose built-in functions are these."""

_PRIMITIVES: Final = {
    **{"int": "Int", "float": "Float", "bool": "Bool", "text": "Text"},
    **{"date": "Date", "time": "Time", "timestamp": "Timestamp"},
}

_LAST_ROW: Final[Doc] = {"Unary": {"op": "Neg", "expr": {"Literal": {"Integer": 1}}}}
_DEFAULTS: Final[Mapping[str, Doc]] = {
    "0..-1": {"Range": {"start": {"Literal": {"Integer": 0}}, "end": _LAST_ROW}},
    "0": {"Literal": {"Integer": 0}},
    "false": {"Literal": {"Boolean": False}},
    "inner": {"Ident": ["inner"]},
    "position": {"Ident": ["position"]},
}

# Parameters with their types, and the type of the result, where prqlc looks at them.
_OPERATORS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("mul", "div_i", "div_f", "mod", "add", "sub", "coalesce"), "left right"),
    **dict.fromkeys(("eq", "ne", "gt", "lt", "gte", "lte"), "left right -> bool"),
    **dict.fromkeys(("and", "or"), "left:bool right:bool -> bool"),
    "regex_search": "text pattern -> bool",
    "neg": "expr",
    "not": "expr:bool -> bool",
}
_FUNCTIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("min", "max", "sum", "average", "stddev", "count_distinct"), "column:array"),
    **dict.fromkeys(("all", "any"), "column:array -> bool"),
    "concat_array": "column:array -> text",
    **dict.fromkeys(("lag", "lead"), "offset:int column:array"),
    **dict.fromkeys(("first", "last", "rank", "rank_dense"), "column:array"),
    "as": "noresolve.type column",
}
_RESOLVED_BY_NAME: Final[Mapping[str, str]] = {
    "count": "column:array -> int",
    "row_number": "column:array",
    "in": "pattern value -> bool",
    **dict.fromkeys(("select", "derive", "aggregate"), "columns tbl:relation -> relation"),
    "filter": "condition:bool tbl:relation -> relation",
    "sort": "by tbl:relation -> relation",
    "take": "expr tbl:relation -> relation",
    "join": "default_db.with:relation condition:bool noresolve.side=inner tbl:relation -> relation",
    "group": "by pipeline:transform tbl:relation -> relation",
    "window": "rows=0..-1 range=0..-1 expanding:bool=false rolling:int=0"
    " pipeline:transform tbl:relation -> relation",
    "append": "noresolve.by=position default_db.bottom:relation top:relation -> relation",
    "loop": "pipeline:transform top:relation -> relation",
}
_MODULES: Final[Mapping[str, Mapping[str, str]]] = {
    "math": {
        **dict.fromkeys(("floor", "ceil"), "column -> int"),
        "pi": " -> float",
        "log": "base column",
        "pow": "exponent column",
        "round": "n_digits column",
        **dict.fromkeys(("abs", "exp", "ln", "log10", "sqrt", "degrees", "radians"), "column"),
        **dict.fromkeys(("cos", "acos", "sin", "asin", "tan", "atan"), "column"),
    },
    "text": {
        **dict.fromkeys(("lower", "upper", "ltrim", "rtrim", "trim"), "column -> text"),
        "length": "column -> int",
        "extract": "offset:int length:int column -> text",
        "replace": "pattern:text replacement:text column -> text",
        "starts_with": "prefix:text column -> bool",
        "contains": "substr:text column -> bool",
        "ends_with": "suffix:text column -> bool",
    },
    "date": {
        "now": " -> timestamp",
        "to_text": "format:text column -> text",
        "diff": "noresolve.unit start end -> int",
        "trunc": "unit:text column",
    },
}
_NAMED: Final = frozenset((*_FUNCTIONS, *_RESOLVED_BY_NAME, *_MODULES))
_MEANING: Final = {"Pow": "math"}
"""The operator `**` is a function of a module."""
_LEFT_TO_PRQLC: Final = (
    *("intersect", "remove", "from_text", "read_parquet", "read_csv", "read_json", "prql", "by"),
    *("tuple_reduce", "tuple_map", "tuple_zip", "tuple_uniq", "tuple_reverse"),
    *("_append_by_name", "_eq", "_is_null"),
)


def declarations(statements: str) -> str | None:
    """The module `std` for some statements, both as JSON; None where they need prqlc's own."""
    words = {_MEANING.get(word, word) for word in re.findall(r'"(\w+)"', statements)}
    if not words.isdisjoint(_LEFT_TO_PRQLC):
        return None
    return _module(_NAMED & words)


@lru_cache(256)
def _module(names: frozenset[str]) -> str:
    statements = [_internal(name, f"std.{name}", text) for name, text in _OPERATORS.items()]
    statements += [{"TypeDef": {"name": name, "value": type_}} for name, type_ in _types()]
    statements.append(_function("from", {"Ident": ["source"]}, "default_db.source:relation -> relation"))
    for name in sorted(names | {"select"}):  # `group` selects its columns
        if name in _MODULES:
            inner = [_internal(n, f"std.{name}.{n}", text) for n, text in _MODULES[name].items()]
            statements.append({"ModuleDef": {"name": name, "stmts": inner}})
        elif name in _FUNCTIONS:
            statements.append(_internal(name, f"std.{name}", _FUNCTIONS[name]))
        else:
            statements.append(_internal(name, name, _RESOLVED_BY_NAME[name]))
    return json.dumps({"ModuleDef": {"name": "std", "stmts": statements}})


def _types() -> Iterator[tuple[str, Doc]]:
    for name in _PRIMITIVES:
        yield name, _type(name)
    yield "func", _of_kind({"Function": None})
    yield "array", _of_kind({"Array": None})
    yield "relation", _of_kind({"Array": _of_kind({"Tuple": [{"Wildcard": None}]})})
    yield "range", _of_kind({"Tuple": [{"Single": ["start", None]}, {"Single": ["end", None]}]})
    relation = _type("relation")
    transform = {"name_hint": None, "params": [relation], "return_ty": relation}
    yield "transform", _of_kind({"Function": transform})


def _internal(name: str, operator: str, signature: str) -> Doc:
    return _function(name, {"Internal": operator}, signature)


def _function(name: str, body: Doc, signature: str) -> Doc:
    parameters, _, result = signature.partition(" -> ")
    named: list[Doc] = []
    plain: list[Doc] = []
    for parameter in parameters.split():
        declared, _, default = parameter.partition("=")
        parameter_name, _, type_ = declared.partition(":")
        document = {"name": parameter_name, "default_value": _DEFAULTS[default] if default else None}
        if type_:
            document["ty"] = _type(type_)
        (named if default else plain).append(document)
    return_type = _type(result) if result else None
    function = {"return_ty": return_type, "body": body, "params": plain, "named_params": named}
    return {"VarDef": {"kind": "Let", "name": name, "value": {"Func": function}}}


def _type(name: str) -> Doc:
    return _of_kind({"Primitive": _PRIMITIVES[name]} if name in _PRIMITIVES else {"Ident": [name]})


def _of_kind(kind: Doc) -> Doc:
    return {"kind": kind, "name": None}

"""Which part of a query has types that do not fit, in the user's words.

DataFusion says that a query cannot be planned, and not where. So expressions are planned one at a time, each
over the transforms before it, down to the smallest that fails; its operands' types make the message.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Final

import pyarrow as pa

from heddle.core.planning import PlanFailure, TypePlanner
from heddle.core.types import OPEN_ROW, RowType, type_name
from heddle.diagnostics import Diagnostic, Span
from heddle.frontend.prql.expressions import AGGREGATES, DATE_PARTS, DATE_UNITS, TYPES, word_of
from heddle.frontend.prql.native import Doc, PrqlFailure, span_of, to_sql
from heddle.frontend.prql.prepared import Prepared
from heddle.frontend.prql.resolved import WILDCARD, Facts, final_ids, read_facts, steps
from heddle.frontend.prql.shaping import render_expressions

SYMBOLS: Final = {
    "std.mul": "*", "std.div_f": "/", "std.div_i": "//", "std.mod": "%", "std.add": "+", "std.sub": "-",
    "std.eq": "==", "std.ne": "!=", "std.gt": ">", "std.lt": "<", "std.gte": ">=", "std.lte": "<=",
    "std.and": "&&", "std.or": "||", "std.not": "!", "std.neg": "-", "std.coalesce": "??",
    "std.regex_search": "~=", "std.array_in": "in",
}  # fmt: skip

_COMPARISONS: Final = ("std.eq", "std.ne", "std.gt", "std.lt", "std.gte", "std.lte")
_PROBE_ID: Final = 9_000_000
_SAME_COLUMNS: Final = "select the same columns on both sides first, in the same order"
_TRUE: Final[Doc] = {"kind": {"Literal": {"Boolean": True}}, "span": None}


class TypeErrors:
    """`rows` are the rows of all known relations."""

    def __init__(self, prepared: Prepared, rows: Mapping[str, RowType], planner: TypePlanner) -> None:
        self._prepared = prepared
        self._rows = rows
        self._planner = planner

    # --- what is seen at once ---------------------------------------------------------------

    def at_once(self, query: Doc, facts: Facts) -> tuple[Diagnostic, ...]:
        """Strings that meet numbers, unknown types behind `as`, unknown units: DataFusion would guess."""
        found: dict[tuple[str, Span], Diagnostic] = {}
        for expression in _expressions(query["relation"]):
            for part in _parts(expression):
                diagnostic = self._check(part, facts)
                if diagnostic is not None:
                    found.setdefault((diagnostic.code, diagnostic.span), diagnostic)
        return tuple(found.values())

    def _check(self, part: Doc, facts: Facts) -> Diagnostic | None:
        kind = part["kind"]
        if "Array" in kind:
            return self._lone_array(part)
        if "Case" in kind:
            return self._mixture("`case`", [arm["value"] for arm in kind["Case"]], part, facts)
        if "Operator" not in kind:
            return None
        name, args = kind["Operator"]["name"], kind["Operator"]["args"]
        if name != "std.array_in" and any("Array" in a["kind"] for a in args):
            return self._lone_array(next(a for a in args if "Array" in a["kind"]))
        if name in _COMPARISONS:
            return self._mixture(f"`{SYMBOLS[name]}`", args, part, facts)
        if name == "std.coalesce":
            return self._mixture("`??`", args, part, facts)
        if name == "std.array_in" and "Array" in args[1]["kind"]:
            return self._mixture("`in`", [args[0], *args[1]["kind"]["Array"]], part, facts)
        if name == "std.as" and word_of(args[0]).lower() not in TYPES:
            message = f"`{word_of(args[0])}` is not a type that `as` knows"
            help = "it knows int, float, text, bool, date, time and timestamp"
            return self._error("HD0605", self._place(args[0]), message, help)
        if name.removeprefix("std.date.") in DATE_PARTS and self._simple_type(args[0], facts) == "string":
            message = f"`{name.removeprefix('std.')}` needs a date or a timestamp, and this is a string"
            return self._error("HD0605", self._place(args[0]), message, "convert first: `(x | as date)`")
        if name == "std.date.diff" and word_of(args[0]).lower() not in DATE_UNITS:
            message = f"`{word_of(args[0])}` is not a unit of time that `date.diff` knows"
            return self._error("HD0605", self._place(args[0]), message, f"it knows {', '.join(DATE_UNITS)}")
        return None

    def _lone_array(self, array: Doc) -> Diagnostic:
        message = "a list of values can only stand behind `in`"
        return self._error("HD0605", self._place(array), message, "write `(x | in [1, 2, 3])`")

    def _mixture(self, what: str, operands: list[Doc], part: Doc, facts: Facts) -> Diagnostic | None:
        types = {
            family: name
            for o in operands
            if (name := self._simple_type(o, facts)) and (family := _family(name))
        }
        if len(types) < 2 or "text" not in types:
            return None
        first, second = list(types.values())[:2]
        help = "convert one of them: `(x | as int)`, `(x | as text)`"
        if span_of(part) is None:
            message = f"columns in the same place have different types on the two sides: {first} and {second}"
            return self._error("HD0620", self._prepared.request.query.body, message, _SAME_COLUMNS)
        return self._error("HD0623", self._place(part), f"{what} mixes {first} and {second}", help)

    def _simple_type(self, expression: Doc, facts: Facts) -> str | None:
        """The type of a column or a literal."""
        kind = expression["kind"]
        if isinstance(kind.get("Literal"), dict):
            return {"Integer": "int", "Float": "float", "String": "string", "Boolean": "bool"}.get(
                next(iter(kind["Literal"]))
            )
        origin = facts.origins.get(kind.get("ColumnRef", -1))
        column = self._rows.get(origin.relation, OPEN_ROW).column(origin.column) if origin else None
        return type_name(column.type) if column is not None and column.type is not None else None

    def of_appends(self, query: Doc) -> tuple[Diagnostic, ...]:
        """Columns that `append` puts under columns of another kind; SQL would turn both into strings."""
        for at, step in enumerate(query["relation"]["kind"].get("Pipeline", ())):
            if "Append" not in step:
                continue
            above = self._columns(query, query["relation"]["kind"]["Pipeline"][:at])
            source = step["Append"]["source"]
            below = self._columns(query, [_from_table(query, source, step["Append"])])
            for upper, lower in zip(above or (), below or (), strict=False):
                families = {_family(type_name(upper.type)), _family(type_name(lower.type))}
                if "text" in families and len(families - {None}) > 1:
                    message = (
                        f"`append` puts `{lower.name}`, a column of {type_name(lower.type)}, "
                        f"under `{upper.name}`, a column of {type_name(upper.type)}"
                    )
                    return (self._error("HD0620", self._prepared.request.query.body, message, _SAME_COLUMNS),)
        return ()

    def _columns(self, query: Doc, pipeline: list[Doc]) -> pa.Schema | None:
        """The columns of a pipeline that ends in the choice of its columns, or only reads a table."""
        probe = copy.deepcopy({**query, "relation": {"kind": {"Pipeline": pipeline}, "columns": []}})
        kept = probe["relation"]["kind"]["Pipeline"]
        if "Select" not in kept[-1]:
            chosen = next((s["Select"] for s in reversed(kept) if "Select" in s), None)
            kept.append(
                {"Select": [id_ for _, id_ in kept[0]["From"]["columns"]] if chosen is None else chosen}
            )
        ids = kept[-1]["Select"]
        probe["relation"]["columns"] = [{"Single": n} for n in self._names(query, ids, kept[0]["From"])]
        _make_plannable(probe)
        try:
            return self._planner.schema(to_sql(probe))
        except (PlanFailure, PrqlFailure):
            return None

    def _names(self, query: Doc, ids: list[int], reference: Doc) -> list[str]:
        """Names for columns of a probe: their own where the table has them."""
        named = {id_: c["Single"] for c, id_ in reference["columns"] if c != WILDCARD and c["Single"]}
        for id_, column in zip(final_ids(query["relation"]), query["relation"]["columns"], strict=False):
            if column != WILDCARD and column["Single"]:
                named.setdefault(id_, column["Single"])
        names = [named.get(id_, f"column_{i + 1}") for i, id_ in enumerate(ids)]
        return [n if names.count(n) == 1 else f"{n}_{i + 1}" for i, n in enumerate(names)]

    # --- what planning finds ----------------------------------------------------------------

    def explain(self, query: Doc | None) -> tuple[Diagnostic, ...]:
        """What is wrong with a query that DataFusion does not plan."""
        if query is not None:
            for at, step in enumerate(query["relation"]["kind"].get("Pipeline", ())):
                diagnostic = self._explain_step(query, at, step)
                if diagnostic is not None:
                    return (diagnostic,)
        message = "the types of columns in this query do not fit together"
        help = "check the columns on both sides of each `append` and `join`, or try it in smaller steps"
        return (self._error("HD0605", self._prepared.request.query.body, message, help),)

    def _explain_step(self, query: Doc, at: int, step: Doc) -> Diagnostic | None:
        match step:
            case {"Compute": compute}:
                return self._explain_value(query, at, compute["expr"])
            case {"Filter": condition}:
                return self._explain_condition(query, at, condition, "`filter`")
            case {"Join": join}:
                opened = copy.deepcopy(query)
                opened["relation"]["kind"]["Pipeline"][at]["Join"]["filter"] = _TRUE
                return self._explain_condition(opened, at + 1, join["filter"], "`join`")
            case _:
                return None

    def _explain_condition(self, query: Doc, at: int, condition: Doc, what: str) -> Diagnostic | None:
        problem = self._explain_value(query, at, condition)
        if problem is not None:
            return problem
        type_ = self._type(query, at, condition)
        if type_ is None or pa.types.is_boolean(type_) or pa.types.is_null(type_):
            return None
        message = f"{what} needs a condition, and this is {type_name(type_)}"
        return self._error(
            "HD0606", self._place(condition), message, "compare it with something, such as `x > 0`"
        )

    def _explain_value(self, query: Doc, at: int, expression: Doc) -> Diagnostic | None:
        if self._type(query, at, expression) is not None:
            return None
        for child in _children(expression):
            problem = self._explain_value(query, at, child)
            if problem is not None:
                return problem
        types = [self._type(query, at, child) for child in _children(expression)]
        names = [_shown(t) for t in types if t is not None and not pa.types.is_null(t)]
        return self._misfit(expression, names)

    def _misfit(self, expression: Doc, types: list[str]) -> Diagnostic | None:
        operator = expression["kind"].get("Operator")
        place = self._place(expression)
        if operator is None and "Case" not in expression["kind"]:
            return None
        if operator is None:
            message = f"the results of `case` have types that do not fit: {', '.join(dict.fromkeys(types))}"
            return self._error("HD0605", place, message, "make all results of one type")
        name = SYMBOLS.get(operator["name"], operator["name"].removeprefix("std."))
        if operator["name"] == "std.add" and "string" in types:
            help = 'join texts with `f"{a}{b}"`; to calculate, convert first: `(x | as int)`'
        else:
            help = "convert first, such as `(x | as int)` or `(x | as text)`"
        if len(types) == 2 and operator["name"] in SYMBOLS:
            return self._error("HD0605", place, f"`{name}` cannot take {types[0]} and {types[1]}", help)
        shown = " and ".join(types) or "this"
        return self._error("HD0605", place, f"`{name}` cannot take {shown}", help)

    def _type(self, query: Doc, at: int, expression: Doc) -> pa.DataType | None:
        """The type of an expression over the first transforms of a query, None when it cannot be planned."""
        probe = copy.deepcopy(query)
        before = [s for s in probe["relation"]["kind"]["Pipeline"][:at] if not _is_aggregation(s)]
        compute: Doc = {"id": _PROBE_ID, "expr": copy.deepcopy(expression)}
        tail: list[Doc] = [{"Compute": compute}]
        if expression["kind"].get("Operator", {}).get("name") in AGGREGATES:
            compute["is_aggregation"] = True
            tail.append({"Aggregate": {"partition": [], "compute": [_PROBE_ID]}})
        tail.append({"Select": [_PROBE_ID]})
        probe["relation"] = {"kind": {"Pipeline": [*before, *tail]}, "columns": [{"Single": "probe"}]}
        _make_plannable(probe)
        try:
            return self._planner.schema(to_sql(probe)).field(0).type
        except (PlanFailure, PrqlFailure):
            return None

    def _place(self, expression: Doc) -> Span:
        body = self._prepared.request.query.body
        span = span_of(expression)
        if span is None or span[0] != self._prepared.number:
            return body
        return self._prepared.text.span(span[1], span[2])

    def _error(self, code: str, span: Span, message: str, help: str | None) -> Diagnostic:
        return Diagnostic(code, "error", message, self._prepared.request.source, span, help)


def _shown(type_: pa.DataType) -> str:
    return "interval" if pa.types.is_interval(type_) else type_name(type_)


def _is_aggregation(step: Doc) -> bool:
    """A compute that only an aggregate after it can use; the probe is planned before that."""
    return bool(step.get("Compute", {}).get("is_aggregation"))


def _make_plannable(probe: Doc) -> None:
    """What `finish.py` does to a query before it is SQL."""
    from heddle.frontend.prql.sealing import seal_limits

    seal_limits(probe, read_facts(probe))
    render_expressions(probe)


def _from_table(query: Doc, source: int, reference: Doc) -> Doc:
    return {"From": {**reference, "source": source}}


def _expressions(relation: Doc) -> Iterator[Doc]:
    for step in steps(relation):
        match step:
            case {"Compute": compute}:
                yield compute["expr"]
            case {"Filter": condition}:
                yield condition
            case {"Join": join}:
                yield join["filter"]


def _children(expression: Doc) -> list[Doc]:
    kind = expression["kind"]
    if "Operator" in kind:
        args: list[Doc] = kind["Operator"]["args"]
        return [a for a in args if "SString" not in a["kind"] and "Array" not in a["kind"]]
    if "Case" in kind:
        return [part for arm in kind["Case"] for part in (arm["condition"], arm["value"])]
    return []


def _parts(expression: Doc) -> Iterator[Doc]:
    stack = [expression]
    while stack:
        part = stack.pop()
        yield part
        stack.extend(reversed(_children(part)))


def _family(name: str) -> str | None:
    """Types that are compared with each other."""
    if name == "string":
        return "text"
    if name in ("int", "float") or name.startswith(("int", "uint", "float", "double", "decimal")):
        return "number"
    return "bool" if name == "bool" else None

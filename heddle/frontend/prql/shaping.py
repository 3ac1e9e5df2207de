"""What Heddle changes in a resolved query before it becomes SQL.

The result gets one column for each name (`finish_columns`), the order of a sorted input goes on into the
query (`carry_order`), and expressions become DataFusion's (`render_expressions`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from itertools import count
from typing import Final

from heddle.core.record import record
from heddle.frontend.prql.expressions import UNSIGNED, as_sql, as_value, with_rendered_arguments
from heddle.frontend.prql.native import Doc, span_of
from heddle.frontend.prql.resolved import WILDCARD, Facts, final_ids
from heddle.frontend.prql.tree import HIDDEN

_FLIPPED: Final = {"Asc": "Desc", "Desc": "Asc"}
_NEW_IDS: Final = 1_000_000
"""Column ids from here on are not prqlc's."""

_UNNAMED: Final = "column"


@record(frozen=True, slots=True)
class ResultColumn:
    """`name` is None for the columns that are not known by name."""

    id: int
    name: str | None


@record(slots=True, eq=False)
class Naming:
    """The result's columns; `clashes` are (old, new) names, `given` names of expressions that had none."""

    columns: list[ResultColumn] = field(default_factory=list)
    clashes: list[tuple[str, str]] = field(default_factory=list)
    given: list[tuple[Doc, str]] = field(default_factory=list)


def finish_columns(
    relation: Doc,
    facts: Facts,
    aliased: frozenset[tuple[int, int, int]],
    merged: Iterable[str],
    dropped: frozenset[tuple[str, str]],
) -> Naming:
    """Give each column of the result a name of its own; drop what the query replaced by another column.

    `aliased` are the spans of expressions that the query names, `merged` are keys of a join whose column
    takes the place of the two that it was made of, `dropped` are (relation, column) that a join left out.
    """
    naming, keys = Naming(), frozenset(merged)
    dropped_at: dict[str, int] = {}
    ids = final_ids(relation)
    last_named = {c["Single"]: i for i, c in enumerate(relation["columns"]) if c != WILDCARD and c["Single"]}
    for i, (id_, column) in enumerate(zip(ids, relation["columns"], strict=True)):
        if column == WILDCARD:
            naming.columns.append(ResultColumn(id_, None))
            continue
        own = facts.names.get(id_)
        name = column["Single"] or own
        if (facts.instances.get(id_), own) in dropped:
            continue
        if name is not None and (
            name.startswith(HIDDEN) or _is_replaced(name, i, ids, last_named, facts, keys)
        ):
            dropped_at.setdefault(name, len(naming.columns))
            continue
        if name is None and span_of(facts.computed.get(id_, {})) in aliased:
            continue
        taken = {c.name for c in naming.columns}
        if name is None:
            name = _unused(_name_for(facts.computed.get(id_), facts, i), taken | set(last_named))
            naming.given.append((facts.computed.get(id_, {}), name))
        elif name in taken:
            renamed = _unused(f"{_instance(id_, facts)}_{name}", taken | set(last_named))
            naming.clashes.append((name, renamed))
            name = renamed
        naming.columns.append(ResultColumn(id_, name))
    for key in keys:
        _move(naming.columns, key, dropped_at.get(key))
    _select(relation, naming, facts)
    return naming


def _is_replaced(
    name: str,
    at: int,
    ids: Sequence[int],
    last_named: dict[str, int],
    facts: Facts,
    keys: frozenset[str],
) -> bool:
    """Whether a later column of the same name is computed by the query, or is the very same column."""
    last = last_named.get(name, at)
    return last > at and (name in keys or ids[last] in facts.computed or ids[last] == ids[at])


def _instance(id_: int, facts: Facts) -> str:
    reference = facts.computed.get(id_, {}).get("kind", {}).get("ColumnRef", id_)
    name = facts.instances.get(reference, "").removeprefix(f"{HIDDEN}relation_")
    return name if name and not name.startswith(HIDDEN) else "other"


def _name_for(expression: Doc | None, facts: Facts, position: int) -> str:
    """`sum amount` -> `sum_amount`, `count this` -> `count`, anything else by its position."""
    operator = (expression or {}).get("kind", {}).get("Operator")
    if operator is None:
        return f"{_UNNAMED}_{position + 1}"
    words = [operator["name"].rsplit(".", 1)[-1]]
    for argument in operator["args"]:
        column = facts.names.get(argument["kind"].get("ColumnRef", -1))
        if column is not None:
            words.append(column)
    is_call = operator["name"].count(".") > 1 or len(operator["args"]) == 1
    return "_".join(words) if is_call else f"{_UNNAMED}_{position + 1}"


def _unused(name: str, taken: Iterable[str | None]) -> str:
    known = set(taken)
    candidate, number = name, 2
    while candidate in known:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def _move(columns: list[ResultColumn], name: str, to: int | None) -> None:
    at = next((i for i, c in enumerate(columns) if c.name == name), None)
    if at is not None and to is not None and to < at:
        columns.insert(to, columns.pop(at))


def _select(relation: Doc, naming: Naming, facts: Facts) -> None:
    """Make the named columns the result; beside a wildcard, a renamed one becomes a column of its own."""
    pipeline = relation["kind"]["Pipeline"]
    new_id = 1 + max((*facts.computed, *facts.names, *facts.wildcards, 0))
    renamed = {new for _, new in naming.clashes}
    open_result = any(c.name is None for c in naming.columns)
    for i, column in enumerate(naming.columns):
        if open_result and column.name in renamed:
            reference = {"kind": {"ColumnRef": column.id}, "span": None}
            pipeline.insert(-1, {"Compute": {"id": new_id, "expr": reference}})
            facts.computed[new_id] = reference
            if column.id in facts.origins:
                facts.origins[new_id] = facts.origins[column.id]
            naming.columns[i] = ResultColumn(new_id, column.name)
            new_id += 1
    pipeline[-1] = {"Select": [c.id for c in naming.columns]}
    relation["columns"] = [WILDCARD if c.name is None else {"Single": c.name} for c in naming.columns]


def carry_order(query: Doc, order_of: Callable[[str], tuple[tuple[str, bool], ...]]) -> None:
    """Sort by what the first relation of the query is sorted by: SQL forgets the order of a subquery."""
    pipeline = query["relation"]["kind"].get("Pipeline")
    if not pipeline or "From" not in pipeline[0]:
        return
    reference = pipeline[0]["From"]
    table = next(t for t in query["tables"] if t["id"] == reference["source"])
    if "ExternRef" not in table["relation"]["kind"]:
        return
    ids = {c["Single"]: id_ for c, id_ in reference["columns"] if c != WILDCARD}
    keys = []
    for name, descending in order_of(table["relation"]["kind"]["ExternRef"]["LocalTable"][-1]):
        if name not in ids:
            break
        keys.append({"direction": "Desc" if descending else "Asc", "column": ids[name]})
    if keys:
        pipeline.insert(1, {"Sort": keys})


def render_expressions(query: Doc) -> None:
    new_ids = count(_NEW_IDS)
    for relation in [query["relation"], *(t["relation"] for t in query["tables"])]:
        if "Pipeline" in relation["kind"]:
            relation["kind"]["Pipeline"] = _rendered(relation["kind"]["Pipeline"], new_ids)


def _rendered(pipeline: list[Doc], ids: Iterator[int]) -> list[Doc]:
    steps: list[Doc] = []
    for step in pipeline:
        match step:
            case {"Compute": compute}:
                steps += _computed(compute, ids)
            case {"Filter": condition}:
                steps.append({"Filter": as_sql(condition)})
            case {"Join": join}:
                steps.append({"Join": {**join, "filter": as_sql(join["filter"])}})
            case {"Loop": inner}:
                steps.append({"Loop": _rendered(inner, ids)})
            case _:
                steps.append(step)
    return steps


def _computed(compute: Doc, ids: Iterator[int]) -> list[Doc]:
    operator = compute["expr"]["kind"].get("Operator", {"name": ""})
    if compute.get("window") is None:
        return [{"Compute": {**compute, "expr": as_value(compute["expr"])}}]
    if operator["name"] == "std.last" and compute["window"]["sort"]:
        compute = _first_of_reversed(compute)
    compute = {**compute, "expr": with_rendered_arguments(compute["expr"])}
    if operator["name"] not in UNSIGNED:
        return [{"Compute": compute}]
    counted = next(ids)
    reference = {"Expr": {"expr": {"kind": {"ColumnRef": counted}, "span": None}, "format": None}}
    signed = {"kind": {"SString": [{"String": "CAST("}, reference, {"String": " AS BIGINT)"}]}, "span": None}
    return [{"Compute": {**compute, "id": counted}}, {"Compute": {"id": compute["id"], "expr": signed}}]


def _first_of_reversed(compute: Doc) -> Doc:
    """`last` as `first` in the opposite order: SQL's LAST_VALUE sees only the rows up to the current one."""
    operator = {**compute["expr"]["kind"]["Operator"], "name": "std.first"}
    window = compute["window"]
    sort = [{**key, "direction": _FLIPPED[key["direction"]]} for key in window["sort"]]
    return {
        **compute,
        "expr": {**compute["expr"], "kind": {"Operator": operator}},
        "window": {**window, "sort": sort},
    }

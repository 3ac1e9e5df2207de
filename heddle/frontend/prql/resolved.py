"""One query of a module that prqlc has resolved, with what can be read off it.

`relation_of` takes the module's document apart: each query becomes a document of its own, in which the
other queries are tables. `read_facts` says where its columns come from and what it does. Both before
expressions are rendered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Final

from heddle.core.record import record
from heddle.frontend.prql.native import Doc

WILDCARD: Final = "Wildcard"


@record(frozen=True, slots=True)
class Origin:
    """A column of an input behind a column id. `whole`: no join can have put a null in its place."""

    relation: str
    column: str
    whole: bool = True


@record(slots=True, eq=False)
class Facts:
    """What a query does. Ids are prqlc's column ids.

    `computed` are expressions by id, `instances` the relation's name in the query by the id of a column
    that it brings in. `order` is what the result is sorted by.
    """

    inputs: list[str] = field(default_factory=list)
    origins: dict[int, Origin] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    instances: dict[int, str] = field(default_factory=dict)
    computed: dict[int, Doc] = field(default_factory=dict)
    wildcards: set[int] = field(default_factory=set)
    demanded: dict[str, set[str]] = field(default_factory=dict)
    order: list[Doc] = field(default_factory=list)
    reduces: bool = False


def relation_of(module: Doc, key: str, names: Mapping[str, str]) -> Doc | None:
    """The document of the query `key`; `names` are the relation keys by the names that the module uses."""
    tables = {t["id"]: t for t in module["tables"]}
    own = next((t for t in module["tables"] if t["name"] == key), None)
    if own is None:
        return None
    needed: set[int] = set()
    stack = [own]
    while stack:
        table = stack.pop()
        for source in sources(table["relation"]):
            if source not in needed:
                needed.add(source)
                if external_key(tables[source], names) is None:
                    stack.append(tables[source])
    listed = [_as_seen(t, names) for t in module["tables"] if t["id"] in needed]
    return {"def": module["def"], "tables": listed, "relation": own["relation"]}


def external_key(table: Doc, names: Mapping[str, str]) -> str | None:
    """The key of a table that stands outside a query, None for a part of the query itself."""
    kind = table["relation"]["kind"]
    if "ExternRef" in kind:
        name: str = kind["ExternRef"]["LocalTable"][-1]
        return names.get(name, name)
    return table["name"] if table["name"] in names else None


def _as_seen(table: Doc, names: Mapping[str, str]) -> Doc:
    key = external_key(table, names)
    if key is None:
        return table
    reference = {"ExternRef": {"LocalTable": [key]}}
    return {
        "id": table["id"],
        "name": None,
        "relation": {"kind": reference, "columns": table["relation"]["columns"]},
    }


def sources(relation: Doc) -> Iterator[int]:
    """The tables that a relation reads directly."""
    for step in steps(relation):
        for name in ("From", "Append"):
            if name in step:
                yield step[name]["source"]
        if "Join" in step:
            yield step["Join"]["with"]["source"]


def steps(relation: Doc) -> Iterator[Doc]:
    """The transforms of a relation, those inside of loops too."""
    stack = list(reversed(relation["kind"].get("Pipeline", ())))
    while stack:
        step = stack.pop()
        yield step
        stack.extend(reversed(step.get("Loop", ())))


def read_facts(query: Doc) -> Facts:
    tables = {t["id"]: t for t in query["tables"]}
    facts = Facts()
    _read(query["relation"], tables, facts)
    for table in query["tables"]:
        if "Pipeline" in table["relation"]["kind"]:
            inner = Facts()
            _read(table["relation"], tables, inner)
            facts.reduces |= inner.reduces
            facts.inputs += inner.inputs
            for key, columns in inner.demanded.items():
                facts.demanded.setdefault(key, set()).update(columns)
    facts.inputs = list(dict.fromkeys(facts.inputs))
    return facts


def _read(relation: Doc, tables: Mapping[int, Doc], facts: Facts) -> None:
    for step in steps(relation):
        if "From" in step:
            _bring(step["From"], tables, facts, whole=True)
        elif "Join" in step:
            _read_join(step["Join"], tables, facts)
        elif "Compute" in step:
            _read_compute(step["Compute"], facts)
        elif "Append" in step:
            _bring(step["Append"], tables, Facts(inputs=facts.inputs), whole=False)
            facts.origins.clear()
            facts.order = []
        elif "Aggregate" in step or "Loop" in step:
            facts.reduces, facts.order = True, []
            if "Loop" in step:
                facts.origins.clear()
        elif "Sort" in step:
            facts.reduces, facts.order = True, step["Sort"]
        elif "Take" in step:
            facts.reduces |= bool(step["Take"]["partition"])
    _read_demands(relation, facts)


def _read_join(join: Doc, tables: Mapping[int, Doc], facts: Facts) -> None:
    facts.reduces = True
    if join["side"] in ("Right", "Full"):
        facts.origins = {i: Origin(o.relation, o.column, whole=False) for i, o in facts.origins.items()}
    _bring(join["with"], tables, facts, whole=join["side"] in ("Inner", "Right"))


def _read_compute(compute: Doc, facts: Facts) -> None:
    facts.computed[compute["id"]] = compute["expr"]
    facts.reduces |= compute.get("window") is not None or bool(compute.get("is_aggregation"))
    same = compute["expr"]["kind"].get("ColumnRef")
    if same in facts.origins:
        facts.origins[compute["id"]] = facts.origins[same]


def _bring(reference: Doc, tables: Mapping[int, Doc], facts: Facts, *, whole: bool) -> None:
    """The columns that a table brings into a pipeline."""
    table = tables[reference["source"]]
    external = table["relation"]["kind"].get("ExternRef")
    inner: Mapping[str, Origin] = {}
    key = external["LocalTable"][-1] if external else None
    if key is None:
        inner = _origins_by_name(table["relation"], tables)
    else:
        facts.inputs.append(key)
    for column, id_ in reference["columns"]:
        facts.instances[id_] = reference["name"] or key or ""
        if column == WILDCARD:
            facts.wildcards.add(id_)
        elif column["Single"] is not None:
            name = column["Single"]
            facts.names[id_] = name
            origin = Origin(key, name, whole) if key is not None else inner.get(name)
            if origin is not None:
                facts.origins[id_] = Origin(origin.relation, origin.column, whole and origin.whole)


def _origins_by_name(relation: Doc, tables: Mapping[int, Doc]) -> dict[str, Origin]:
    """Where the named columns of a part of a query come from."""
    facts = Facts()
    _read(relation, tables, facts)
    named = zip(final_ids(relation), relation["columns"], strict=False)
    return {
        column["Single"]: facts.origins[id_]
        for id_, column in named
        if column != WILDCARD and column["Single"] is not None and id_ in facts.origins
    }


def _read_demands(relation: Doc, facts: Facts) -> None:
    """Which columns of its inputs a relation cannot do without."""
    used: set[int] = set()
    for step in steps(relation):
        if "Select" in step:
            if not facts.wildcards.intersection(step["Select"]):
                used.update(step["Select"])
        elif "Sort" in step:
            used.update(key["column"] for key in step["Sort"])
        elif "Aggregate" in step:
            used.update(step["Aggregate"]["partition"])
        elif "Take" in step:
            take = step["Take"]
            used.update(take["partition"], (key["column"] for key in take["sort"]))
        else:
            used.update(column_references(step))
    for id_ in used:
        origin = facts.origins.get(id_)
        if origin is not None:
            facts.demanded.setdefault(origin.relation, set()).add(origin.column)


def column_references(tree: Any) -> Iterator[int]:
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if "ColumnRef" in item:
                yield item["ColumnRef"]
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def final_ids(relation: Doc) -> list[int]:
    """The column ids of the result, in order."""
    pipeline = relation["kind"].get("Pipeline") or [{}]
    ids: list[int] = pipeline[-1].get("Select", [])
    return ids

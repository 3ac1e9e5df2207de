"""A resolved query taken apart before its lookups: what is before the join becomes a query of its own, the
*probe*, whose rows tell what is looked up, and which the rest of the query reads.

    q9: From q1, Filter, Compute, Join customer, …   ->   q9_probe1: From q1, Filter, Compute, Select
                                                          q9: From q9_probe1, Join customer, …

Lookups whose values are there before the first of them share its probe, so that they run side by side; where
rows are dropped in between the later one gets a probe of its own. Column ids are prqlc's and stay what they
are. Of a query over open rows only the columns of the values can be named: it stays whole, and the probe
gives these alone.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

from heddle.core.record import record
from heddle.frontend.prql.native import Doc
from heddle.frontend.prql.request import LookupValue, TakesBeforeLookup
from heddle.frontend.prql.resolved import WILDCARD, final_ids, sources
from heddle.frontend.prql.shaping import ResultColumn
from heddle.frontend.prql.tree import HIDDEN

_KEEPING_ROWS = frozenset(("From", "Compute", "Join", "Select", "Sort"))
"""Transforms behind which a row before them may still count."""
_BY_PLACE = frozenset(("Append", "Loop"))
"""Transforms that need all columns before them."""


@record(frozen=True, slots=True)
class ProbeDoc:
    """`keys` has, for each lookup, the columns of `query` that give its values, `compared` the lookup's
    columns that the join compares with each value."""

    key: str
    query: Doc
    columns: tuple[ResultColumn, ...]
    keys: Mapping[str, Mapping[str, str]]
    compared: Mapping[str, Mapping[str, tuple[str, ...]]]


@record(frozen=True, slots=True)
class _Lookup:
    """A join of a lookup: its place in the pipeline, the column ids of its values by their names, and the
    lookup's columns that the join compares with each."""

    key: str
    at: int
    ids: Mapping[str, int]
    compared: Mapping[str, tuple[str, ...]]


def split_at_lookups(
    query: Doc, key: str, lookups: Mapping[str, tuple[LookupValue, ...]], names: Mapping[int, str]
) -> tuple[list[ProbeDoc], Doc]:
    """The probes of the query `key` and the rest of it. `lookups` are the values of each lookup that columns
    give, `names` those of columns by their ids. Raises `TakesBeforeLookup`."""
    probes: list[ProbeDoc] = []
    tables = {t["id"]: t for t in query["tables"]}
    splitting = _Splitting(query["def"], tables, key, lookups, names, probes)
    for relation in [*(t["relation"] for t in query["tables"]), query["relation"]]:
        if "Pipeline" in relation["kind"]:
            splitting.split(relation)
    rest = {**query, "tables": _needed(query["relation"], tables)}
    return probes, rest


class _Splitting:
    def __init__(
        self,
        definition: Doc,
        tables: dict[int, Doc],
        key: str,
        lookups: Mapping[str, tuple[LookupValue, ...]],
        names: Mapping[int, str],
        probes: list[ProbeDoc],
    ) -> None:
        self._definition = definition
        self._tables = tables
        self._key = key
        self._lookups = lookups
        self._names = names
        self._probes = probes

    def split(self, relation: Doc) -> None:
        """Take a pipeline apart, from its first lookup to its last."""
        after = 0
        while True:
            pipeline = relation["kind"]["Pipeline"]
            found = [lookup for lookup in self._joins(pipeline) if lookup.at >= after]
            if not found:
                return
            at = found[0].at
            group = list(takewhile(partial(_can_share, at=at, pipeline=pipeline), found))
            if _has_wildcard(pipeline[:at]):
                if any("Take" in step for step in pipeline[:at]):
                    raise TakesBeforeLookup
                ids = [i for lookup in group for i in lookup.ids.values()]
                self._add(pipeline[:at], list(dict.fromkeys(ids)), group)
                after = found[len(group)].at if len(group) < len(found) else len(pipeline)
            else:
                after = self._cut(relation, at, group)

    def _joins(self, pipeline: Sequence[Doc]) -> Iterator[_Lookup]:
        for at, step in enumerate(pipeline):
            if "Join" not in step:
                continue
            reference = step["Join"]["with"]
            external = self._tables[reference["source"]]["relation"]["kind"].get("ExternRef")
            key = external["LocalTable"][-1] if external is not None else None
            values = self._lookups.get(key or "", ())
            if key is not None and values:
                ids, pairs = _compared(step["Join"], values)
                compared = {name: tuple(c for i, c in pairs if i == id_) for name, id_ in ids.items()}
                yield _Lookup(key, at, ids, compared)

    def _cut(self, relation: Doc, at: int, group: Sequence[_Lookup]) -> int:
        """Let what is from `at` on read a probe of what is before it; gives the place behind the group."""
        before, behind = relation["kind"]["Pipeline"][:at], relation["kind"]["Pipeline"][at:]
        order = _order(before)
        defined = _defined(before)
        wanted = dict.fromkeys(
            i for i in (*_needed_ids(behind), *(k["column"] for k in order)) if i in defined
        )
        wanted.update(dict.fromkeys(i for lookup in group for i in lookup.ids.values()))
        ids = list(wanted) or list(defined)[:1]
        probe = self._add(before, ids, group)
        source = 1 + max(self._tables)
        reference = {"ExternRef": {"LocalTable": [probe.key]}}
        columns = [[{"Single": c.name}, c.id] for c in probe.columns]
        listed = [{"Single": c.name} for c in probe.columns]
        self._tables[source] = {
            "id": source,
            "name": None,
            "relation": {"kind": reference, "columns": listed},
        }
        first: Doc = {"From": {**before[0]["From"], "source": source, "columns": columns}}
        start = [first, {"Sort": order}] if order else [first]
        kept = set(ids) | _defined(behind)
        relation["kind"]["Pipeline"] = [*start, *(_narrowed(step, kept) for step in behind)]
        return len(start) - at + group[-1].at + 1

    def _add(self, before: Sequence[Doc], ids: Sequence[int], group: Sequence[_Lookup]) -> ProbeDoc:
        number = len(self._probes) + 1
        columns = tuple(_named(ids, self._names))
        listed = [{"Single": c.name} for c in columns]
        relation = {"kind": {"Pipeline": [*before, {"Select": list(ids)}]}, "columns": listed}
        tables = _needed(relation, self._tables)
        query = copy.deepcopy({"def": self._definition, "tables": tables, "relation": relation})
        name_of = {c.id: c.name or "" for c in columns}
        keys = {lookup.key: {name: name_of[i] for name, i in lookup.ids.items()} for lookup in group}
        compared = {lookup.key: lookup.compared for lookup in group}
        probe = ProbeDoc(f"{self._key}_probe{number}", query, columns, keys, compared)
        self._probes.append(probe)
        return probe


def _compared(join: Doc, values: Sequence[LookupValue]) -> tuple[dict[str, int], list[tuple[int, str]]]:
    """The ids of the columns before a join with which the lookup's own columns of values are compared; and
    all pairs of a column before the join and one of the lookup that must be equal."""
    own = {id_: column["Single"] for column, id_ in join["with"]["columns"] if column != WILDCARD}
    by_name = {value.column: value.name for value in values}
    found: dict[str, int] = {}
    pairs: list[tuple[int, str]] = []
    for left, right in _equals(join["filter"]):
        for probe, joined in ((left, right), (right, left)):
            if joined in own and probe not in own:
                pairs.append((probe, own[joined]))
                if own[joined] in by_name:
                    found[by_name[own[joined]]] = probe
    return {value.name: found[value.name] for value in values}, pairs


def _equals(condition: Doc) -> Iterator[tuple[int, int]]:
    operator = condition["kind"].get("Operator")
    if operator is None:
        return
    if operator["name"] == "std.and":
        for argument in operator["args"]:
            yield from _equals(argument)
    elif operator["name"] == "std.eq":
        ids = [argument["kind"].get("ColumnRef") for argument in operator["args"]]
        if None not in ids:
            yield ids[0], ids[1]


def _can_share(lookup: _Lookup, at: int, pipeline: Sequence[Doc]) -> bool:
    """Whether the probe at `at` gives the lookup's values, for about the rows that it is joined to."""
    between = pipeline[at : lookup.at]
    if not all(_KEEPING_ROWS.intersection(step) for step in between):
        return False
    return set(lookup.ids.values()) <= _defined(pipeline[:at])


def _defined(steps: Sequence[Doc]) -> set[int]:
    """The ids of the columns that transforms bring in or compute."""
    found: set[int] = set()
    for step in steps:
        match step:
            case {"From": reference} | {"Join": {"with": reference}}:
                found.update(id_ for _, id_ in reference["columns"])
            case {"Compute": compute}:
                found.add(compute["id"])
            case _:
                continue
    return found


def _has_wildcard(steps: Sequence[Doc]) -> bool:
    references = (s.get("From") or s.get("Join", {}).get("with") or {} for s in steps)
    return any(column == WILDCARD for r in references for column, _ in r.get("columns", ()))


def _order(steps: Sequence[Doc]) -> list[Doc]:
    """What the rows behind the transforms are sorted by."""
    order: list[Doc] = []
    for step in steps:
        if "Sort" in step:
            order = step["Sort"]
        elif "Aggregate" in step or _BY_PLACE.intersection(step):
            order = []
    return order


def _needed_ids(steps: Sequence[Doc]) -> list[int]:
    """The ids that transforms speak of; a `Select` on the way only says which there still are."""
    if any(_BY_PLACE.intersection(step) for step in steps):
        return list(_ids_in(steps))
    return [i for step in steps[:-1] if "Select" not in step for i in _ids_in(step)] + final_ids(
        {"kind": {"Pipeline": list(steps)}}
    )


def _ids_in(tree: Any) -> Iterator[int]:
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            for name, value in item.items():
                if name in ("ColumnRef", "column") and isinstance(value, int):
                    yield value
                elif name in ("partition", "compute", "Select") and isinstance(value, list):
                    yield from value
                elif name != "with":
                    stack.append(value)


def _narrowed(step: Doc, kept: Collection[int]) -> Doc:
    if "Select" not in step:
        return step
    ids = [i for i in step["Select"] if i in kept]
    return {"Select": ids or step["Select"][:1]}


def _named(ids: Sequence[int], names: Mapping[int, str]) -> Iterator[ResultColumn]:
    """Columns with a name each; engines may not tell names apart that differ by case only."""
    taken: set[str] = set()
    for id_ in ids:
        name = names.get(id_, f"{HIDDEN}column_{id_}")
        if name.lower() in taken or name.startswith(HIDDEN):
            name = f"{HIDDEN}column_{id_}"
        taken.add(name.lower())
        yield ResultColumn(id_, name)


def _needed(relation: Doc, tables: Mapping[int, Doc]) -> list[Doc]:
    """The tables that a relation reads, directly and through others, in their order."""
    found: set[int] = set()
    waiting = [relation]
    while waiting:
        for source in sources(waiting.pop()):
            if source not in found:
                found.add(source)
                waiting.append(tables[source]["relation"])
    return [table for id_, table in tables.items() if id_ in found]

"""Parts of a pipeline that become tables of their own.

    from t | sort x | take 3 | group k (…)  ->  let top = (from t | sort x | take 3); from top | group k (…)

prqlc carries the order of the first part into the second, where an aggregate has left nothing to sort by,
and does not survive it.
"""

from __future__ import annotations

from typing import Any, Final

from heddle.frontend.prql.native import Doc
from heddle.frontend.prql.resolved import WILDCARD, Facts, column_references
from heddle.frontend.prql.tree import HIDDEN

_SEALED_IDS: Final = 2_000_000
_SEALED_TABLES: Final = 1_000_000


def seal_limits(query: Doc, facts: Facts) -> None:
    """Make a table of each part of the main pipeline that sorts, limits, and is aggregated then."""
    relation = query["relation"]
    count = 0
    while (at := _first_limit_below_aggregate(relation["kind"].get("Pipeline", []))) is not None:
        pipeline = relation["kind"]["Pipeline"]
        below, above = pipeline[: at + 1], pipeline[at + 1 :]
        table = _SEALED_TABLES + count
        ids = sorted(_defined(below) & (_used(above) | _sorted_by(below)))
        renumbered = {id_: _SEALED_IDS + count * 100_000 + i for i, id_ in enumerate(ids)}
        names = _names(ids, facts)
        columns = [WILDCARD if name is None else {"Single": name} for name in names]
        query["tables"].append(
            {
                "id": table,
                "name": f"{HIDDEN}top{count}",
                "relation": {"kind": {"Pipeline": [*below, {"Select": ids}]}, "columns": columns},
            }
        )
        reference = {
            "source": table,
            "columns": [[c, renumbered[i]] for c, i in zip(columns, ids, strict=True)],
            "name": f"{HIDDEN}top{count}",
            "prefer_cte": True,
        }
        facts.names |= {renumbered[i]: n for i, n in zip(ids, names, strict=True) if n is not None}
        facts.wildcards |= {renumbered[i] for i in ids if i in facts.wildcards}
        relation["kind"]["Pipeline"] = [{"From": reference}, *(_with_ids(s, renumbered) for s in above)]
        count += 1


def _first_limit_below_aggregate(pipeline: list[Doc]) -> int | None:
    """The place of the last `take` of a sorted pipeline before its first aggregate."""
    is_sorted, limit = False, None
    for at, step in enumerate(pipeline):
        if "Sort" in step:
            is_sorted = True
        elif "Take" in step and (is_sorted or step["Take"]["sort"]):
            limit = at
        elif "Aggregate" in step and limit is not None:
            return limit
        elif "Aggregate" in step:
            is_sorted = False
    return None


def _defined(steps: list[Doc]) -> set[int]:
    found: set[int] = set()
    for step in steps:
        for reference in (step.get("From"), step.get("Join", {}).get("with"), step.get("Append")):
            if reference is not None:
                found.update(id_ for _, id_ in reference["columns"])
        if "Compute" in step:
            found.add(step["Compute"]["id"])
    return found


def _sorted_by(steps: list[Doc]) -> set[int]:
    """What the steps are sorted by; prqlc wants it among a table's columns."""
    keys = [
        *(step.get("Sort", ()) for step in steps),
        *(step.get("Take", {}).get("sort", ()) for step in steps),
    ]
    return {key["column"] for sort in keys for key in sort}


def _used(steps: list[Doc]) -> set[int]:
    """The column ids that steps speak of: in expressions, and where an id stands by itself."""
    found: set[int] = set()
    for step in steps:
        found.update(column_references(step))
        found.update(_bare_ids(step))
    return found


def _bare_ids(step: Doc) -> list[int]:
    match step:
        case {"Select": ids}:
            return list(ids)
        case {"Sort": keys}:
            return [key["column"] for key in keys]
        case {"Aggregate": aggregate}:
            return [*aggregate["partition"], *aggregate["compute"]]
        case {"Take": take}:
            return [*take["partition"], *(key["column"] for key in take["sort"])]
        case {"Compute": {"window": {"partition": partition, "sort": sort}}}:
            return [*partition, *(key["column"] for key in sort)]
        case _:
            return []


def _with_ids(value: Any, renumbered: dict[int, int]) -> Any:
    """A step with other ids in all places where ids stand."""
    if isinstance(value, list):
        return [_with_ids(item, renumbered) for item in value]
    if not isinstance(value, dict):
        return value
    result: Doc = {}
    for key, item in value.items():
        if key in ("ColumnRef", "column") and isinstance(item, int):
            result[key] = renumbered.get(item, item)
        elif key in ("Select", "partition", "compute"):
            result[key] = [renumbered.get(id_, id_) for id_ in item]
        else:
            result[key] = _with_ids(item, renumbered)
    return result


def _names(ids: list[int], facts: Facts) -> list[str | None]:
    """A name for each column, its own where it is the only one of that name; None for a wildcard."""
    own = [facts.names.get(id_) for id_ in ids]
    return [
        None
        if id_ in facts.wildcards
        else name
        if name is not None and own.count(name) == 1
        else f"{HIDDEN}column{i}"
        for i, (id_, name) in enumerate(zip(ids, own, strict=True))
    ]

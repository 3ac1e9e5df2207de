"""Edits of a plan that several rules make: a fragment put between two operators."""

from __future__ import annotations

from heddle.core.planning import quoted
from heddle.frontend.typed import NO_POLICY
from heddle.logical.plan import Fragment, Op, OpId, Query, Sink, Step


def selecting_all(
    step: Step, below: Op, own_id: OpId, *, where: str | None = None, alias: str = ""
) -> Fragment:
    """A fragment between a step and what it reads: the rows of `below`, or those for which `where` holds,
    a predicate that qualifies columns with `alias`."""
    relation = below.result.relation if isinstance(below, Fragment) else f"r{below.id}"
    query = selection(step, below, relation, own_id, where=where, alias=alias)
    return Fragment(
        own_id,
        (query,),
        {relation: below.id},
        query.row,
        query.path,
        step.span,
        step.workflow,
        None,
        NO_POLICY,
    )


def selection(
    step: Step, below: Op, relation: str, own_id: OpId, *, where: str | None = None, alias: str = ""
) -> Query:
    """The query of `selecting_all`; `relation` is the name under which it reads `below`."""
    assert not isinstance(below, Sink) and below.row is not None, "only tables are read"
    source = quoted(relation) + (f" AS {quoted(alias)}" if alias else "")
    return Query(
        relation=f"b{own_id}",
        sql=f"SELECT * FROM {source}" + (f" WHERE {where}" if where else ""),
        tables=(relation,),
        row=below.row,
        path=f"{step.path}:input",
        span=step.span,
        reduces=False,
        late=not below.row.complete,
    )

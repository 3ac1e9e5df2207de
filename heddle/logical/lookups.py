"""Lookups in the plan: a step that is called with distinct values, and the query that gives them.

orders ─┬────────────────────────────────┐
        └─ [distinct id] ── customer ──[join]
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from heddle.core.planning import quoted
from heddle.core.types import Column, RowType
from heddle.frontend.typed import NO_POLICY, LookupUse, StepNode
from heddle.logical.plan import Fragment, Op, OpId, Query, Step

if TYPE_CHECKING:
    import pyarrow as pa

    from heddle.frontend.typed import NodeId


ROWS_A_KEY: Final = 16
"""To find a row by its key takes a service about as long as to give so many rows one after the other."""


class Lowering(Protocol):
    """The part of a plan that is made so far."""

    ops: dict[OpId, Op]

    def row_of(self, op_id: OpId) -> RowType | None: ...

    def relation_of_op(self, op_id: OpId) -> str:
        """The name under which SQL reads an operator."""
        ...

    def readable(self, op_id: OpId) -> OpId:
        """The operator, or one that reads it where a step cannot."""
        ...

    def new_id(self) -> OpId: ...


def lowered_lookup(node: StepNode, use: LookupUse, lowering: Lowering, workflow: str) -> Step:
    assert node.input is not None, "a lookup takes its values from what is piped into it"
    source: OpId
    row: RowType | None
    if use.joined:
        keys = _distinct_values(node, node.input, use, lowering, workflow)
        lowering.ops[keys.id] = keys
        source, row = keys.id, _with_holders(use, keys.row)
    else:
        source, row = lowering.readable(node.input), node.row
    call = node.call
    if use.numbered:
        call = replace(call, signature=replace(call.signature, rows="flat"))
    return Step(
        node.id, call, source, row, node.path, node.span, workflow, node.trap, node.policy, lookup=use
    )


def _distinct_values(
    node: StepNode, input_id: NodeId, use: LookupUse, lowering: Lowering, workflow: str
) -> Fragment:
    """The tuples of values, without those that hold a null: nothing is equal to it."""
    row, relation = lowering.row_of(input_id), lowering.relation_of_op(input_id)
    assert row is not None, "a query gives rows"
    items = ", ".join(f"{quoted(column)} AS {quoted(name)}" for name, column in use.values.items())
    known = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in dict.fromkeys(use.values.values()))
    own = RowType(tuple(Column(n, _type_of(row, c), nullable=False) for n, c in use.values.items()))
    query = Query(
        relation=f"k{node.id}",
        sql=f"SELECT DISTINCT {items} FROM {quoted(relation)} WHERE {known}",
        tables=(relation,),
        row=own,
        path=f"{node.path}:keys",
        span=node.span,
        reduces=True,
        late=not row.complete,
    )
    own_id = lowering.new_id()
    inputs = {relation: input_id}
    return Fragment(own_id, (query,), inputs, own, query.path, node.span, workflow, node.trap, NO_POLICY)


def _type_of(row: RowType, name: str) -> pa.DataType | None:
    column = row.column(name)
    return None if column is None else column.type


def _with_holders(use: LookupUse, keys: RowType) -> RowType:
    """What a lookup gives to its join: its own row, and the values that each row was found for."""
    added = [
        Column(holder, _type_of(keys, name), nullable=False)
        for name, holder in use.holders.items()
        if use.row.column(holder) is None
    ]
    return use.row.with_columns(added)

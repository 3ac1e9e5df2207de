"""A client's query over outputs of a program: its text becomes the last query of the workflow's own plan.

`lower_asked` takes the nodes that the outputs need, puts the client's query on top, and leaves all else to
the rules: a filter that a client typed is one of the program's from there on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from heddle.core.record import record
from heddle.core.types import RowType
from heddle.diagnostics import Span
from heddle.frontend.typed import NO_POLICY, ConfigData, NodeId, StepNode, TypedProgram
from heddle.logical.lower import lower_nodes, read_by
from heddle.logical.plan import Fragment, LogicalPlan, Op, OpId, Query, Scan, Step

ASKED_PATH: Final = "query"
"""The path of a client's query in messages and events."""
_NOWHERE: Final = Span(0, 0)


@record(frozen=True, slots=True)
class AskedOutput:
    """What a node of the program gives."""

    node: NodeId


@record(frozen=True, slots=True)
class AskedFiles:
    """Files that a reader of `std/io` reads."""

    step: str
    config: Mapping[str, ConfigData]
    row: RowType


AskedTable: TypeAlias = AskedOutput | AskedFiles


@record(frozen=True, slots=True)
class AskedQuery:
    """`sql` is in DataFusion's dialect and reads `tables` by their relations: a node by its name of
    `relation_names`. `row` is what it gives. `portable`: nothing in it that its words do not show means
    something else in DuckDB. `anew`: it gives other rows each time."""

    sql: str
    tables: Mapping[str, AskedTable]
    row: RowType
    reduces: bool
    portable: bool
    anew: bool


def effects_below(program: TypedProgram, node: NodeId) -> list[StepNode]:
    """Steps with effects that the rows of a node come through."""
    return [n for n in read_by(program, [node]) if isinstance(n, StepNode) and n.call.signature.effect]


def streams_below(program: TypedProgram, node: NodeId) -> list[StepNode]:
    """Steps that read streams which the rows of a node come from."""
    return [n for n in read_by(program, [node]) if isinstance(n, StepNode) and n.call.signature.stream]


def lower_asked(program: TypedProgram, asked: AskedQuery) -> LogicalPlan:
    """The plan whose one root is the client's query; not yet optimized."""
    lowered = lower_nodes(program, [t.node for t in asked.tables.values() if isinstance(t, AskedOutput)])
    handled = {op.path for op in lowered.ops.values() if _is_handled(op, lowered.trapped)}
    ops: dict[OpId, Op] = {i: _without_trap(op) for i, op in lowered.ops.items()}
    inputs: dict[str, OpId] = {}
    own_id = lowered.next_id
    for relation, table in asked.tables.items():
        match table:
            case AskedOutput(node=node):
                inputs[relation] = node
            case AskedFiles(step=step, config=config, row=row):
                own_id += 1
                ops[own_id] = Scan(own_id, step, config, row, f"{ASKED_PATH}/{relation}", _NOWHERE)
                inputs[relation] = own_id
    own_id += 1
    query = Query(
        relation=ASKED_PATH,
        sql=asked.sql,
        tables=tuple(asked.tables),
        row=asked.row,
        path=ASKED_PATH,
        span=_NOWHERE,
        reduces=asked.reduces,
        late=False,
        portable=asked.portable,
        anew=asked.anew,
    )
    ops[own_id] = Fragment(own_id, (query,), inputs, asked.row, ASKED_PATH, _NOWHERE, "", None, NO_POLICY)
    return LogicalPlan(ops, (own_id,), left_out=frozenset(handled))


def _is_handled(op: Op, trapped: frozenset[str]) -> bool:
    return isinstance(op, Fragment | Step) and (op.trap is not None or op.workflow in trapped)


def _without_trap(op: Op) -> Op:
    """No handler runs, so what only handlers see holds no rule back."""
    return replace(op, trap=None) if isinstance(op, Fragment | Step) else op

"""Typed program -> logical plan: one operator per node that the goals could need, not yet optimized."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from heddle.core.planning import quoted
from heddle.core.record import record
from heddle.core.types import RowType
from heddle.diagnostics import Span
from heddle.frontend.typed import (
    NO_POLICY,
    ConfigData,
    ErrorFrameNode,
    Handler,
    Node,
    NodeId,
    Policy,
    QueryNode,
    StepNode,
    TableNode,
    TypedProgram,
    Workflow,
    inputs_of,
)
from heddle.logical.plan import (
    ErrorRows,
    Fragment,
    LogicalPlan,
    Op,
    OpId,
    Query,
    Scan,
    Sink,
    Step,
    Values,
)


@record(frozen=True, slots=True)
class Goals:
    """What a run is for: whole workflows (all when empty), and outputs written to files.

    `outputs` maps `Workflow.output` to a sink: the step name of `std/io` and its config.
    `limit` keeps the first rows of what is printed or written for an output.
    """

    workflows: tuple[str, ...] = ()
    outputs: Mapping[str, tuple[str, Mapping[str, ConfigData]]] | None = None
    limit: int | None = None


def lower(program: TypedProgram, goals: Goals) -> LogicalPlan:
    """The plan of the chosen workflows; its roots are effects, asked outputs, else unread last results."""
    lowering = _Lowering(program)
    for node in read_by(program, [i for w in program.workflows.values() for i in w.nodes]):
        lowering.add(node)
    chosen = [program.workflows[name] for name in goals.workflows or tuple(program.workflows)]
    roots: list[OpId] = []
    for workflow in chosen:
        roots += _roots_of(workflow, program, goals, lowering)
    names = {
        f"{workflow.name}.{output.name}": output.node
        for workflow in program.workflows.values()
        for output in workflow.outputs
    }
    trapped = frozenset(w.name for w in program.workflows.values() if w.trap is not None)
    return LogicalPlan(lowering.ops, tuple(roots), names=names, trapped=trapped)


@record(frozen=True, slots=True)
class LoweredNodes:
    """Operators of some nodes and of all that they read. `next_id` is not taken by any."""

    ops: Mapping[OpId, Op]
    next_id: OpId
    trapped: frozenset[str]


def lower_nodes(program: TypedProgram, nodes: Sequence[NodeId]) -> LoweredNodes:
    """What gives the rows of some nodes, for a reader that stands outside of the program. It reads them under
    the names of `relation_names`."""
    lowering = _Lowering(program)
    lowering.relation_of = dict(relation_names(program))
    for node in read_by(program, nodes):
        lowering.add(node)
    trapped = frozenset(w.name for w in program.workflows.values() if w.trap is not None)
    return LoweredNodes(lowering.ops, lowering.next_id, trapped)


def relation_names(program: TypedProgram) -> Mapping[NodeId, str]:
    """The name under which SQL reads each node."""
    names = {node.id: f"r{node.id}" for node in program.nodes}
    for node in program.nodes:
        if isinstance(node, QueryNode):
            names[node.id] = node.relation
            names.update({i.node: i.relation for i in node.inputs})
    return names


def lower_handler(program: TypedProgram, handler: Handler) -> LogicalPlan:
    """The plan of a handler: its effects, and printed what nothing reads."""
    lowering = _Lowering(program)
    for node in read_by(program, handler.nodes):
        lowering.add(node)
    own = [program.nodes[i] for i in handler.nodes]
    roots = [node.id for node in own if _is_effect(node)]
    read = program.consumers()
    unread = [n.id for n in own if not read[n.id] and not _is_effect(n) and not isinstance(n, ErrorFrameNode)]
    for node_id in unread:
        roots.append(lowering.print_result(node_id, handler.name, None, handler.span))
    return LogicalPlan(lowering.ops, tuple(roots), trapped=frozenset({handler.name}))


def _roots_of(workflow: Workflow, program: TypedProgram, goals: Goals, lowering: _Lowering) -> list[OpId]:
    roots = [i for i in workflow.nodes if _is_effect(program.nodes[i])]
    asked = goals.outputs or {}
    wanted = [o for o in workflow.outputs if f"{workflow.name}.{o.name}" in asked]
    for output in wanted:
        step, config = asked[f"{workflow.name}.{output.name}"]
        source = lowering.limited(output.node, goals.limit)
        roots.append(lowering.sink(step, config, source, workflow.name, output.name, output.span))
    if roots:
        return roots
    read = program.consumers()
    unread: list[tuple[NodeId, str | None]] = [(i, None) for i in workflow.last]
    unread += [(o.node, o.name) for o in workflow.outputs if not read[o.node]]
    for node_id, name in unread:
        source = lowering.limited(node_id, goals.limit)
        roots.append(lowering.print_result(source, workflow.name, name, workflow.span))
    return roots


def read_by(program: TypedProgram, nodes: Iterable[NodeId]) -> list[Node]:
    """Some nodes and all that they read, in the program's order."""
    wanted: set[NodeId] = set()
    stack = list(nodes)
    while stack:
        node_id = stack.pop()
        if node_id not in wanted:
            wanted.add(node_id)
            stack.extend(inputs_of(program.nodes[node_id]))
    return [node for node in program.nodes if node.id in wanted]


def _is_effect(node: Node) -> bool:
    return isinstance(node, StepNode) and (bool(node.call.signature.effect) or node.row is None)


class _Lowering:
    """Operators by id: a node's operator has the node's id, operators without a node come after.

    `relation_of` is the name under which queries read a node; a fragment made for it must bear that name.
    """

    def __init__(self, program: TypedProgram) -> None:
        self.program = program
        self.ops: dict[OpId, Op] = {}
        self.next_id = len(program.nodes)
        self.workflow_of: dict[NodeId, str] = {}
        self.relation_of: dict[NodeId, str] = {}
        for node in program.nodes:
            if isinstance(node, QueryNode):
                self.relation_of.update({i.node: i.relation for i in node.inputs})
        for workflow in program.workflows.values():
            self.workflow_of.update(dict.fromkeys(workflow.nodes, workflow.name))
        for handler in program.handlers.values():
            self.workflow_of.update(dict.fromkeys(handler.nodes, handler.name))

    def add(self, node: Node) -> None:
        match node:
            case TableNode(id=id_, rows=rows, row=row, span=span):
                self.ops[id_] = Values(id_, rows, row, f"table{id_}", span)
            case ErrorFrameNode(id=id_, row=row, span=span):
                self.ops[id_] = ErrorRows(id_, row, f"errors{id_}", span)
            case QueryNode():
                self.ops[node.id] = self._query(node)
            case StepNode():
                self.ops[node.id] = self._step(node)

    def _query(self, node: QueryNode) -> Fragment:
        query = Query(
            relation=node.relation,
            sql=node.sql,
            tables=tuple(i.relation for i in node.inputs),
            row=node.row,
            path=node.path,
            span=node.span,
            reduces=node.reduces,
            late=node.late,
        )
        inputs = {i.relation: i.node for i in node.inputs}
        workflow = self.workflow_of.get(node.id, "")
        return Fragment(
            node.id,
            (query,),
            inputs,
            node.row,
            node.path,
            node.span,
            workflow,
            node.trap,
            node.policy,
        )

    def _step(self, node: StepNode) -> Op:
        call = node.call
        workflow = self.workflow_of.get(node.id, "")
        if call.module.path == "std/io":
            if node.input is None:
                return self._reader(node)
            source = self.readable(node.input)
            return Sink(
                node.id,
                call.signature.name,
                call.config,
                source,
                node.path,
                node.span,
                workflow,
                node.trap,
                node.policy,
            )
        if call.module.path == "std/col" and node.input is not None:
            return self._columns(node, node.input)
        if node.lookup is not None:
            from heddle.logical.lookups import lowered_lookup

            return lowered_lookup(node, node.lookup, self, workflow)
        source_id = None if node.input is None else self.readable(node.input)
        return Step(
            node.id,
            call,
            source_id,
            node.row,
            node.path,
            node.span,
            workflow,
            node.trap,
            node.policy,
        )

    def _reader(self, node: StepNode) -> Scan | Fragment:
        """A scan; under a trap of its own it is read by a fragment that can fail by itself."""
        assert node.row is not None, "a reader gives rows"
        step, config = node.call.signature.name, node.call.config
        if node.trap is None:
            return Scan(node.id, step, config, node.row, node.path, node.span)
        scan_id = self.new_id()
        self.ops[scan_id] = Scan(scan_id, step, config, node.row, node.path, node.span)
        return replace(self._reading_all(scan_id, node.id), trap=node.trap)

    def _columns(self, node: StepNode, input_id: NodeId) -> Fragment | Step:
        """`col.cast` and `col.rename` are projections: as queries the optimizer sees through them."""
        relation = self.relation_of.get(node.id, f"c{node.id}")
        source = self.relation_of_op(input_id)
        known = self.row_of(input_id)
        assert known is not None and node.row is not None, "std/col stands between two tables"
        from heddle.std.columns import select_list

        items = select_list(node.call.signature.name, node.call.config, known)
        query = Query(
            relation=relation,
            sql=f"SELECT {items} FROM {quoted(source)}",
            tables=(source,),
            row=node.row,
            path=node.path,
            span=node.span,
            reduces=False,
            late=not known.complete,
        )
        return Fragment(
            node.id,
            (query,),
            {source: input_id},
            node.row,
            node.path,
            node.span,
            self.workflow_of.get(node.id, ""),
            node.trap,
            node.policy,
        )

    def row_of(self, op_id: OpId) -> RowType | None:
        op = self.ops[op_id]
        return None if isinstance(op, Sink) else op.row

    def relation_of_op(self, op_id: OpId) -> str:
        """The name under which SQL reads an operator."""
        op = self.ops[op_id]
        return op.result.relation if isinstance(op, Fragment) else f"r{op_id}"

    def readable(self, op_id: OpId) -> OpId:
        """The operator itself, or a fragment that reads it when only DataFusion can (a scan)."""
        return self._select_all(op_id) if isinstance(self.ops[op_id], Scan) else op_id

    def limited(self, op_id: OpId, limit: int | None) -> OpId:
        if limit is None:
            return self.readable(op_id)
        selected = self._select_all(op_id)
        fragment = self.ops[selected]
        assert isinstance(fragment, Fragment)
        self.ops[selected] = replace(fragment, limit=limit)
        return selected

    def _select_all(self, op_id: OpId) -> OpId:
        fragment = self._reading_all(op_id, self.new_id())
        self.ops[fragment.id] = fragment
        return fragment.id

    def _reading_all(self, op_id: OpId, own_id: OpId) -> Fragment:
        """A fragment with id `own_id` that gives an operator's rows unchanged."""
        op = self.ops[op_id]
        row = self.row_of(op_id)
        assert row is not None, "only tables are read"
        source = self.relation_of_op(op_id)
        query = Query(
            relation=self.relation_of.get(own_id, f"s{own_id}"),
            sql=f"SELECT * FROM {quoted(source)}",
            tables=(source,),
            row=row,
            path=op.path,
            span=op.span,
            reduces=False,
            late=not row.complete,
        )
        workflow = self.workflow_of.get(op_id, self.workflow_of.get(own_id, ""))
        return Fragment(own_id, (query,), {source: op_id}, row, op.path, op.span, workflow, None, NO_POLICY)

    def sink(
        self,
        step: str,
        config: Mapping[str, ConfigData],
        source: OpId,
        workflow: str,
        name: str,
        span: Span,
    ) -> OpId:
        new_id = self.new_id()
        path = f"{workflow}/{name}:io.{step}"
        self.ops[new_id] = Sink(new_id, step, config, source, path, span, workflow, None, Policy())
        return new_id

    def print_result(self, op_id: OpId, workflow: str, name: str | None, span: Span) -> OpId:
        config: dict[str, ConfigData] = {"title": f"{workflow}.{name}"} if name else {}
        return self.sink("print", config, self.readable(op_id), workflow, name or "last", span)

    def new_id(self) -> OpId:
        self.next_id += 1
        return self.next_id - 1

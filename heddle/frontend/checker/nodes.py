"""Nodes: typed drafts become the nodes, workflows and handlers of the typed program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

from heddle.core.types import OPEN_ROW
from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.checker.drafts import (
    AnyDraft,
    BrokenDraft,
    ErrorsDraft,
    QueryDraft,
    StepDraft,
    TableDraft,
)
from heddle.frontend.checker.scope import Scope
from heddle.frontend.typed import (
    ERROR_FRAME_ROW,
    NO_PROPERTIES,
    ErrorFrameNode,
    Handler,
    Node,
    NodeId,
    Output,
    OutputProperties,
    QueryInput,
    QueryNode,
    StepCall,
    StepNode,
    TableNode,
    Workflow,
)


class Nodes:
    """Drafts as nodes; a node's id is its place in the typed order."""

    def __init__(self, ordered: list[AnyDraft]) -> None:
        self.ids: dict[AnyDraft, NodeId] = {draft: i for i, draft in enumerate(ordered)}
        self.nodes: tuple[Node, ...] = tuple(self._node(draft) for draft in ordered)

    def _node(self, draft: AnyDraft) -> Node:
        id_ = self.ids[draft]
        match draft:
            case TableDraft():
                return TableNode(id_, draft.rows, draft.columns, draft.span)
            case ErrorsDraft():
                return ErrorFrameNode(id_, ERROR_FRAME_ROW, draft.span)
            case QueryDraft():
                return self._query(id_, draft)
            case StepDraft():
                return self._step(id_, draft)
            case BrokenDraft():
                raise AssertionError("a program with a broken draft has errors")
            case _:
                assert_never(draft)

    def _query(self, id_: NodeId, draft: QueryDraft) -> QueryNode:
        return QueryNode(
            id=id_,
            sql=draft.sql,
            prql=draft.prql,
            inputs=tuple(QueryInput(d.key, self.ids[d]) for d in draft.read),
            row=draft.row or OPEN_ROW,
            lineage={name: (self.ids[d], column) for name, (d, column) in draft.lineage.items()},
            trap=draft.trap,
            policy=draft.policy,
            path=draft.path,
            span=draft.span,
            late=draft.late,
            relation=draft.key,
            reduces=draft.reduces,
        )

    def _step(self, id_: NodeId, draft: StepDraft) -> StepNode:
        resolved = draft.call
        call = StepCall(
            callee=resolved.callee,
            module=resolved.module,
            signature=resolved.signature,
            config=resolved.settings.values,
            resources=resolved.resources,
            parameters=draft.parameters,
            span=resolved.span,
            config_spans=resolved.settings.spans,
            remembered=draft.remembered,
        )
        below = None if draft.piped is None else self.ids[draft.piped]
        use = None
        if draft.lookup is not None:
            from heddle.frontend.checker.lookups import use_of

            use = use_of(draft.call, draft.lookup)
        return StepNode(id_, call, below, draft.row, draft.trap, draft.policy, draft.path, draft.span, use)


def _own_drafts(scope: Scope) -> Iterator[AnyDraft]:
    """The drafts of a workflow or handler, with the parts of queries that are drafts of their own."""
    for draft in scope.drafts:
        if isinstance(draft, QueryDraft):
            yield from draft.probes
        yield draft


def typed_workflow(
    item: ast.WorkflowItem,
    scope: Scope,
    trap: str | None,
    nodes: Nodes,
    properties: Mapping[Span, OutputProperties],
) -> Workflow:
    """`properties` are those of outputs, by the places of their names."""
    return Workflow(
        name=scope.name,
        nodes=tuple(nodes.ids[d] for d in _own_drafts(scope)),
        outputs=tuple(
            Output(n.text, nodes.ids[d], n.span, doc, properties.get(n.span, NO_PROPERTIES))
            for n, d, doc in scope.outputs
            if d.row is not None
        ),
        last=tuple(nodes.ids[d] for d, _ in scope.last if d.row is not None),
        trap=trap,
        policy=scope.policy,
        span=item.span,
        doc=item.doc,
    )


def typed_handler(item: ast.HandlerItem, scope: Scope, nodes: Nodes) -> Handler:
    errors = None if scope.errors is None else nodes.ids[scope.errors]
    return Handler(scope.name, tuple(nodes.ids[d] for d in _own_drafts(scope)), errors, item.span)

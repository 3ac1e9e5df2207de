"""The typed program: what the checker gives and the planner takes.

All relations of a program form one DAG of nodes, numbered in an order in which inputs come first.
Every node has its row type and its span; configs are checked and converted, except for values that
only a run may read (`EnvRef`, `SecretRef`, `ParamRef`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Literal, TypeAlias

import pyarrow as pa

from heddle.core.record import record
from heddle.core.signature import ModuleSignature, ResourceSignature, StepSignature
from heddle.core.types import TIMESTAMP, Column, RowType
from heddle.diagnostics import Source, Span

if TYPE_CHECKING:
    from heddle.core.refresh_policy import RefreshPolicy

NodeId = int

ERROR_FRAME_ROW = RowType(
    (
        Column("error_msg", pa.string(), nullable=False),
        Column("error_type", pa.string(), nullable=False),
        Column("stack_trace", pa.string(), nullable=False),
        Column("workflow", pa.string(), nullable=False),
        Column("step", pa.string(), nullable=False),
        Column("run_id", pa.string(), nullable=False),
        Column("attempt", pa.int64(), nullable=False),
        Column("at", TIMESTAMP, nullable=False),
        Column("payload", pa.string()),
    )
)
"""What a handler reads: one row for each row that failed, `payload` is that row as JSON."""


@record(frozen=True, slots=True)
class EnvRef:
    """`env("NAME")`: read when a run starts."""

    name: str


@record(frozen=True, slots=True)
class SecretRef:
    """`secret("NAME")`: read when a run starts, shown nowhere."""

    name: str


@record(frozen=True, slots=True)
class ParamRef:
    """A config string that is exactly `"@name"` and names a workflow parameter."""

    name: str


ConfigData: TypeAlias = (
    "bool | int | float | str | EnvRef | SecretRef | ParamRef"
    " | list[ConfigData] | dict[str, ConfigData] | None"
)


def parameters_in(value: ConfigData) -> Iterator[str]:
    """The names of the parameters that a setting refers to."""
    match value:
        case ParamRef(name=name):
            yield name
        case list():
            for item in value:
                yield from parameters_in(item)
        case dict():
            for item in value.values():
                yield from parameters_in(item)


@record(frozen=True, slots=True)
class Policy:
    """What must hold for a stage (language.md section 9). Durations in seconds; None: not said.

    `on` lists the error types that are retried; empty means all.
    """

    attempts: int | None = None
    backoff_first_s: float = 0.2
    backoff_max_s: float = 30.0
    backoff_kind: Literal["exp", "fixed"] = "exp"
    on: tuple[str, ...] = ()
    timeout_s: float | None = None
    key: str | None = None
    durability: Literal["none", "barrier", "step"] | None = None
    concurrency: int | None = None
    rate_per_s: float | None = None
    batch_max_rows: int | None = None
    batch_max_wait_s: float | None = None


NO_POLICY = Policy()


@record(frozen=True, slots=True)
class ResourceUse:
    """A resource of the program: `config` is the program's with the profile laid over it."""

    name: str
    module: ModuleSignature
    signature: ResourceSignature
    config: Mapping[str, ConfigData]
    span: Span
    config_spans: Mapping[str, Span] = field(default_factory=dict)


@record(frozen=True, slots=True)
class ParamBinding:
    """Where `@name` in a statement takes its value: a piped or joined column, or a workflow parameter."""

    name: str
    source: Literal["piped", "joined", "workflow"]
    column: str


@record(frozen=True, slots=True)
class StepCall:
    """A call of a step: which, with what. `callee` is as written (`scoring.risk`, or a bound step's name).
    `remembered`: its columns are what a service said at another time."""

    callee: str
    module: ModuleSignature
    signature: StepSignature
    config: Mapping[str, ConfigData]
    resources: Mapping[str, str]
    parameters: tuple[ParamBinding, ...]
    span: Span
    config_spans: Mapping[str, Span] = field(default_factory=dict)
    remembered: bool = False


@record(frozen=True, slots=True)
class TableNode:
    """Rows written in the program; a missing cell is None."""

    id: NodeId
    rows: tuple[Mapping[str, bool | int | float | str | None], ...]
    row: RowType
    span: Span


@record(frozen=True, slots=True)
class QueryInput:
    """`relation` is the name under which the SQL speaks of node `node`."""

    relation: str
    node: NodeId


@record(frozen=True, slots=True)
class QueryNode:
    """A query as SQL over its inputs (target: DataFusion). `late`: it is typed when open inputs are known.

    `lineage` maps an output column to the (input node, column) that it passes through unchanged.
    `prql` is the text that was compiled, after normalisation, for messages and explain.
    `relation` is the name under which other queries' SQL speaks of it. `reduces`: it joins, aggregates,
    sorts, takes distinct rows or windows, so that computing it twice costs.
    """

    id: NodeId
    sql: str
    prql: str
    inputs: tuple[QueryInput, ...]
    row: RowType
    lineage: Mapping[str, tuple[NodeId, str]]
    trap: str | None
    policy: Policy
    path: str
    span: Span
    late: bool = False
    relation: str = ""
    reduces: bool = True


@record(frozen=True, slots=True)
class LookupUse:
    """A step that is called with the distinct values of columns of its input, one row for each tuple of them.

    `values` has a column of the input for each value by its name, `holders` the column of the output that
    holds it. `joined`: its rows go to a join, which compares the holders; else they are put beside the
    rows of the input that they were found for. `row` is what the step itself gives. `numbered`: its rows tell
    by `heddle.sdk.LOOKUP_KEY` which tuple they belong to. `compared` are columns of the output that the join
    compares with a value, by its name.
    """

    values: Mapping[str, str]
    holders: Mapping[str, str]
    row: RowType
    joined: bool
    numbered: bool
    compared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@record(frozen=True, slots=True)
class StepNode:
    """A step's call on the rows of `input` (None: it stands at a head and makes its own rows).

    `path` names it stably within the program, whatever the layout of the text: `Workflow/2.1:callee` is the
    first stage behind the head of the second statement, `step/name` a bound step that queries share, and
    `Workflow/2.1:query/name` a lookup in that query's join. `row` is None for a sink without output; that
    of a lookup in a join lacks the holders that are Heddle's own.
    """

    id: NodeId
    call: StepCall
    input: NodeId | None
    row: RowType | None
    trap: str | None
    policy: Policy
    path: str
    span: Span
    lookup: LookupUse | None = None


@record(frozen=True, slots=True)
class ErrorFrameNode:
    """The error frame in a handler; `row` is `ERROR_FRAME_ROW`."""

    id: NodeId
    row: RowType
    span: Span


Node: TypeAlias = TableNode | QueryNode | StepNode | ErrorFrameNode


@record(frozen=True, slots=True)
class Reference:
    """A foreign key: `columns` of an output hold values of the columns `key` of another one, which may be in
    another program."""

    columns: tuple[str, ...]
    workflow: str
    output: str
    key: tuple[str, ...]
    span: Span


@record(frozen=True, slots=True)
class OutputProperties:
    """What a program declares of an output, and nobody checks rows against: `key` are the columns that tell
    its rows apart. `materialize`: who serves the output keeps its rows, and refreshes them so."""

    key: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    materialize: RefreshPolicy | None = None


NO_PROPERTIES = OutputProperties()


@record(frozen=True, slots=True)
class Output:
    """A named output `Workflow.name`."""

    name: str
    node: NodeId
    span: Span
    doc: str | None = None
    properties: OutputProperties = NO_PROPERTIES


@record(frozen=True, slots=True)
class Workflow:
    """`nodes` are its own, in statement order; `last` are the unnamed results that nothing reads."""

    name: str
    nodes: tuple[NodeId, ...]
    outputs: tuple[Output, ...]
    last: tuple[NodeId, ...]
    trap: str | None
    policy: Policy
    span: Span
    doc: str | None = None


@record(frozen=True, slots=True)
class Handler:
    """`error_frame` is the node that every `*` reads, None when it has no `*`."""

    name: str
    nodes: tuple[NodeId, ...]
    error_frame: NodeId | None
    span: Span


@record(frozen=True, slots=True)
class Parameter:
    """A workflow parameter; `value` is None with `bound` false while nothing gives it one."""

    name: str
    type_text: str
    bound: bool
    value: ConfigData
    span: Span


@record(frozen=True, slots=True)
class TypedProgram:
    source: Source
    nodes: tuple[Node, ...]
    workflows: Mapping[str, Workflow]
    handlers: Mapping[str, Handler]
    resources: Mapping[str, ResourceUse]
    parameters: Mapping[str, Parameter]
    contents: str

    @property
    def hash(self) -> str:
        """Two programs with the same hash would run the same."""
        from hashlib import sha256

        return sha256(self.contents.encode()).hexdigest()

    def consumers(self) -> dict[NodeId, list[NodeId]]:
        """For each node the nodes that read it, in order; a node twice when it reads twice."""
        result: dict[NodeId, list[NodeId]] = {node.id: [] for node in self.nodes}
        for node in self.nodes:
            for input_id in inputs_of(node):
                result[input_id].append(node.id)
        return result


def inputs_of(node: Node) -> tuple[NodeId, ...]:
    match node:
        case TableNode() | ErrorFrameNode():
            return ()
        case QueryNode(inputs=inputs):
            return tuple(i.node for i in inputs)
        case StepNode(input=input_id):
            return () if input_id is None else (input_id,)

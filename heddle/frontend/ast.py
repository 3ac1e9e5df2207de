"""The syntax tree: what the parser gives and the formatter and the checker take.

Every node keeps the span of its own text. Nothing here is resolved: names are as written.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from heddle.core.record import record
from heddle.diagnostics import Source, Span


@record(frozen=True, slots=True)
class Ident:
    text: str
    span: Span


# --- values ---------------------------------------------------------------------------------


@record(frozen=True, slots=True)
class StringValue:
    """`text` is the string as written, with its quotes, which the formatter keeps."""

    value: str
    text: str
    span: Span


@record(frozen=True, slots=True)
class NumberValue:
    """`text` is the number as written (`1_000`, `.5`), which the formatter keeps."""

    value: int | float
    text: str
    span: Span


@record(frozen=True, slots=True)
class BoolValue:
    value: bool
    span: Span


@record(frozen=True, slots=True)
class NullValue:
    span: Span


@record(frozen=True, slots=True)
class ListValue:
    items: tuple[Value, ...]
    span: Span


@record(frozen=True, slots=True)
class EnvValue:
    """`env("NAME")`"""

    name: str
    span: Span


@record(frozen=True, slots=True)
class SecretValue:
    """`secret("NAME")`"""

    name: str
    span: Span


@record(frozen=True, slots=True)
class Pair:
    """`quoted` tells whether the key was written as a string."""

    key: Ident
    value: Value
    quoted: bool
    span: Span


@record(frozen=True, slots=True)
class DictValue:
    pairs: tuple[Pair, ...]
    span: Span


Value: TypeAlias = (
    StringValue | NumberValue | BoolValue | NullValue | ListValue | DictValue | EnvValue | SecretValue
)

# --- stages ---------------------------------------------------------------------------------


@record(frozen=True, slots=True)
class Binding:
    """`slot=resource` inside `<…>`"""

    slot: Ident
    resource: Ident


@record(frozen=True, slots=True)
class Ref:
    """`<slot=resource, …>`"""

    bindings: tuple[Binding, ...]
    span: Span


@record(frozen=True, slots=True)
class Call:
    """`[<ref>] module.step [<ref>] [{config}]`; `module` is None for a bare name."""

    module: Ident | None
    name: Ident
    ref: Ref | None
    config: DictValue | None
    span: Span

    @property
    def callee(self) -> str:
        return f"{self.module.text}.{self.name.text}" if self.module else self.name.text


@record(frozen=True, slots=True)
class Query:
    """`(PRQL)`. `text` is what stands between the parentheses, starting at `body.start`."""

    text: str
    body: Span
    span: Span


@record(frozen=True, slots=True)
class TableLiteral:
    rows: tuple[DictValue, ...]
    span: Span


@record(frozen=True, slots=True)
class ErrorFrame:
    """`*`, the rows that failed; only a handler has them."""

    span: Span


@record(frozen=True, slots=True)
class Expect:
    """`expect [ … ]` in a test: the rows that must come out."""

    table: TableLiteral
    span: Span


@record(frozen=True, slots=True)
class MatchArm:
    """`condition` is None for `_`."""

    condition: Query | None
    stages: tuple[Stage, ...]
    span: Span


@record(frozen=True, slots=True)
class Match:
    """`body` of a block is the span of its braces, here and below."""

    arms: tuple[MatchArm, ...]
    body: Span
    span: Span


@record(frozen=True, slots=True)
class Loop:
    max_turns: NumberValue | None
    until: Query
    stages: tuple[Stage, ...]
    body: Span
    span: Span


@record(frozen=True, slots=True)
class Atomic:
    stages: tuple[Stage, ...]
    body: Span
    span: Span


Operation: TypeAlias = TableLiteral | Query | Call | ErrorFrame | Expect | Match | Loop | Atomic


@record(frozen=True, slots=True)
class Stage:
    """One operation with its trap (`? h`) and policy (`! p` or `! {…}`). A head is a stage too."""

    operation: Operation
    trap: Ident | None
    policy: Ident | DictValue | None
    span: Span


@record(frozen=True, slots=True)
class Statement:
    """`head | stage | … > name {…}`; `properties` are those of what it names."""

    head: Stage
    stages: tuple[Stage, ...]
    name: Ident | None
    properties: DictValue | None
    doc: str | None
    span: Span


# --- items ----------------------------------------------------------------------------------


@record(frozen=True, slots=True)
class Import:
    """`alias` is None when not written; `name` then is the path's last segment."""

    path: StringValue
    alias: Ident | None
    span: Span

    @property
    def name(self) -> str:
        return self.alias.text if self.alias else self.path.value.rstrip("/").rsplit("/", 1)[-1]


@record(frozen=True, slots=True)
class ResourceItem:
    name: Ident
    call: Call
    doc: str | None
    span: Span


@record(frozen=True, slots=True)
class StepItem:
    """`step name = call`; the stage holds the call with its `? h` and `! p`."""

    name: Ident
    stage: Stage
    doc: str | None
    span: Span

    @property
    def call(self) -> Call:
        assert isinstance(self.stage.operation, Call)
        return self.stage.operation


@record(frozen=True, slots=True)
class HandlerItem:
    name: Ident
    trap: Ident | None
    statements: tuple[Statement, ...]
    doc: str | None
    body: Span
    span: Span


@record(frozen=True, slots=True)
class Param:
    """`name: type [= value]` in a workflow's header; `type_text` is as written, evenly spaced."""

    name: Ident
    type_text: str
    type_span: Span
    default: Value | None
    span: Span


@record(frozen=True, slots=True)
class WorkflowItem:
    name: Ident
    params: tuple[Param, ...]
    triggers: tuple[Call, ...]
    trap: Ident | None
    policy: Ident | DictValue | None
    statements: tuple[Statement, ...]
    doc: str | None
    body: Span
    span: Span


@record(frozen=True, slots=True)
class PolicyItem:
    name: Ident
    config: DictValue
    doc: str | None
    span: Span


@record(frozen=True, slots=True)
class TestItem:
    """`test "name" { … }`: statements; `expect` stands where a call stands and takes a table."""

    name: StringValue
    statements: tuple[Statement, ...]
    doc: str | None
    body: Span
    span: Span


Item: TypeAlias = Import | ResourceItem | StepItem | HandlerItem | WorkflowItem | PolicyItem | TestItem


@record(frozen=True, slots=True)
class Comment:
    """`//…`, `/*…*/` outside queries, with its marks. `own_line`: nothing stands before it on its line."""

    text: str
    kind: Literal["line", "block"]
    own_line: bool
    span: Span


@record(frozen=True, slots=True)
class Broken:
    """An item or statement that is left out of the tree because of a syntax error in it.

    `name` is what it would have declared: uses of that name are not a second mistake.
    """

    name: Ident | None
    span: Span


@record(frozen=True, slots=True)
class Program:
    source: Source
    items: tuple[Item, ...]
    comments: tuple[Comment, ...]
    broken: tuple[Broken, ...] = ()

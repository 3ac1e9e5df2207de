"""The logical plan: a DAG of operators that come from the typed program's nodes.

`lower` (lower.py) makes one operator per node, the rules (rules/) rewrite the DAG, `explain` shows it
and the physical planner cuts it into pipelines. Operators are values: a rule returns a new plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from heddle.core.record import record
from heddle.core.types import RowType
from heddle.diagnostics import Span
from heddle.frontend.typed import ConfigData, LookupUse, Policy, StepCall

if TYPE_CHECKING:
    from heddle.core.link import Link

OpId = int

EngineName: TypeAlias = Literal["datafusion", "duckdb"]
EngineChoice: TypeAlias = Literal["auto", "datafusion", "duckdb"]
"""What a user asks for; `auto` chooses for each fragment."""


@record(frozen=True, slots=True)
class Scan:
    """A file source, read by DataFusion itself: filters, projections and limits go into it."""

    id: OpId
    step: str
    config: Mapping[str, ConfigData]
    row: RowType
    path: str
    span: Span


@record(frozen=True, slots=True)
class Values:
    """Rows written in the program."""

    id: OpId
    rows: tuple[Mapping[str, bool | int | float | str | None], ...]
    row: RowType
    path: str
    span: Span


@record(frozen=True, slots=True)
class ErrorRows:
    """The error frame that a handler reads."""

    id: OpId
    row: RowType
    path: str
    span: Span


@record(frozen=True, slots=True)
class Query:
    """One query inside a fragment: `relation` is the name under which later queries speak of it.

    `tables` are the relations its SQL reads; each is another query of the fragment or one of its inputs.
    It is not `portable` when something in it that its words do not show means something else elsewhere. It is
    `anew` when it is known to give other rows each time; its words may say so as well.
    """

    relation: str
    sql: str
    tables: tuple[str, ...]
    row: RowType
    path: str
    span: Span
    reduces: bool
    late: bool
    portable: bool = True
    anew: bool = False


@record(frozen=True, slots=True)
class Fragment:
    """One engine's plan made of one or more queries; the last one is its result.

    `inputs` maps the relations that no query of the fragment defines to the operators that give them.
    `columns` restricts the result to these (None: all). `limit` keeps the first rows only. `engine` runs it.
    """

    id: OpId
    queries: tuple[Query, ...]
    inputs: Mapping[str, OpId]
    row: RowType
    path: str
    span: Span
    workflow: str
    trap: str | None
    policy: Policy
    columns: tuple[str, ...] | None = None
    limit: int | None = None
    engine: EngineName = "datafusion"

    @property
    def result(self) -> Query:
        return self.queries[-1]

    @property
    def reduces(self) -> bool:
        return any(q.reduces for q in self.queries)

    @property
    def late(self) -> bool:
        return any(q.late for q in self.queries)


@record(frozen=True, slots=True)
class Step:
    """An opaque step. `input` is None for one that makes its own rows, `row` None for one that gives none.
    `absent` are columns of `row` that nothing reads: they do not enter the step and are null behind it.

    With `members` it stands for several steps of one module that run in one call: `call` then is the first
    one's, under a name for all of them. A `lookup` is called with values of columns; one that is joined has
    their distinct tuples as its input, under the names of the values. `scan` gives the rows for all values,
    which may take less than to look up many.
    """

    id: OpId
    call: StepCall
    input: OpId | None
    row: RowType | None
    path: str
    span: Span
    workflow: str
    trap: str | None
    policy: Policy
    absent: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    lookup: LookupUse | None = None
    scan: LookupScan | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that it stands for; itself when it is one step."""
        return tuple(member.step for member in self.members) or (self,)


@record(frozen=True, slots=True)
class LookupScan:
    """Reading the rows of all values. `columns` of what `step` gives hold each value, by its name. `usual`:
    the program itself says to read all, so rows are looked up only where it is known that they are few."""

    step: Step
    columns: Mapping[str, str]
    usual: bool


@record(frozen=True, slots=True)
class Member:
    """One of several steps that run in one call. `link` says what it takes and what it leaves behind."""

    step: Step
    link: Link


@record(frozen=True, slots=True)
class Sink:
    """A writer of `std/io`: files appear when the run succeeds, text is printed then."""

    id: OpId
    step: str
    config: Mapping[str, ConfigData]
    input: OpId
    path: str
    span: Span
    workflow: str
    trap: str | None
    policy: Policy


Op: TypeAlias = Scan | Values | ErrorRows | Fragment | Step | Sink


@record(frozen=True, slots=True)
class Note:
    """What a rule did to an operator, or why it did nothing; explain shows it at the operator."""

    rule: str
    op: OpId
    text: str
    fired: bool = True


@record(frozen=True, slots=True)
class LogicalPlan:
    """`roots` are what must be computed, in program order. `spooled` operators are materialized as a
    frame before anything reads them; all others stream to their one reader. `trapped` are the workflows
    and handlers in which a failure of a stage without a trap of its own can reach a handler. `common` are
    operators with which several workflows of the program begin, with the names of these. `left_out` are paths
    of stages whose rejected rows nobody gets: those of a client's query where a run has a handler."""

    ops: Mapping[OpId, Op]
    roots: tuple[OpId, ...]
    spooled: frozenset[OpId] = frozenset()
    notes: tuple[Note, ...] = ()
    names: Mapping[str, OpId] = field(default_factory=dict)
    trapped: frozenset[str] = frozenset()
    common: Mapping[OpId, tuple[str, ...]] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    def readers(self) -> dict[OpId, list[OpId]]:
        """For each operator those that read it, once per reading place, in order of their ids."""
        result: dict[OpId, list[OpId]] = {op_id: [] for op_id in self.ops}
        for op in self.in_order():
            for input_id in inputs_of(op):
                result[input_id].append(op.id)
        return result

    def in_order(self) -> list[Op]:
        """Operators so that inputs come first; needs no recursion, however deep the plan."""
        done: dict[OpId, Op] = {}
        for root in sorted(self.ops):
            stack = [root]
            while stack:
                current = stack[-1]
                op = self.ops[current]
                waiting = [i for i in inputs_of(op) if i not in done]
                if waiting and current not in done:
                    stack.extend(reversed(waiting))
                else:
                    done[current] = op
                    stack.pop()
        return list(done.values())

    def noting(self, notes: Iterable[Note]) -> LogicalPlan:
        return replace(self, notes=(*self.notes, *notes))


def inputs_of(op: Op) -> tuple[OpId, ...]:
    match op:
        case Step(input=input_id):
            return () if input_id is None else (input_id,)
        case Fragment(inputs=inputs):
            return tuple(inputs.values())
        case Sink(input=input_id):
            return (input_id,)
        case Scan() | Values() | ErrorRows():
            return ()
        case _:
            assert_never(op)


def statement_of(call: StepCall) -> str | None:
    """The statement of a call that asks a database; None where the program does not say it in plain text."""
    if not call.signature.sql:
        return None
    fields = (field.name for field in call.signature.config if field.type.kind == "statement")
    text = next((call.config.get(name) for name in fields), None)
    return text if isinstance(text, str) else None


def label_of(op: Op) -> str:
    """A short name for people."""
    match op:
        case Scan(step=step):
            return f"scan io.{step}"
        case Values(rows=rows):
            return f"table of {len(rows)} rows"
        case ErrorRows():
            return "error frame"
        case Fragment(queries=queries):
            return "query" if len(queries) == 1 else f"{len(queries)} queries"
        case Step(members=members) if members:
            return f"{len(members)} steps in one call"
        case Step(call=call, lookup=lookup):
            return f"{'lookup' if lookup is not None else 'step'} {call.callee}"
        case Sink(step=step):
            return f"io.{step}"
        case _:
            assert_never(op)

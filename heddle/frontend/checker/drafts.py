"""Drafts: the relations of a program with their names resolved, before they have rows.

`statements.py` makes them, `rows.py` gives each a row, and `nodes.py` makes each a node of the typed program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TypeAlias

from heddle.core.record import record
from heddle.core.types import OPEN_ROW, RowType
from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.checker.calls import ResolvedCall
from heddle.frontend.checker.tables import Cell
from heddle.frontend.prql.request import LookupRequest
from heddle.frontend.typed import ParamBinding, Policy


@record(slots=True, eq=False)
class Draft:
    """`number` is the order of making; `row` is None for a sink without output, and open while unknown.

    `poisoned`: the row is open because of a reported mistake. `unsettled`: it is open because a parameter,
    such as a file's path, has no value yet.
    """

    number: int
    path: str
    span: Span
    row: RowType | None = field(default=OPEN_ROW, init=False)
    poisoned: bool = field(default=False, init=False)
    unsettled: bool = field(default=False, init=False)

    @property
    def key(self) -> str:
        """The name under which SQL speaks of it."""
        return f"q{self.number}"


@record(slots=True, eq=False)
class TableDraft(Draft):
    rows: tuple[Mapping[str, Cell], ...]
    columns: RowType


@record(slots=True, eq=False)
class ErrorsDraft(Draft):
    """The error frame."""


@record(slots=True, eq=False)
class BrokenDraft(Draft):
    """What could not be resolved; its row is open, so that it causes no second error."""

    inputs: tuple[AnyDraft, ...]


@record(slots=True, eq=False)
class QueryDraft(Draft):
    """`relations` maps names as written in the query to drafts; `piped` is its `input`. `probes` are the
    parts of it that lookups take their values from, each with a `relation` of its own."""

    query: ast.Query
    piped: AnyDraft | None
    relations: Mapping[str, AnyDraft]
    trap: str | None
    policy: Policy
    sql: str = field(default="", init=False)
    prql: str = field(default="", init=False)
    read: tuple[AnyDraft, ...] = field(default=(), init=False)
    lineage: Mapping[str, tuple[AnyDraft, str]] = field(default_factory=dict, init=False)
    demands: Mapping[AnyDraft, frozenset[str]] = field(default_factory=dict, init=False)
    late: bool = field(default=False, init=False)
    reduces: bool = field(default=True, init=False)
    probes: tuple[QueryDraft, ...] = field(default=(), init=False)
    relation: str = field(default="", init=False)

    @property
    def key(self) -> str:
        return self.relation or f"q{self.number}"


@record(slots=True, eq=False)
class Lookup:
    """What a step is called with instead of rows. `values` are the columns of `StepDraft.piped` that give
    them, by their names; `row` is what the step itself gives. `joined`: it stands in a join, and what is
    piped into it is a part of that query; `compared` are columns of its own that the join compares with a
    value, by its name."""

    joined: bool
    request: LookupRequest | None = None
    row: RowType = OPEN_ROW
    values: Mapping[str, str] = field(default_factory=dict)
    compared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@record(slots=True, eq=False)
class StepDraft(Draft):
    """`key_span` is where its own policy names an idempotency key. `remembered`: a service said its columns
    at another time."""

    call: ResolvedCall
    piped: AnyDraft | None
    trap: str | None
    policy: Policy
    key_span: Span | None = field(default=None, init=False)
    lookup: Lookup | None = field(default=None, init=False)
    parameters: tuple[ParamBinding, ...] = field(default=(), init=False)
    remembered: bool = field(default=False, init=False)

    @property
    def gives_nothing(self) -> bool:
        """It is a sink without output."""
        return self.call.signature.output is None and not self.call.signature.output_from_config


AnyDraft: TypeAlias = TableDraft | ErrorsDraft | BrokenDraft | QueryDraft | StepDraft


def inputs_of(draft: AnyDraft) -> tuple[AnyDraft, ...]:
    match draft:
        case QueryDraft(piped=piped, relations=relations):
            every = ([piped] if piped else []) + list(relations.values())
            return tuple(dict.fromkeys(every))
        case StepDraft(piped=piped):
            return (piped,) if piped else ()
        case BrokenDraft(inputs=inputs):
            return inputs
        case _:
            return ()

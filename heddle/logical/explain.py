"""Explain: the plan as a tree for people and as JSON, with what every rule did or did not do.

`explain_plan` takes the plan and, per fragment, what its engine pushed into its inputs; the result is data
with two renderings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Final, assert_never

from heddle.core.record import record
from heddle.logical.plan import (
    ErrorRows,
    Fragment,
    LogicalPlan,
    Note,
    Op,
    OpId,
    Scan,
    Sink,
    Step,
    Values,
    inputs_of,
    label_of,
    statement_of,
)


@record(frozen=True, slots=True)
class Pushed:
    """What went below a fragment into one of its inputs: columns read (None: all) and filters."""

    columns: tuple[str, ...] | None
    filters: tuple[str, ...]


@record(frozen=True, slots=True)
class FragmentPlans:
    """What the fragment's engine makes of its SQL. `pushed` has the input's path, for each scan; `late`: only
    a run can plan it."""

    sql: str
    logical: str
    physical: str
    pushed: tuple[tuple[str, Pushed], ...]
    late: bool


@record(frozen=True, slots=True)
class Measured:
    """What a run did in a stage: lines for people, and amounts by name (rows, bytes, seconds)."""

    lines: tuple[str, ...]
    numbers: Mapping[str, float]


NOT_MEASURED: Final = Measured((), {})


@record(frozen=True, slots=True)
class ExplainNode:
    """One operator. `frame`: it is materialized; `seen`: it stands elsewhere in the tree in full; `measured`
    is what a run did in it."""

    op: OpId
    label: str
    path: str
    details: tuple[str, ...]
    notes: tuple[Note, ...]
    children: tuple[ExplainNode, ...]
    frame: bool
    seen: bool
    measured: Measured = NOT_MEASURED


@record(frozen=True, slots=True)
class Explanation:
    """`dropped` says what was pruned. `plans` is by operator, `handlers` by name. `measured` is about the run
    that was analyzed, if one was."""

    roots: tuple[ExplainNode, ...]
    dropped: tuple[str, ...]
    plans: Mapping[OpId, FragmentPlans]
    measured: Measured = NOT_MEASURED
    handlers: Mapping[str, Explanation] = field(default_factory=dict)

    def with_measures(self, measures: Mapping[str, Measured]) -> Explanation:
        """With what a run did, by the stages' paths; "" is the run itself."""
        of_stages = {path: measured for path, measured in measures.items() if path}
        return replace(
            self,
            roots=tuple(_measured(root, measures) for root in self.roots),
            measured=measures.get("", NOT_MEASURED),
            handlers={name: handler.with_measures(of_stages) for name, handler in self.handlers.items()},
        )

    def to_text(self, *, plans: bool = False) -> str:
        lines: list[str] = []
        for root in self.roots:
            _render(root, "", "", lines)
        lines += [f"pruned  {text}" for text in self.dropped]
        lines += [f"run     {text}" for text in self.measured.lines]
        if plans:
            for op_id, plan in self.plans.items():
                lines += ["", f"fragment {op_id}: SQL", plan.sql]
                lines += [f"fragment {op_id}: logical plan", plan.logical.rstrip()]
                lines += [f"fragment {op_id}: physical plan", plan.physical.rstrip()]
        text = "\n".join(lines) + "\n"
        for name, handler in self.handlers.items():
            text += f"\nhandler {name}\n{handler.to_text(plans=plans)}"
        return text

    def to_data(self) -> dict[str, object]:
        """The tree in plain values, for JSON."""
        return {
            "roots": [_data(root) for root in self.roots],
            "pruned": list(self.dropped),
            "measured": list(self.measured.lines),
            "fragments": {
                str(op_id): {
                    "sql": p.sql,
                    "logical": p.logical,
                    "physical": p.physical,
                    "late": p.late,
                }
                for op_id, p in self.plans.items()
            },
            "handlers": {name: handler.to_data() for name, handler in self.handlers.items()},
        }


def explain_plan(plan: LogicalPlan, plans: Mapping[OpId, FragmentPlans]) -> Explanation:
    seen: set[OpId] = set()
    nodes: dict[OpId, ExplainNode] = {}
    for op in plan.in_order():
        nodes[op.id] = _node(op, plan, plans, nodes)
    roots = tuple(_first_time(nodes[r], seen) for r in plan.roots)
    dropped = tuple(n.text for n in plan.notes if n.rule == "prune")
    return Explanation(roots, dropped, plans)


def _node(
    op: Op,
    plan: LogicalPlan,
    plans: Mapping[OpId, FragmentPlans],
    nodes: Mapping[OpId, ExplainNode],
) -> ExplainNode:
    notes = tuple(n for n in plan.notes if n.op == op.id and n.rule != "prune")
    children = tuple(nodes[i] for i in inputs_of(op))
    return ExplainNode(
        op.id,
        label_of(op),
        op.path,
        _details(op, plans),
        notes,
        children,
        op.id in plan.spooled,
        False,
    )


def _measured(node: ExplainNode, measures: Mapping[str, Measured], above: str = "") -> ExplainNode:
    """A scan runs inside the fragment `above` it, whose path it has when nothing else is in that."""
    children = tuple(_measured(child, measures, node.path) for child in node.children)
    measured = NOT_MEASURED if node.path == above else measures.get(node.path, NOT_MEASURED)
    return replace(node, children=children, measured=measured)


def _first_time(node: ExplainNode, seen: set[OpId]) -> ExplainNode:
    """The subtree, with operators that were shown before reduced to a reference."""
    again = node.op in seen and bool(node.children)
    seen.add(node.op)
    children = () if again else tuple(_first_time(c, seen) for c in node.children)
    return ExplainNode(
        node.op,
        node.label,
        node.path,
        node.details,
        node.notes,
        children,
        node.frame,
        again,
    )


def _details(op: Op, plans: Mapping[OpId, FragmentPlans]) -> tuple[str, ...]:
    match op:
        case Fragment():
            return tuple(_fragment_details(op, plans.get(op.id)))
        case Step(members=members) if members:
            return (*(_member_details(member.step) for member in members), f"gives {op.row}")
        case Step(call=call, policy=policy):
            signature = call.signature
            properties = [f"rows={signature.rows}", signature.step_class]
            if signature.passthrough:
                properties.append("passthrough")
            if signature.writer:
                properties.append("committed when the run ends")
            if policy.concurrency:
                properties.append(f"concurrency={policy.concurrency}")
            text = statement_of(call)
            instead = None if op.scan is None else statement_of(op.scan.step.call)
            source = ", as heddle.lock says" if call.remembered else ""
            return (
                ", ".join(properties),
                f"gives {op.row}{source}" if op.row else "gives no rows",
                *(() if text is None else f"asks: {text}".splitlines()),
                *(() if instead is None else f"or asks: {instead}".splitlines()),
            )
        case Scan() | Values() | ErrorRows():
            return (f"gives {op.row}",)
        case Sink():
            return ()
        case _:
            assert_never(op)


def _member_details(step: Step) -> str:
    signature = step.call.signature
    passing = ", passthrough" if signature.passthrough else ""
    return f"{step.call.callee}: rows={signature.rows}, {signature.step_class}{passing}"


def _fragment_details(op: Fragment, plans: FragmentPlans | None) -> list[str]:
    work = "reduces" if op.reduces else "streams"
    lines = [f"{op.engine}, {work}, {len(op.queries)} {'query' if len(op.queries) == 1 else 'queries'}"]
    if op.late or (plans is not None and plans.late):
        lines.append("late: planned when the rows' columns are known")
    if op.columns is not None:
        lines.append(f"gives only {', '.join(op.columns)}")
    if op.limit is not None:
        lines.append(f"limit {op.limit}")
    for relation, pushed in plans.pushed if plans else ():
        parts = [] if pushed.columns is None else [f"columns {', '.join(pushed.columns) or 'none'}"]
        parts += [f"filter {text}" for text in pushed.filters]
        if parts:
            lines.append(f"pushed into {relation}: {'; '.join(parts)}")
    return lines


def _render(node: ExplainNode, lead: str, below: str, lines: list[str]) -> None:
    title = f"{node.label}  [{node.path}]"
    if node.frame:
        title += "  => frame"
    if node.seen:
        title += "  (shown above)"
    lines.append(lead + title)
    bar = "│ " if node.children else "  "
    if not node.seen:
        lines += [f"{below}{bar}  {text}" for text in node.details]
        lines += [f"{below}{bar}  ran: {text}" for text in node.measured.lines]
        lines += [f"{below}{bar}  {'+' if n.fired else '-'} {n.rule}: {n.text}" for n in node.notes]
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        _render(
            child,
            below + ("└─ " if last else "├─ "),
            below + ("   " if last else "│  "),
            lines,
        )


def _data(node: ExplainNode) -> dict[str, object]:
    return {
        "operator": node.op,
        "label": node.label,
        "path": node.path,
        "details": list(node.details),
        "measured": list(node.measured.lines),
        "numbers": dict(node.measured.numbers),
        "rules": [{"rule": n.rule, "fired": n.fired, "text": n.text} for n in node.notes],
        "frame": node.frame,
        "seen": node.seen,
        "inputs": [_data(child) for child in node.children],
    }

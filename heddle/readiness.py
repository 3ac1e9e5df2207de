"""What must be there before a program runs: its handlers, bodies of its steps, values of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from heddle.diagnostics import Diagnostic
from heddle.frontend.typed import QueryNode, StepNode
from heddle.logical.plan import Fragment, Sink, Step

if TYPE_CHECKING:
    from heddle.frontend.typed import Handler, TypedProgram
    from heddle.logical.plan import LogicalPlan


def used_handlers(program: TypedProgram, plan: LogicalPlan) -> list[Handler]:
    """The handlers that a failure of the plan can reach, a trap inside a handler included."""
    names: set[str] = set()
    for op in plan.ops.values():
        if isinstance(op, Fragment | Sink | Step):
            workflow = program.workflows.get(op.workflow)
            names |= {t for t in (op.trap, workflow.trap if workflow else None) if t is not None}
    waiting = list(names)
    while waiting:
        for node_id in program.handlers[waiting.pop()].nodes:
            node = program.nodes[node_id]
            trap = node.trap if isinstance(node, QueryNode | StepNode) else None
            if trap is not None and trap not in names:
                names.add(trap)
                waiting.append(trap)
    return [h for name, h in program.handlers.items() if name in names]


def missing(program: TypedProgram, plans: Sequence[LogicalPlan]) -> list[Diagnostic]:
    """What a run of the plans lacks."""
    return [*_not_runnable(program, plans), *unbound(program), *_written_over(program, plans)]


def _not_runnable(program: TypedProgram, plans: Sequence[LogicalPlan]) -> list[Diagnostic]:
    """Steps that have a signature but no body."""
    calls = {
        op.call.span: op.call
        for plan in plans
        for op in plan.ops.values()
        if isinstance(op, Step) and not op.call.signature.runnable
    }
    return [
        Diagnostic(
            "HD0901",
            "error",
            f"`{call.callee}` is unsupported: `{call.module.path}` declares it, but it cannot run yet",
            program.source,
            span,
            "the program can be checked and explained",
        )
        for span, call in calls.items()
    ]


def _written_over(program: TypedProgram, plans: Sequence[LogicalPlan]) -> list[Diagnostic]:
    """Files asked for as outputs that each turn would write over; those of the program were found before."""
    found: list[Diagnostic] = []
    for plan in plans:
        if not any(isinstance(op, Step) and op.call.signature.stream for op in plan.ops.values()):
            continue
        from heddle.core.streams import takes_turns
        from heddle.frontend.checker.turns import overwrites, overwritten
        from heddle.logical.streams import fed_by, streams_of

        fed = fed_by(plan, [op for op in streams_of(plan) if takes_turns(op.call.config)])
        for op in plan.ops.values():
            if isinstance(op, Sink) and op.id in fed and overwrites(op.step, op.config):
                message, help = overwritten(op.step, op.config)
                found.append(Diagnostic("HD0730", "error", message, program.source, op.span, help))
    return found


def unbound(program: TypedProgram) -> list[Diagnostic]:
    return [
        Diagnostic(
            "HD0902",
            "error",
            f"the parameter `@{p.name}` has no value",
            program.source,
            p.span,
            f"give it one: --param {p.name}=…",
        )
        for p in program.parameters.values()
        if not p.bound
    ]

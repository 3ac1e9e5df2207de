"""What several workflows of a program begin with, found with the rules that share within one run.

A run of some of the workflows keeps it as a frame (`LogicalPlan.common`, rule `share`), so that runs of the
others, under way at the same time, can take it.
"""

from __future__ import annotations

from heddle.logical.plan import Fragment, LogicalPlan, OpId, Sink, Step, inputs_of
from heddle.logical.rules.merge_equal import equal_operators, is_merged, merge_equal
from heddle.logical.rules.prune import prune
from heddle.logical.rules.share import share


def common_beginnings(whole: LogicalPlan) -> dict[OpId, tuple[str, ...]]:
    """In the plan of all workflows, before any rule: the operators that are worth a frame because several
    workflows need them, or equal ones, and the names of these workflows."""
    whole = prune(whole)
    first = equal_operators(whole)
    merged = merge_equal(whole)
    readers = _workflows_reading(merged)
    worth = {
        i: tuple(sorted(readers[i]))
        for i in share(merged).spooled
        if is_merged(merged.ops[i], merged) and len(readers[i]) > 1
    }
    return {i: worth[first.get(i, i)] for i in whole.ops if first.get(i, i) in worth}


def _workflows_reading(plan: LogicalPlan) -> dict[OpId, frozenset[str]]:
    """For each operator the workflows whose results need it."""
    found: dict[OpId, frozenset[str]] = dict.fromkeys(plan.ops, frozenset())
    for op in reversed(plan.in_order()):
        if op.id in plan.roots and isinstance(op, Sink | Step | Fragment):
            found[op.id] |= {op.workflow}
        for i in inputs_of(op):
            found[i] |= found[op.id]
    return found

"""The optimizer: ordered tuples of rules, each a function from plan to plan in a file of its own.

A rule records in the plan's notes what it did and, where it was near but did not fire, why not. The rules
about steps are loaded by plans that have steps. `unoptimized` keeps only what execution needs: one fragment
per query, everything materialized.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from heddle.logical.plan import LogicalPlan, Step
from heddle.logical.rules.fuse_queries import fuse_queries
from heddle.logical.rules.merge_equal import merge_equal
from heddle.logical.rules.prune import prune
from heddle.logical.rules.share import share

Rule = Callable[[LogicalPlan], LogicalPlan]

RULES: tuple[Rule, ...] = (prune, merge_equal, share, fuse_queries)


def step_rules() -> tuple[Rule, ...]:
    """What comes behind `RULES` for a plan with steps."""
    from heddle.logical.rules.narrow_steps import narrow_steps
    from heddle.logical.rules.push_filters import push_filters
    from heddle.logical.rules.push_limits import push_limits

    return (push_filters, narrow_steps, push_limits, *call_rules())


def call_rules() -> tuple[Rule, ...]:
    """Of the rules for steps those that change how steps are called, and not what they are given."""
    from heddle.logical.rules.fuse_steps import fuse_steps

    return (fuse_steps,)


def optimize(plan: LogicalPlan) -> LogicalPlan:
    return _applied(plan, without=())


def optimize_apart(plan: LogicalPlan) -> LogicalPlan:
    """Optimized, with each step called by itself, so that it can be watched."""
    return _applied(plan, without=call_rules())


def unoptimized(plan: LogicalPlan) -> LogicalPlan:
    plan = prune(plan)
    return replace(plan, spooled=frozenset(plan.ops) - set(plan.roots))


def _applied(plan: LogicalPlan, *, without: tuple[Rule, ...]) -> LogicalPlan:
    for rule in RULES:
        plan = rule(plan)
    if not any(isinstance(op, Step) for op in plan.ops.values()):
        return plan
    for rule in step_rules():
        plan = plan if rule in without else rule(plan)
    return plan

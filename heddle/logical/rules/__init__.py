"""The optimizer: an ordered tuple of rules, each a function from plan to plan in a file of its own.

A rule records in the plan's notes what it did and, where it was near but did not fire, why not. The rules
about steps are loaded by plans that have steps. `unoptimized` keeps only what execution needs: one fragment
per query, everything materialized.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from heddle.logical.plan import Fragment, LogicalPlan, Step
from heddle.logical.rules.fuse_queries import fuse_queries
from heddle.logical.rules.prune import prune
from heddle.logical.rules.share import share

if TYPE_CHECKING:
    from heddle.logical.estimates import Estimates

Rule = Callable[[LogicalPlan], LogicalPlan]


def _merge_equal(plan: LogicalPlan) -> LogicalPlan:
    """`merge_equal`, loaded by plans with two operators that it could take for one."""
    if sum(isinstance(op, Fragment | Step) for op in plan.ops.values()) < 2:
        return plan
    from heddle.logical.rules.merge_equal import merge_equal

    return merge_equal(plan)


RULES: tuple[Rule, ...] = (prune, _merge_equal, share, fuse_queries)
"""For a plan without steps."""


def step_rules(estimates: Estimates) -> tuple[Rule, ...]:
    """For a plan with steps."""
    from heddle.logical.rules.narrow_steps import narrow_steps
    from heddle.logical.rules.push_filters import push_filters
    from heddle.logical.rules.push_joins import push_joins
    from heddle.logical.rules.push_limits import push_limits
    from heddle.logical.rules.push_top import push_top

    moving = (push_filters, push_top, narrow_steps, push_limits)
    joins = partial(push_joins, estimates=estimates)
    return (prune, _merge_equal, joins, share, fuse_queries, *moving)


def call_rules() -> tuple[Rule, ...]:
    """Behind `step_rules`: what changes how steps are called, and not what they are given."""
    from heddle.logical.rules.fuse_steps import fuse_steps

    return (fuse_steps,)


def optimize(plan: LogicalPlan, estimates: Callable[[], Estimates]) -> LogicalPlan:
    """`estimates` is called for a plan with steps."""
    if not _has_steps(plan):
        return _applied(plan, RULES)
    return _applied(plan, (*step_rules(estimates()), *call_rules()))


def optimize_apart(plan: LogicalPlan, estimates: Callable[[], Estimates]) -> LogicalPlan:
    """Optimized, with each step called by itself, so that it can be watched."""
    return _applied(plan, step_rules(estimates()) if _has_steps(plan) else RULES)


def unoptimized(plan: LogicalPlan) -> LogicalPlan:
    plan = prune(plan)
    return replace(plan, spooled=frozenset(plan.ops) - set(plan.roots))


def _has_steps(plan: LogicalPlan) -> bool:
    return any(isinstance(op, Step) for op in plan.ops.values())


def _applied(plan: LogicalPlan, rules: tuple[Rule, ...]) -> LogicalPlan:
    for rule in rules:
        plan = rule(plan)
    return plan

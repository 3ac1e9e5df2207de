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


def _lookup_rules(estimates: Estimates, *, pushdown: bool) -> tuple[Rule, ...]:
    """Each loaded by plans that ask databases. Without `pushdown` lookups are what the program says."""

    def narrow(plan: LogicalPlan) -> LogicalPlan:
        if not _asks_databases(plan):
            return plan
        from heddle.logical.rules.narrow_lookups import narrow_lookups

        return narrow_lookups(plan)

    def choose(plan: LogicalPlan) -> LogicalPlan:
        if not _asks_databases(plan):
            return plan
        from heddle.logical.rules.choose_lookups import choose_lookups

        return choose_lookups(plan, estimates)

    return (narrow, choose) if pushdown else ()


def _asks_databases(plan: LogicalPlan) -> bool:
    return any(isinstance(op, Step) and op.call.signature.sql for op in plan.ops.values())


def _hold_still(plan: LogicalPlan) -> LogicalPlan:
    """`hold_still`, loaded by plans that read streams."""
    if not any(isinstance(op, Step) and op.call.signature.stream for op in plan.ops.values()):
        return plan
    from heddle.logical.rules.hold_still import hold_still

    return hold_still(plan)


def _push_sources(plan: LogicalPlan) -> LogicalPlan:
    """`push_sources`, loaded by plans that ask databases."""
    if not _asks_databases(plan):
        return plan
    from heddle.logical.rules.push_sources import push_sources

    return push_sources(plan)


RULES: tuple[Rule, ...] = (prune, _merge_equal, share, fuse_queries)
"""For a plan without steps."""


def step_rules(estimates: Estimates, *, pushdown: bool = True) -> tuple[Rule, ...]:
    """For a plan with steps. `pushdown` into databases is left out to compare."""
    from heddle.logical.rules.narrow_steps import narrow_steps
    from heddle.logical.rules.push_filters import push_filters
    from heddle.logical.rules.push_joins import push_joins
    from heddle.logical.rules.push_limits import push_limits
    from heddle.logical.rules.push_top import push_top

    moving = (push_filters, push_top, narrow_steps, push_limits)
    joins = partial(push_joins, estimates=estimates)
    asking = (_push_sources,) if pushdown else ()
    return (
        prune,
        _merge_equal,
        _hold_still,
        joins,
        share,
        fuse_queries,
        *moving,
        *asking,
        *_lookup_rules(estimates, pushdown=pushdown),
    )


def call_rules() -> tuple[Rule, ...]:
    """Behind `step_rules`: what changes how steps are called, and not what they are given."""
    from heddle.logical.rules.fuse_steps import fuse_steps

    return (fuse_steps,)


def optimize(plan: LogicalPlan, estimates: Callable[[], Estimates], *, pushdown: bool = True) -> LogicalPlan:
    """`estimates` is called for a plan with steps."""
    if not _has_steps(plan):
        return _applied(plan, RULES)
    return _applied(plan, (*step_rules(estimates(), pushdown=pushdown), *call_rules()))


def optimize_apart(
    plan: LogicalPlan, estimates: Callable[[], Estimates], *, pushdown: bool = True
) -> LogicalPlan:
    """Optimized, with each step called by itself, so that it can be watched."""
    return _applied(plan, step_rules(estimates(), pushdown=pushdown) if _has_steps(plan) else RULES)


def unoptimized(plan: LogicalPlan) -> LogicalPlan:
    plan = _hold_still(prune(plan))
    return replace(plan, spooled=frozenset(plan.ops) - set(plan.roots))


def _has_steps(plan: LogicalPlan) -> bool:
    return any(isinstance(op, Step) for op in plan.ops.values())


def _applied(plan: LogicalPlan, rules: tuple[Rule, ...]) -> LogicalPlan:
    for rule in rules:
        plan = rule(plan)
    return plan

"""The optimizer: an ordered tuple of rules, each a function from plan to plan in a file of its own.

A rule records in the plan's notes what it did and, where it was near but did not fire, why not.
`unoptimized` keeps only what execution needs: one fragment per query, everything materialized.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from heddle.logical.plan import LogicalPlan
from heddle.logical.rules.fuse_queries import fuse_queries
from heddle.logical.rules.narrow_steps import narrow_steps
from heddle.logical.rules.prune import prune
from heddle.logical.rules.share import share

Rule = Callable[[LogicalPlan], LogicalPlan]

RULES: tuple[Rule, ...] = (prune, share, fuse_queries, narrow_steps)


def optimize(plan: LogicalPlan) -> LogicalPlan:
    for rule in RULES:
        plan = rule(plan)
    return plan


def unoptimized(plan: LogicalPlan) -> LogicalPlan:
    plan = prune(plan)
    return replace(plan, spooled=frozenset(plan.ops) - set(plan.roots))

"""The policy of a stage: its own over that of its bound step, its workflow and the project."""

from __future__ import annotations

import pytest

from heddle.diagnostics import Source
from heddle.frontend import ast
from heddle.frontend.checker.policies import read_policy
from heddle.frontend.checker.report import Report
from heddle.frontend.parser import parse
from heddle.frontend.typed import NO_POLICY, Policy, StepNode
from tests.frontend.checker.checked import check

PROGRAM = """\
import "team/shop" shop

policy careful { retry: 3, timeout: "1m" }
resource desk = shop.till { drawer: "top" }
step ship = <till=desk> shop.ship ! careful
step ship_now = ship ! { timeout: "1s" }

workflow W ! { retry: 9, concurrency: 2 } {
  [
    { id: 1, amount: 2.5 }
  ]
    | STAGE
}
"""


def policy_of(stage: str) -> Policy:
    result = check(PROGRAM.replace("STAGE", stage))
    assert result.program is not None, [d.message for d in result.diagnostics]
    (policy,) = [n.policy for n in result.program.nodes if isinstance(n, StepNode)]
    return policy


def read(text: str) -> Policy:
    source = Source("p.he", f"policy p {text}")
    (item,) = parse(source).program.items
    assert isinstance(item, ast.PolicyItem)
    report = Report(source)
    policy = read_policy(item.config, report)
    assert report.diagnostics == []
    return policy


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("ship", Policy(attempts=3, timeout_s=60.0, concurrency=2)),
        ("ship_now", Policy(attempts=3, timeout_s=1.0, concurrency=2)),
        ('ship_now ! { timeout: "5ms" }', Policy(attempts=3, timeout_s=0.005, concurrency=2)),
        ("ship ! { retry: 5, concurrency: 1 }", Policy(attempts=5, timeout_s=60.0, concurrency=1)),
    ],
)
def test_the_nearest_policy_wins(stage: str, expected: Policy) -> None:
    assert policy_of(stage) == expected


@pytest.mark.parametrize(
    ("stage", "attempts"),
    [
        ("<till=desk> shop.ship", None),
        ('<till=desk> shop.ship ! { timeout: "1s" }', None),
        ('<till=desk> shop.ship ! { key: "id" }', 9),
        ("<till=desk> shop.ship ! { retry: 2 }", 2),
        ("<till=desk> shop.ship ! careful", 3),
        ("shop.price { rate: 2 }", 9),
        ("shop.mark", None),
    ],
)
def test_a_step_that_writes_is_retried_only_when_that_is_safe(stage: str, attempts: int | None) -> None:
    assert policy_of(stage).attempts == attempts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ }", NO_POLICY),
        ("{ retry: 5 }", Policy(attempts=5)),
        (
            '{ retry: { attempts: 5, backoff: "exp 200ms..30s", on: ["Timeout"] } }',
            Policy(attempts=5, backoff_first_s=0.2, backoff_max_s=30.0, on=("Timeout",)),
        ),
        (
            '{ retry: { backoff: "fixed 1m" } }',
            Policy(backoff_kind="fixed", backoff_first_s=60.0, backoff_max_s=60.0),
        ),
        ('{ retry: { backoff: "2s..1s" } }', Policy(backoff_first_s=2.0, backoff_max_s=2.0)),
        ('{ timeout: "1.5h" }', Policy(timeout_s=5400.0)),
        ('{ rate: "120/m" }', Policy(rate_per_s=2.0)),
        ('{ durability: "barrier", key: "id" }', Policy(durability="barrier", key="id")),
        (
            '{ batch: { max_rows: 4096, max_wait: "5ms" } }',
            Policy(batch_max_rows=4096, batch_max_wait_s=0.005),
        ),
    ],
)
def test_what_a_policy_says(text: str, expected: Policy) -> None:
    assert read(text) == expected

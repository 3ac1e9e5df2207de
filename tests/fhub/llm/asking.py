"""How the tests ask: a step of the plugin, against a server or a proxy in front of one."""

from __future__ import annotations

import json
from typing import Any

from fhub.llm import plugin
from heddle.sdk.testing import StepResult, run_step
from tests.services.fault_proxy import FaultProxy

MODEL = "smollm2"
TOKENS = 6


def ask(
    step: str,
    url: str,
    rows: list[dict[str, Any]],
    context: dict[str, Any] | None = None,
    connection: dict[str, Any] | None = None,
    **config: Any,
) -> StepResult:
    if step != "embed":
        config = {"max_tokens": TOKENS, **config}
    resource = {"base_url": url, "model": MODEL, **(connection or {})}
    return run_step(plugin, step, rows, config=config, resources={"connection": resource}, context=context)


def metric(result: StepResult, name: str) -> float:
    return next(m.value for m in result.metrics if m.name == name)


def bodies(proxy: FaultProxy) -> list[dict[str, Any]]:
    return [json.loads(seen.body) for seen in proxy.requests]


def messages(proxy: FaultProxy) -> list[list[tuple[str, str]]]:
    """Of each request: who said what."""
    return [[(m["role"], m["content"]) for m in body["messages"]] for body in bodies(proxy)]

"""The published plugins, unchanged, through the transport."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.core.config import ConfigValue
from heddle.sdk.loader import load_module
from heddle.udf_bridge.inline import InlineTransport
from heddle.udf_bridge.transport import (
    CallContext,
    CallResult,
    ResourceBinding,
    StepBinding,
    StepFailure,
)

PROGRAMS = Path(__file__).parents[1] / "acceptance"
CONTEXT = CallContext("run1", "W", "s", 1, None, None, lambda: False, lambda wake: lambda: None)
PASSWORDS = pa.table({"id": [1, 2], "password": ["correct horse", "battery"]})
HASHES = [hashlib.sha256(("pepper" + p).encode()).hexdigest() for p in ("correct horse", "battery")]


def call(
    file: str,
    step: str,
    table: pa.Table,
    config: Mapping[str, ConfigValue] | None = None,
    resource: tuple[str, Mapping[str, ConfigValue]] | None = None,
) -> CallResult:
    module = load_module(PROGRAMS / file, "m").signature
    bound = {resource[0]: ResourceBinding("r", module, *resource)} if resource else {}
    transport = InlineTransport()
    try:
        binding = StepBinding("W/1", module, module.steps[step], config or {}, bound, ".", None)
        return transport.open(binding, lambda told: None).invoke(table, CONTEXT)
    finally:
        transport.close()


def test_the_security_plugin() -> None:
    pytest.importorskip("pandas")
    vault = ("vault", {"api_key": "pepper"})
    result = call("security_plugin/security.py", "hash", PASSWORDS, {"algorithm": "sha256"}, vault)
    assert result.output is not None
    assert result.output.to_pydict() == {"id": [1, 2], "hash": HASHES}


def test_the_security_module() -> None:
    pytest.importorskip("pandas")
    config: dict[str, ConfigValue] = {"algorithm": "sha256", "rounds": 1}
    result = call("security_local/local/security.py", "hash_password", PASSWORDS, config)
    assert result.output is not None
    assert result.output.to_pydict() == {"id": [1, 2], "hash": HASHES}


def test_the_fraud_score() -> None:
    table = pa.table({"amount": [12_500.5, 20_000.0], "user_id": [1, 2], "currency": ["EUR", "EUR"]})
    result = call("fraud/fraud_score.py", "process", table)
    assert result.output is not None
    assert result.output.to_pydict() == {
        "user_id": [1, 2],
        "amount": [12_500.5, 20_000.0],
        "score": [0.0125005, 0.27],
    }
    with pytest.raises(StepFailure) as caught:
        call("fraud/fraud_score.py", "process", pa.table({"amount": [-1.0], "user_id": [1]}))
    assert (caught.value.error_type, caught.value.message) == ("ValueError", "negative amount")


def test_the_step_that_explodes() -> None:
    with pytest.raises(StepFailure) as caught:
        call("handlers/explode.py", "boom", pa.table({"id": [1, 2, 3]}))
    assert caught.value.message == "no luck today"
    assert caught.value.stack_trace.splitlines()[-1] == "ValueError: no luck today"
    assert 'explode.py", line 5, in boom' in caught.value.stack_trace

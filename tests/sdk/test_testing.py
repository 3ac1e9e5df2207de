"""`run_step`: a step in a test, without an engine."""

from __future__ import annotations

from types import ModuleType

import pyarrow as pa
import pytest

from heddle.core import Resource, ResourceConfig, StepConfig, StepContext, Table
from heddle.sdk import Plugin
from heddle.sdk.testing import StepError, run_step

CLOSED: list[str] = []
plugin = Plugin(namespace="shop")


class BankConfig(ResourceConfig):
    url: str


class Bank(Resource):
    def __init__(self, url: str) -> None:
        self.url = url

    def close(self) -> None:
        CLOSED.append(self.url)


@plugin.resource(name="bank")
def bank(config: BankConfig) -> Bank:
    return Bank(config.url)


class Price(Table):
    price: float


class PriceConfig(StepConfig[BankConfig]):
    factor: float = 1.0


@plugin.step(name="convert", resource="bank", rows="map")
def convert(input: Price, config: PriceConfig, context: StepContext) -> Table:
    context.log.info("converting", extra={"bank": config.resource.url})
    context.progress(1, 2, "half")
    context.metric("rate", 1.5)
    context.reject([1], "too cheap")
    context.reject([1, 0], "second reason")
    rows = input.to_arrow()
    return Table.from_arrow(rows.append_column("attempt", [[context.attempt] * rows.num_rows]))


@plugin.step(name="store")
def store(input: Table) -> None: ...


@plugin.step(name="fail")
def fail() -> Table:
    raise ConnectionError("no line")


def test_everything_that_a_step_did_is_seen() -> None:
    CLOSED.clear()
    result = run_step(
        plugin,
        "convert",
        [{"price": 1}, {"price": 2}],
        config={"factor": 2},
        resources={"bank": {"url": "here"}},
        context={"attempt": 3},
    )
    assert result.rows == [{"price": 1.0, "attempt": 3}, {"price": 2.0, "attempt": 3}]
    assert result.rejected == {0: "second reason", 1: "too cheap"}
    assert [(log.level, log.message, dict(log.fields)) for log in result.logs] == [
        ("info", "converting", {"bank": "here"})
    ]
    assert [(p.rows_done, p.rows_total, p.message) for p in result.progress] == [(1, 2, "half")]
    assert [(m.name, m.value, m.unit) for m in result.metrics] == [("rate", 1.5, "")]
    assert CLOSED == ["here"]


def test_an_object_stands_in_for_a_resource() -> None:
    class Fake:
        url = "fake"

    result = run_step(plugin, "convert", pa.table({"price": [1.0, 2.0]}), resources={"bank": Fake()})
    assert result.logs[0].fields == {"bank": "fake"}


def test_sinks_return_nothing() -> None:
    assert run_step(plugin, "store", [{"a": 1}]).table is None


def test_mistakes_are_named() -> None:
    with pytest.raises(LookupError, match="there is no step `convrt`; did you mean `convert`"):
        run_step(plugin, "convrt")
    with pytest.raises(LookupError, match="the step `convert` has no slot `bnk`; there are: bank"):
        run_step(plugin, "convert", [], resources={"bnk": {}})
    with pytest.raises(StepError, match=r"`shop\.convert` needs a resource in its slot `bank`"):
        run_step(plugin, "convert", [])
    with pytest.raises(StepError, match="setting `factor`: a string where float is wanted") as caught:
        run_step(plugin, "convert", [], config={"factor": "x"}, resources={"bank": {"url": "u"}})
    assert caught.value.kind == "config"
    with pytest.raises(StepError, match="Price: column `price` is missing"):
        run_step(plugin, "convert", [{"cost": 1}], resources={"bank": {"url": "u"}})
    with pytest.raises(StepError) as failed:
        run_step(plugin, "fail")
    assert failed.value.transient
    assert isinstance(failed.value.__cause__, ConnectionError)


def test_plain_modules_have_steps_too() -> None:
    module = ModuleType("plain")

    def double(input: Table) -> Table:
        return Table.from_pylist([{"a": row["a"] * 2} for row in input.to_pylist()])

    double.__module__ = "plain"
    vars(module)["double"] = double
    assert run_step(module, "double", [{"a": 2}]).rows == [{"a": 4}]

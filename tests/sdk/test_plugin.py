"""Registering steps and resources: what binds, and what is refused in which words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypedDict

import pyarrow as pa
import pytest

from heddle.core import Resource, ResourceConfig, StepConfig, StepContext, Table
from heddle.core.types import OPEN_ROW
from heddle.sdk import Plugin, PluginError


class In(Table):
    a: int


class Out(Table):
    a: int
    b: float | None


class BankConfig(ResourceConfig):
    url: str = "x"


class Settings(TypedDict):
    word: str


def test_signatures_are_what_the_annotations_say() -> None:
    plugin = Plugin(namespace="team/risk")

    @plugin.resource(name="bank")
    def bank(config: BankConfig) -> Resource:
        return Resource()

    @plugin.step(name="score", resource={"main": "bank"}, rows="map", passthrough=True, deterministic=True)
    def score(config: StepConfig[BankConfig], input: In, context: StepContext) -> Out:
        """Scores."""
        raise NotImplementedError

    @plugin.step(name="source")
    def source(config: Settings) -> Iterator[Out]:
        yield from ()

    @plugin.step(name="sink", effect=True)
    def sink(rows: Table) -> None: ...

    @plugin.step(name="either")
    def either(input: In | None) -> Table:
        raise NotImplementedError

    module = plugin.signature("team/risk", "h")
    step = module.steps["score"]
    assert str(step.input) == "{a: int}"
    assert str(step.output) == "{a: int, b: float?}"
    assert (step.rows, step.passthrough, step.step_class, step.doc) == ("map", True, "pure", "Scores.")
    assert [(s.name, s.resource) for s in step.slots] == [("main", "bank")]
    assert module.steps["source"].input_mode == "none"
    assert [f.name for f in module.steps["source"].config] == ["word"]
    assert module.steps["sink"].output is None
    assert module.steps["either"].input_mode == "optional"
    assert [f.name for f in module.resources["bank"].config] == ["url"]


def _two_tables(a: Table, b: Table) -> Table:
    return a


def _no_hint(rows) -> Table:  # type: ignore[no-untyped-def]
    return rows  # type: ignore[no-any-return]


def _wrong_return(input: Table) -> int:
    return 1


def _stars(*input: Table) -> Table:
    return input[0]


async def _later(input: Table) -> Table:
    return input


def _no_config(input: Table) -> Table:
    return input


class _BadRow(Table):
    a: complex


def _bad_row(input: _BadRow) -> Table:
    return input


class _Taken(StepConfig[BankConfig]):
    resource: str


def _taken(config: _Taken, input: Table) -> Table:
    return input


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (_two_tables, {}, "step `s` (function `_two_tables`) has two parameters for the input; keep one"),
        (_no_hint, {}, "step `s` (function `_no_hint`): it is not clear what the parameter `rows` takes"),
        (_wrong_return, {}, "step `s` (function `_wrong_return`) returns `int`; a step returns a Table"),
        (_stars, {}, "step `s` (function `_stars`) takes `*input`; name its parameters one by one"),
        (_later, {}, "step `s` (function `_later`) is `async`; write a plain `def`"),
        (_no_config, {"resource": "bank"}, "uses a resource, so it needs a parameter `config: StepConfig`"),
        (_no_config, {"rows": "maps"}, 'rows="maps" is not one of "map", "filter", "flat", "table"'),
        (_no_config, {"deterministic": True, "effect": True}, "exclude each other; drop one"),
        (_bad_row, {}, "step `s` (function `_bad_row`): _BadRow.a: `complex` is not a column type"),
        (_taken, {}, "rename the setting `resource`; that name holds the resource"),
    ],
)
def test_what_does_not_bind_is_named(
    function: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    plugin = Plugin(namespace="p")
    with pytest.raises(PluginError) as caught:
        plugin.step(name="s", **options)(function)
    assert message in str(caught.value)


def test_duplicates_and_unknown_resources() -> None:
    plugin = Plugin(namespace="p")
    plugin.step(name="s")(_no_config)
    with pytest.raises(PluginError, match="the plugin `p` has two steps `s`; rename one of them"):
        plugin.step(name="s")(_no_config)

    @plugin.resource(name="bank")
    def bank(config: BankConfig) -> Resource:
        return Resource()

    @plugin.step(name="t", resource="bnk")
    def t(config: StepConfig[BankConfig], input: Table) -> Table:
        return input

    with pytest.raises(PluginError) as caught:
        plugin.signature()
    assert str(caught.value) == (
        "step `t` uses the resource `bnk`, which the plugin `p` does not have; did you mean `bank`?"
    )
    with pytest.raises(PluginError, match="a namespace is a name"):
        Plugin(namespace="./x")


def test_declared_steps_have_no_body() -> None:
    plugin = Plugin(namespace="p")
    plugin.declare("later", input=In, output={"b": "decimal(10,2)?"}, rows="map", idempotent=True)
    plugin.declare("sink", output=None, effect=True)
    steps = plugin.signature().steps
    assert not steps["later"].runnable
    assert str(steps["later"].output) == "{b: decimal(10,2)?}"
    assert steps["sink"].output is None
    assert steps["sink"].input == OPEN_ROW
    with pytest.raises(PluginError, match="`sting` is not a type"):
        plugin.declare("wrong", output={"b": "sting"})


def test_serve_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin(namespace="p", doc="Risk.")
    plugin.step(name="s", rows="map", deterministic=True)(_no_config)
    plugin.serve()
    assert capsys.readouterr().out == (
        "plugin p\n  Risk.\n  step s\n    {..} -> {..}\n    rows=map, deterministic\n\n"
        'It need not be started by hand: `heddle run` starts it where a program says import "p".\n'
    )


def test_functions_stay_callable() -> None:
    plugin = Plugin(namespace="p")

    @plugin.step(name="double", rows="map")
    def double(input: In) -> In:
        return In.from_pylist([{"a": row["a"] * 2} for row in input.to_pylist()])

    assert double(In.from_arrow(pa.table({"a": [1]}))).to_pylist() == [{"a": 2}]

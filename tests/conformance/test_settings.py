"""Settings arrive as they were written, and what does not fit is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heddle.udf_bridge.keys import BindingKey, ResourceKey
from heddle.udf_bridge.transport import StepFailure
from tests.conformance.plugin import Conformance, context

FULL: dict[str, Any] = {
    "flag": True,
    "count": -7,
    "ratio": 2.25,
    "name": 'a "quoted" ž\n',
    "level": "high",
    "tags": ["a", "b"],
    "weights": {"x": 1.5, "y": -2.5},
    "limit": 3,
    "place": {"city": "Brno", "zip": "602 00"},
}
REQUIRED: dict[str, Any] = {"flag": False, "count": 0, "name": ""}
DEFAULTS: dict[str, Any] = {
    "ratio": 0.5,
    "level": "low",
    "tags": [],
    "weights": {},
    "limit": None,
    "place": None,
}


def settings(plugin: Conformance, config: dict[str, Any]) -> Any:
    """What the step was given."""
    batches = list(plugin.session("settings", config).batches(context()))
    return json.loads(batches[0]["json"].to_pylist()[0])


def test_all_settings(plugin: Conformance) -> None:
    assert settings(plugin, FULL) == FULL


def test_defaults(plugin: Conformance) -> None:
    assert settings(plugin, REQUIRED) == {**REQUIRED, **DEFAULTS}


def test_defaults_inside_a_struct(plugin: Conformance) -> None:
    found = settings(plugin, {**REQUIRED, "place": {"city": "Brno"}})
    assert found["place"] == {"city": "Brno", "zip": ""}


def test_a_large_whole_number(plugin: Conformance) -> None:
    assert settings(plugin, {**REQUIRED, "count": 2**53 + 1})["count"] == 2**53 + 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("count", "seven"),
        ("flag", 1),
        ("ratio", "x"),
        ("level", "middle"),
        ("tags", ["a", 1]),
        ("weights", {"x": "heavy"}),
        ("place", {"town": "Brno"}),
    ],
)
def test_a_setting_of_a_wrong_type_is_refused(plugin: Conformance, setting: str, value: object) -> None:
    """The engine checks settings too; a plugin must not trust that."""
    _refused(plugin, {**FULL, setting: value}, setting)


def test_a_missing_setting_is_refused(plugin: Conformance) -> None:
    _refused(plugin, {k: v for k, v in FULL.items() if k != "count"}, "count")


def test_an_unknown_setting_is_refused(plugin: Conformance) -> None:
    _refused(plugin, {**FULL, "counts": 1}, "counts")


def test_an_unknown_step_is_refused(plugin: Conformance) -> None:
    with pytest.raises(StepFailure, match="nothing_like_it"):
        plugin.host.connection().bind(BindingKey("nothing_like_it", "{}", (), ""))


def test_an_unknown_resource_is_refused(plugin: Conformance) -> None:
    key = BindingKey("count", "{}", (("counter", ResourceKey("nothing_like_it", "{}", "visits")),), "")
    with pytest.raises(StepFailure, match="nothing_like_it"):
        plugin.host.connection().bind(key)


def _refused(plugin: Conformance, config: dict[str, Any], setting: str) -> None:
    with pytest.raises(StepFailure, match="were refused") as caught:
        plugin.host.connection().bind(BindingKey("settings", json.dumps(config), (), ""))
    assert setting in caught.value.message

"""What a plugin says of itself is the same in every language, to the last property."""

from __future__ import annotations

import pytest

from heddle.core.config import ConfigField
from heddle.core.types import RowType
from tests.conformance.plugin import Conformance, conformance


@pytest.fixture(scope="module")
def reference() -> Conformance:
    with conformance("python") as opened:
        return opened


def test_names_and_text(plugin: Conformance, reference: Conformance) -> None:
    assert plugin.module.namespace == "conformance"
    assert plugin.module.doc == "What every SDK must do."
    assert plugin.host.connection().description.version == "1.2.3"
    assert sorted(plugin.module.steps) == sorted(reference.module.steps)
    assert len(plugin.module.steps) == 21


def test_every_step_is_declared_as_in_python(plugin: Conformance, reference: Conformance) -> None:
    for name, wanted in reference.module.steps.items():
        found = plugin.module.steps[name]
        assert (found.input_mode, _row(found.input)) == (wanted.input_mode, _row(wanted.input)), name
        assert _row(found.output) == _row(wanted.output), name
        properties = ("rows", "passthrough", "deterministic", "idempotent", "effect", "runnable")
        assert {p: getattr(found, p) for p in properties} == {p: getattr(wanted, p) for p in properties}, name
        assert found.output_from_config == wanted.output_from_config, name
        assert found.slots == wanted.slots, name


def test_settings_are_declared_as_in_python(plugin: Conformance, reference: Conformance) -> None:
    for name, wanted in reference.module.steps.items():
        assert _by_name(plugin.module.steps[name].config) == _by_name(wanted.config), name
    found = plugin.module.resources["counter"].config
    assert _by_name(found) == _by_name(reference.module.resources["counter"].config)


def _by_name(fields: tuple[ConfigField, ...]) -> dict[str, ConfigField]:
    """Their order means nothing."""
    return {field.name: field for field in fields}


def _row(row: RowType | None) -> str | None:
    return str(row) if row is not None else None

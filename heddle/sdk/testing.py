"""Steps in tests, without an engine: `run_step` calls one as a plugin's process would.

    from heddle.sdk.testing import run_step
    from prices import plugin

    def test_prices_are_rounded() -> None:
        result = run_step(plugin, "round", [{"price": 1.239}], config={"digits": 2})
        assert result.rows == [{"price": 1.24}]

Settings are checked, resources are opened and closed, rows are converted to the step's `Table` class; what
the step raises arrives as a `StepError`, whose `__cause__` is the exception itself. What only the engine
checks (the number of rows, columns that pass by, nulls) is not checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import ModuleType
from typing import Any, TypeAlias

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.failure import StepError
from heddle.core.record import record
from heddle.core.report import StepLogged, StepMeasured, StepProgressed, StepReport
from heddle.core.step import RejectedRows, StepContext
from heddle.core.table import ArrowStream, Table, arrow_table
from heddle.core.wire.columns import joined
from heddle.sdk.loader import module_of
from heddle.sdk.plugin import Plugin
from heddle.sdk.runtime import ModuleRuntime

__all__ = ["StepError", "StepResult", "run_step"]

Rows: TypeAlias = Table | ArrowStream | Iterable[Mapping[str, Any]]


@record(frozen=True, slots=True)
class StepResult:
    """What a step did. `table` is what it returned, all tables of an iterator as one; None for a sink."""

    table: pa.Table | None
    rejections: tuple[RejectedRows, ...]
    logs: tuple[StepLogged, ...]
    progress: tuple[StepProgressed, ...]
    metrics: tuple[StepMeasured, ...]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of `table` as dicts."""
        assert self.table is not None, "the step returned nothing"
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    @property
    def rejected(self) -> dict[int, str]:
        """The reason for each rejected row, by its number in the input."""
        numbered = [(row, r.reason) for r in self.rejections for row in r.rows.to_pylist()]
        return dict(reversed(numbered))


def run_step(
    plugin: Plugin | ModuleType,
    name: str,
    rows: Rows | None = None,
    *,
    config: Mapping[str, ConfigValue] | None = None,
    resources: Mapping[str, object] | None = None,
    context: Mapping[str, Any] | None = None,
) -> StepResult:
    """Call the step `name` of a plugin, or of a plain module, with `rows` (None for a source).

    `resources` gives each slot either settings, with which the plugin's own resource is opened, or any
    other object, which stands in for it. `context` says more of the call by the names of `StepContext`, such
    as `{"attempt": 2}`. Raises `StepError`, and `LookupError` for a step or a slot that is not there.
    """
    module = plugin.module() if isinstance(plugin, Plugin) else module_of(plugin)
    if name not in module.steps:
        near = get_close_matches(name, module.steps, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(module.steps)}"
        raise LookupError(f"there is no step `{name}`; {hint}")
    runtime = ModuleRuntime(module)
    opened: list[object] = []
    try:
        given = _resources(runtime, name, resources or {}, opened)
        input = _table(rows) if rows is not None else None
        told: list[StepReport] = []
        call = StepContext(
            **{"step": name, **(context or {})},
            row_count=input.num_rows if input is not None else 0,
            tell=told.append,
        )
        tables = list(runtime.bind(name, config or {}, given).call(input, call))
    finally:
        for resource in reversed(opened):
            runtime.close_resource(resource)
    return StepResult(
        joined(tables) if tables else None,
        tuple(call.rejections),
        tuple(report for report in told if isinstance(report, StepLogged)),
        tuple(report for report in told if isinstance(report, StepProgressed)),
        tuple(report for report in told if isinstance(report, StepMeasured)),
    )


def _table(rows: Rows) -> pa.Table:
    if isinstance(rows, Table | ArrowStream):
        return arrow_table(rows)
    return Table.from_pylist(rows).to_arrow()


def _resources(
    runtime: ModuleRuntime, step: str, given: Mapping[str, object], opened: list[object]
) -> dict[str, object]:
    slots = {slot.name: slot for slot in runtime.module.steps[step].signature.slots}
    resources: dict[str, object] = {}
    for name, value in given.items():
        if name not in slots:
            raise LookupError(
                f"the step `{step}` has no slot `{name}`; there are: {', '.join(slots) or 'none'}"
            )
        if isinstance(value, dict):
            opened.append(runtime.open_resource(slots[name].resource, value))
            resources[name] = opened[-1]
        else:
            resources[name] = value
    return resources

"""A call that asks a step for something other than rows, over an endpoint that makes calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.report import StepAnswered
from heddle.udf_bridge.transport import Report, Reporter, StepFailure


def answer_of(call: Callable[[Reporter], Iterator[pa.Table]], report: Reporter) -> ConfigValue:
    """What the step answers in `call`, which takes the reporter to use; all else it tells goes to `report`.
    Raises `StepFailure`."""
    answers: list[ConfigValue] = []

    def told(what: Report) -> None:
        if isinstance(what, StepAnswered):
            answers.append(what.answer)
        else:
            report(what)

    for _ in call(told):
        pass
    if not answers:
        raise StepFailure("the plugin's SDK does not know what it was asked; update it", "Unsupported", "")
    return answers[-1]

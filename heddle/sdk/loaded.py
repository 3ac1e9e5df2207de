"""`LoadedModule`: what a plugin or a plain Python file offers, in the process that can call it."""

from __future__ import annotations

from collections.abc import Mapping

from heddle.core.record import record
from heddle.core.signature import ModuleSignature
from heddle.sdk.binding import ResourceFunction, StepFunction


@record(frozen=True, slots=True)
class LoadedModule:
    """`signature` is plain data; `steps` and `resources` are what it names, to be called in this process.

    `ignored` tells for the other public functions of a plain module why they are no steps. `environment`
    names the variables that the code reads.
    """

    signature: ModuleSignature
    steps: Mapping[str, StepFunction]
    resources: Mapping[str, ResourceFunction]
    ignored: Mapping[str, str]
    version: str = ""
    environment: tuple[str, ...] = ()

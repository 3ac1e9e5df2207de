"""What the checker asks the outside world: modules, inferred rows, files' schemas.

The frontend does no IO; the engine passes a `Catalog` (see `heddle/catalog.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from heddle.core.record import record
from heddle.core.signature import ModuleSignature, StepSignature
from heddle.core.types import RowType
from heddle.diagnostics import Severity, Source, Span
from heddle.frontend.typed import ConfigData, ResourceUse


@record(frozen=True, slots=True)
class CatalogProblem:
    """Why something could not be described. `severity` follows decisions.md 9: a missing file is a
    warning in check. `code` is an HD04xx or HD05xx code. `setting` is the one that it is about."""

    code: str
    severity: Severity
    message: str
    help: str | None = None
    setting: str | None = None


@record(frozen=True, slots=True)
class AskedCall:
    """A call whose columns a service may have to be asked for: `resources` by slot, the `parameters` of the
    program that have a value, and where it stands."""

    callee: str
    resources: Mapping[str, ResourceUse]
    parameters: Mapping[str, ConfigData]
    source: Source
    span: Span
    spans: Mapping[str, Span]


class Catalog(Protocol):
    def module(self, path: str) -> ModuleSignature | CatalogProblem:
        """The module that `import "path"` names."""
        ...

    def infer_row(
        self,
        module: ModuleSignature,
        step: StepSignature,
        config: Mapping[str, ConfigData],
        input_row: RowType | None,
        call: AskedCall | None = None,
    ) -> tuple[RowType, CatalogProblem | None]:
        """The output row of a step whose signature says `output_from_config`. With a `call` a service may be
        asked for it.

        With nothing known the row is open and the problem says why (a warning).
        """
        ...

    def is_remembered(
        self,
        module: ModuleSignature,
        step: StepSignature,
        config: Mapping[str, ConfigData],
        input_row: RowType | None,
    ) -> bool:
        """Whether `infer_row` gives what a service said at another time."""
        ...

    def named_step(self, path: str, name: str) -> tuple[str, Mapping[str, ConfigData]] | None:
        """A step of the module `path` that the project calls `name`, and the settings it has there."""
        ...

    def overlay(self, kind: str, name: str) -> Mapping[str, ConfigData]:
        """The profile's settings for a resource or step of the program (`kind`: "resources", "steps")."""
        ...

    def parameters(self) -> Mapping[str, ConfigData]:
        """Values given for workflow parameters: `--param` over the profile's `params`."""
        ...

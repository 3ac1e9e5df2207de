"""Signatures: what a module offers, as plain data that any plugin can send.

A `ModuleSignature` lists a module's steps and resources; the checker types calls with them, the
optimizer reads the declared properties, and the executor derives each step's class from them.
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from heddle.core.config import ConfigField
from heddle.core.record import record
from heddle.core.types import OPEN_ROW, RowType

Rows = Literal["map", "filter", "flat", "table"]
StepClass = Literal["pure", "recorded", "effect", "undeclared", "wait"]
InputMode = Literal["none", "required", "optional"]


@record(frozen=True, slots=True)
class Slot:
    """A place for a resource: `<name=…>` takes a resource of type `resource` of the same module, or of any
    type of that module where `resource` is empty.

    A slot that is not `required` may stay empty, because the step's own config can say what it needs.
    """

    name: str
    resource: str
    required: bool = True


@record(frozen=True, slots=True)
class StepSignature:
    """One step. The properties mean what language.md section 8 says; None is "not declared".

    `output` is None for a sink without output. With `output_from_config` the row is inferred from
    the config at plan time (`Catalog.infer_row`), and `output` is only what holds for any config.
    A `runnable=False` step has a signature but no body yet: a program that calls it checks but
    does not run.

    `sql` is the dialect, as sqlglot names it, of a step that gives the rows of one SELECT: that of its
    statement, or of its settings `table` and `columns`. A `lookup` is called with the values that the
    parameters of its statement take. A `writer` takes batches until it is told to commit or to abort, a
    `stream` is read in turns; `estimates` says that it can be asked how many rows it would give.
    """

    name: str
    input_mode: InputMode = "required"
    input: RowType = OPEN_ROW
    output: RowType | None = OPEN_ROW
    output_from_config: bool = False
    rows: Rows = "table"
    passthrough: bool = False
    deterministic: bool | None = None
    idempotent: bool | None = None
    effect: bool | None = None
    wait: bool = False
    config: tuple[ConfigField, ...] = ()
    config_open: bool = False
    slots: tuple[Slot, ...] = ()
    runnable: bool = True
    sql: str = ""
    lookup: bool = False
    writer: bool = False
    stream: bool = False
    estimates: bool = False
    doc: str = ""

    @property
    def stateful(self) -> bool:
        """Whether its calls in a run belong together, so that none can be made elsewhere or again."""
        return self.writer or self.stream

    @property
    def step_class(self) -> StepClass:
        if self.wait:
            return "wait"
        if self.effect:
            return "effect"
        if self.deterministic:
            return "pure"
        return "recorded" if self.effect is False else "undeclared"

    @property
    def may_repeat(self) -> bool:
        """Whether running the step twice for the same rows does no harm."""
        return self.step_class in {"pure", "recorded"} or bool(self.idempotent)


@record(frozen=True, slots=True)
class ResourceSignature:
    name: str
    config: tuple[ConfigField, ...] = ()
    config_open: bool = False
    doc: str = ""


@record(frozen=True, slots=True)
class ModuleSignature:
    """What an import resolves to. `readers` are the steps that a name means at the head of a pipeline
    (`io.csv` reads there and writes when something is piped into it); `steps` all others.

    `code_hash` names the code that will run, so that a run stays on what it was planned with; `origin` is
    the file it came from, or the name of an installed Python module.
    """

    path: str
    namespace: str
    steps: dict[str, StepSignature] = field(default_factory=dict)
    readers: dict[str, StepSignature] = field(default_factory=dict)
    resources: dict[str, ResourceSignature] = field(default_factory=dict)
    code_hash: str = ""
    origin: str = ""
    doc: str = ""

    def step(self, name: str, *, head: bool) -> StepSignature | None:
        if head and name in self.readers:
            return self.readers[name]
        return self.steps.get(name) or self.readers.get(name)

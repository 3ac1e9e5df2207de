"""`Plugin`: the registry by which a Python file offers steps and resources under a namespace.

The decorators leave the functions as they are. `Plugin.signature` gives what the plugin offers as plain
data, for the checker and the optimizer; the engine calls the functions through `steps` and `resources`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, TypeVar

from heddle.core.settings import Settings
from heddle.core.signature import InputMode, ModuleSignature, ResourceSignature, Rows, Slot, StepSignature
from heddle.core.types import OPEN_ROW
from heddle.sdk.binding import (
    Estimate,
    Infer,
    PluginError,
    Properties,
    ResourceFunction,
    ResourceSpec,
    RowSpec,
    StepFunction,
    bind_flow,
    bind_resource,
    bind_step,
    row_of,
    settings_of,
    slots_of,
    with_properties,
)
from heddle.sdk.describe import describe
from heddle.sdk.loaded import LoadedModule

F = TypeVar("F", bound=Callable[..., Any])


class Plugin:
    """`namespace` is the name that programs import: `import "fraud-score/detect"`.

    `environment` names the environment variables that the plugin's code reads: its process sees these and
    what any process needs (PATH, HOME, …), and no others.
    """

    def __init__(
        self, namespace: str, *, doc: str = "", version: str = "", environment: Sequence[str] = ()
    ) -> None:
        if not namespace or namespace != namespace.strip() or namespace.startswith((".", "/")):
            raise PluginError(f'a namespace is a name such as "security" or "team/risk", not {namespace!r}')
        self.namespace = namespace
        if isinstance(environment, str):
            raise PluginError(f'environment= takes a list of names: environment=["{environment}"]')
        self.doc = doc
        self.version = version
        self.environment = tuple(environment)
        self.steps: dict[str, StepFunction] = {}
        self.resources: dict[str, ResourceFunction] = {}

    def resource(self, name: str) -> Callable[[F], F]:
        """Register a function from a `ResourceConfig` to a `Resource`."""

        def register(function: F) -> F:
            self._add_resource(bind_resource(function, name))
            return function

        return register

    def step(
        self,
        name: str,
        *,
        resource: ResourceSpec | None = None,
        rows: Rows = "table",
        passthrough: bool = False,
        deterministic: bool | None = None,
        idempotent: bool | None = None,
        effect: bool | None = None,
        output: RowSpec | None = None,
        infer: Infer | None = None,
        estimate: Estimate | None = None,
        sql: str = "",
        lookup: bool = False,
        resource_required: bool = True,
    ) -> Callable[[F], F]:
        """Register a function as a step.

        `resource` names the resource that the step uses, or maps slot names to resources. `output` gives
        the output's columns where the return annotation does not. `infer` gives them where they depend on
        the settings: it is called while a program is checked, with the settings and, if it takes two
        arguments, the input's `RowType`, and returns a Table class, a dict such as `{"id": "int"}`, an Arrow
        schema or a `RowType`. `estimate` is called with the settings, and says about how many rows the step
        would give.

        `sql` is the dialect (as sqlglot names it) of a step that gives the rows of one SELECT, its
        `Statement` setting's or that of its settings `table` and `columns`: the engine may ask it for more
        of a query than the program says. With `lookup` the function is called with a row for each distinct
        tuple of values that the `@parameters` of its statement take, and adds the column `LOOKUP_KEY` to
        what it gives. `resource_required=False` lets the settings stand in for the resource.
        """
        slots = _slots(resource, f"step `{name}`", resource_required)
        properties = Properties(
            rows, passthrough, deterministic, idempotent, effect, False, slots, sql, lookup
        )

        def register(function: F) -> F:
            self._add_step(bind_step(function, name, properties, output, infer, estimate))
            return function

        return register

    def writer(
        self, name: str, *, resource: ResourceSpec | None = None, idempotent: bool | None = None
    ) -> Callable[[F], F]:
        """Register a function from the settings and the context to a `Writer`: a sink whose rows become
        visible when everything in the run has succeeded."""
        slots = _slots(resource, f"writer `{name}`", True)
        properties = Properties("flat", idempotent=idempotent, effect=True, slots=slots)

        def register(function: F) -> F:
            self._add_step(bind_flow(function, name, "writer", properties))
            return function

        return register

    def stream(
        self, name: str, *, resource: ResourceSpec | None = None, infer: Infer | None = None
    ) -> Callable[[F], F]:
        """Register a function from the settings and the context to a `Stream`: a source that is read in
        turns. `infer` is as for a step."""
        slots = _slots(resource, f"stream `{name}`", True)
        properties = Properties("flat", effect=False, slots=slots)

        def register(function: F) -> F:
            self._add_step(bind_flow(function, name, "stream", properties, infer))
            return function

        return register

    def declare(
        self,
        name: str,
        *,
        config: type[Settings] | None = None,
        input: RowSpec = OPEN_ROW,
        input_mode: InputMode = "required",
        output: RowSpec | None = OPEN_ROW,
        output_from_config: bool = False,
        resource: ResourceSpec | None = None,
        resource_required: bool = True,
        rows: Rows = "table",
        passthrough: bool = False,
        deterministic: bool | None = None,
        idempotent: bool | None = None,
        effect: bool | None = None,
        doc: str = "",
    ) -> None:
        """Register a step by its signature alone: programs that use it check, but do not run.

        With `output_from_config` its columns depend on its settings. `resource_required=False` lets the
        settings stand in for the resource.
        """
        where = f"step `{name}`"
        signature = StepSignature(
            name=name,
            input_mode=input_mode,
            input=row_of(input, where),
            output=None if output is None else row_of(output, where),
            output_from_config=output_from_config,
            config=settings_of(config, where),
            runnable=False,
            doc=doc,
        )
        slots = _slots(resource, where, resource_required)
        properties = Properties(rows, passthrough, deterministic, idempotent, effect, False, slots)
        self._add_step(StepFunction(with_properties(signature, properties, where), None, (), config))

    def declare_resource(self, name: str, *, config: type[Settings] | None = None, doc: str = "") -> None:
        """Register a resource by its settings alone."""
        signature = ResourceSignature(name, settings_of(config, f"resource `{name}`"), False, doc)
        self._add_resource(ResourceFunction(signature, None, config, config is not None))

    def signature(self, path: str = "", code_hash: str = "", origin: str = "") -> ModuleSignature:
        """What the plugin offers, under the import path `path`. Raises `PluginError` for a step whose
        resource was never registered."""
        for step in self.steps.values():
            for slot in step.signature.slots:
                if slot.resource not in self.resources:
                    raise PluginError(self._no_resource(step.signature.name, slot.resource))
        return ModuleSignature(
            path=path or self.namespace,
            namespace=self.namespace,
            steps={name: step.signature for name, step in self.steps.items()},
            resources={name: resource.signature for name, resource in self.resources.items()},
            code_hash=code_hash,
            origin=origin,
            doc=self.doc,
        )

    def serve(self) -> None:
        """Serve the steps to the engine that started this process, and do not return. In a process that was
        started by hand: show what the plugin offers, and return."""
        from heddle.sdk.serve import plugin_folder, serve

        folder = plugin_folder()
        if folder is not None:
            serve(self.module(), folder)
        sys.stdout.write(describe(self.signature()))
        sys.stdout.write(
            "\nIt need not be started by hand: `heddle run` starts it where a program says "
            f'import "{self.namespace}".\n'
        )

    def module(self) -> LoadedModule:
        """What the plugin offers, ready to be called in this process. Raises `PluginError`."""
        return LoadedModule(self.signature(), self.steps, self.resources, {}, self.version, self.environment)

    def _no_resource(self, step: str, resource: str) -> str:
        near = get_close_matches(resource, self.resources, n=1)
        cure = f"did you mean `{near[0]}`?" if near else f'add @plugin.resource(name="{resource}")'
        return (
            f"step `{step}` uses the resource `{resource}`, which the plugin `{self.namespace}` "
            f"does not have; {cure}"
        )

    def _add_step(self, step: StepFunction) -> None:
        name = step.signature.name
        if name in self.steps:
            raise PluginError(f"the plugin `{self.namespace}` has two steps `{name}`; rename one of them")
        self.steps[name] = step

    def _add_resource(self, resource: ResourceFunction) -> None:
        name = resource.signature.name
        if name in self.resources:
            raise PluginError(f"the plugin `{self.namespace}` has two resources `{name}`; rename one of them")
        self.resources[name] = resource


def _slots(resource: ResourceSpec | None, where: str, required: bool) -> tuple[Slot, ...]:
    return tuple(replace(slot, required=required) for slot in slots_of(resource, where))

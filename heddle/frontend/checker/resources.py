"""Resources: what `resource x = module.type {…}` declares, and the slots of steps that take them."""

from __future__ import annotations

from collections.abc import Mapping

from heddle.core.signature import ModuleSignature, StepSignature
from heddle.diagnostics import Label, Span
from heddle.frontend import ast
from heddle.frontend.catalog import Catalog
from heddle.frontend.checker.configs import ConfigChecker
from heddle.frontend.checker.declarations import Declarations
from heddle.frontend.checker.report import Report
from heddle.frontend.typed import ConfigData, ResourceUse


class Resources:
    """`uses` are the resources without a mistake in what they are."""

    def __init__(self, found: Declarations, catalog: Catalog, report: Report) -> None:
        self._found = found
        self._catalog = catalog
        self._report = report
        self._configs = ConfigChecker(report)
        self._misbound: set[Span] = set()
        self.uses: dict[str, ResourceUse] = {}
        for item in found.resources.values():
            use = self._read(item)
            if use is not None:
                self.uses[use.name] = use

    def bind(
        self, call: ast.Call, module: ModuleSignature, signature: StepSignature, below: Mapping[str, str]
    ) -> dict[str, str]:
        """The resources of a call by slot; those of its bound step are `below`. A slot that is
        misspelt counts as the one it was probably meant to be."""
        bound = dict(below)
        slots = {slot.name: slot for slot in signature.slots}
        met: set[str] = set()
        for binding in call.ref.bindings if call.ref is not None else ():
            slot = slots.get(binding.slot.text)
            if binding.slot.text in met:
                message = f"`{binding.slot.text}` is bound twice; the last one counts"
                self._report.warning("HD0703", binding.slot.span, message, "take one of them out")
            met.add(binding.slot.text)
            if slot is None:
                self._no_slot(call, binding, slots, bound)
            else:
                bound[slot.name] = binding.resource.text
                self._check(binding.resource, slot.resource, module)
        return bound

    def require(self, signature: StepSignature, resources: Mapping[str, str], owner: str, span: Span) -> None:
        """Report the slots that stay empty."""
        for slot in signature.slots:
            if slot.required and slot.name not in resources:
                fitting = [r.name for r in self.uses.values() if r.signature.name == slot.resource]
                self._report.error(
                    "HD0803",
                    span,
                    f"{owner} needs a resource for `{slot.name}`",
                    f"write `<{slot.name}={fitting[0] if fitting else '…'}>` before it",
                )

    def stores(self, call_resources: Mapping[str, str]) -> dict[str, ConfigData]:
        """The stores of a reader or writer of `std/io` as settings of its own, by slot: it has no process
        that would open them."""
        uses = {slot: self.uses[name] for slot, name in call_resources.items() if name in self.uses}
        return {
            slot: {"name": use.name, "kind": use.signature.name, **use.config} for slot, use in uses.items()
        }

    def _no_slot(
        self, call: ast.Call, binding: ast.Binding, slots: Mapping[str, object], bound: dict[str, str]
    ) -> None:
        slot = binding.slot
        message = f"`{call.callee}` has no slot `{slot.text}`"
        otherwise = None if slots else "it takes no resource: take `<…>` out"
        near = self._report.unknown(
            "HD0801", slot.span, message, slots, "slots", name=slot.text, otherwise=otherwise
        )
        meant = next(iter(slots)) if near is None and len(slots) == 1 else near
        if meant is not None:
            bound[meant] = binding.resource.text

    def _check(self, name: ast.Ident, wanted: str, module: ModuleSignature) -> None:
        if name.text not in self._found.resources:
            from heddle.frontend.checker.unknown import unknown_resource

            unknown_resource(name, self._found, self._report)
            return
        use = self.uses.get(name.text)
        if use is None:
            return
        if use.module.namespace == module.namespace and wanted in ("", use.signature.name):
            return
        given = f"{use.module.path}.{use.signature.name}"
        types = " or ".join(f"`{module.path}.{name}`" for name in ([wanted] if wanted else module.resources))
        self._report.error(
            "HD0802",
            name.span,
            f"`{name.text}` is a `{given}`, where a {types} is wanted",
            "bind a resource of that type",
            labels=(Label(self._found.resources[name.text].name.span, "declared here"),),
        )

    def _module_of(self, resource_type: str) -> str:
        """The import that has a resource type of this name."""
        having = (n for n, m in self._found.modules.items() if m and resource_type in m.resources)
        return next(having, "module")

    def _read(self, item: ast.ResourceItem) -> ResourceUse | None:
        call = item.call
        if call.ref is not None:
            self._report.error(
                "HD0801",
                call.ref.span,
                f"the resource `{item.name.text}` takes no resource itself",
                "take `<…>` out",
            )
        if call.module is None:
            self._report.error(
                "HD0303",
                call.span,
                f"`{call.name.text}` is no resource type",
                f"write it with its module, like `{self._module_of(call.name.text)}.{call.name.text} {{…}}`",
            )
            return None
        if call.module.text not in self._found.modules:
            from heddle.frontend.checker.unknown import unknown_module

            unknown_module(call.module, self._found, self._catalog, self._report, workflows=False)
        module = self._found.modules.get(call.module.text)
        if module is None:
            return None
        signature = module.resources.get(call.name.text)
        if signature is None:
            message = f'"{module.path}" has no resource type `{call.name.text}`'
            known, wanted = module.resources, call.name
            self._report.unknown("HD0303", wanted.span, message, known, "resource types", name=wanted.text)
            return None
        name = item.name.text
        owner = f"the resource `{name}`"
        fields, open = signature.config, signature.config_open
        settings = self._configs.read(call.config, fields, owner, open=open)
        over = self._catalog.overlay("resources", name)
        laid = self._configs.overlay(over, fields, owner, item.name.span, open=open)
        complete = self._configs.complete(laid.over(settings), fields, owner, call.span)
        return ResourceUse(name, module, signature, complete.values, item.span, complete.spans)

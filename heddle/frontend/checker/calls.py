"""Calls: `<k=r> module.step {…}` becomes a signature with checked settings and bound resources.

A bound step (`step a = …`) is a call that other calls start from: its settings, resources, trap and
policy hold unless the call site says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from heddle.core.record import record
from heddle.core.signature import ModuleSignature, StepSignature
from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.catalog import Catalog
from heddle.frontend.checker.configs import ConfigChecker, Settings
from heddle.frontend.checker.declarations import Declarations
from heddle.frontend.checker.report import Report, near_or_known, rename_fix
from heddle.frontend.typed import ResourceUse


@record(frozen=True, slots=True)
class ResolvedCall:
    """`bound` is the bound step it came from; `trap` and `policy` are that step's own."""

    callee: str
    module: ModuleSignature
    signature: StepSignature
    settings: Settings
    resources: Mapping[str, str]
    span: Span
    bound: str | None = None
    trap: ast.Ident | None = None
    policy: ast.Ident | ast.DictValue | None = None


class Calls:
    """Resolves calls; each mistake is reported where it is first met, and gives None."""

    def __init__(self, found: Declarations, catalog: Catalog, report: Report) -> None:
        self._found = found
        self._catalog = catalog
        self._report = report
        self._configs = ConfigChecker(report)
        self._bound: dict[tuple[str, bool], ResolvedCall | None] = {}
        self._open: list[str] = []
        self.resources: dict[str, ResourceUse] = {}

    def read_resources(self) -> None:
        for item in self._found.resources.values():
            use = self._resource(item)
            if use is not None:
                self.resources[use.name] = use

    def resolve(self, call: ast.Call, *, head: bool) -> ResolvedCall | None:
        if call.module is None:
            return self._of_bound_step(call, head=head)
        module = self._module(call.module)
        if module is None:
            return None
        signature = module.step(call.name.text, head=head)
        if signature is None:
            self._unknown_step(call, module)
            return None
        owner = f"`{call.callee}`"
        settings = self._configs.read(call.config, signature.config, owner, open=signature.config_open)
        resources = self._resources(call, module, signature, {})
        complete = self._complete(settings, signature, resources, owner, call.span)
        return ResolvedCall(call.callee, module, signature, complete, resources, call.span)

    def bound_step(self, name: str, *, head: bool) -> ResolvedCall | None:
        """The bound step `name`, at a head or piped into; resolved once for each."""
        key = (name, head)
        if key not in self._bound:
            if name in self._open:
                item = self._found.steps[name]
                self._report.error(
                    "HD0315",
                    item.name.span,
                    f"the step `{name}` is bound to itself",
                    "bind it to a step of a module",
                )
                self._bound[key] = None
            else:
                self._open.append(name)
                self._bound[key] = self._bind(self._found.steps[name], head=head)
                self._open.pop()
        return self._bound[key]

    def _bind(self, item: ast.StepItem, *, head: bool) -> ResolvedCall | None:
        name = item.name.text
        inner = self._without_requirements(item.call, head=head)
        if inner is None:
            return None
        signature, owner = inner.signature, f"the step `{name}`"
        laid = self._configs.overlay(
            self._catalog.overlay("steps", name),
            signature.config,
            owner,
            item.name.span,
            open=signature.config_open,
        )
        return ResolvedCall(
            name,
            inner.module,
            signature,
            laid.over(inner.settings),
            inner.resources,
            item.call.span,
            bound=name,
            trap=item.stage.trap or inner.trap,
            policy=item.stage.policy or inner.policy,
        )

    def _without_requirements(self, call: ast.Call, *, head: bool) -> ResolvedCall | None:
        """A call whose settings may still be incomplete, because a call of the bound step can add some."""
        if call.module is None:
            return self._of_bound_step(call, head=head, complete=False)
        module = self._module(call.module)
        if module is None:
            return None
        signature = module.step(call.name.text, head=head)
        if signature is None:
            self._unknown_step(call, module)
            return None
        settings = self._configs.read(
            call.config, signature.config, f"`{call.callee}`", open=signature.config_open
        )
        resources = self._resources(call, module, signature, {})
        return ResolvedCall(call.callee, module, signature, settings, resources, call.span)

    def _of_bound_step(self, call: ast.Call, *, head: bool, complete: bool = True) -> ResolvedCall | None:
        name = call.name.text
        if name not in self._found.steps:
            self._unknown_name(call.name)
            return None
        self._found.used.add(name)
        base = self.bound_step(name, head=head)
        if base is None:
            return None
        signature, owner = base.signature, f"the step `{name}`"
        own = self._configs.read(call.config, signature.config, owner, open=signature.config_open)
        settings = own.over(base.settings)
        resources = self._resources(call, base.module, signature, base.resources)
        if complete:
            settings = self._complete(settings, signature, resources, owner, call.span)
        return ResolvedCall(
            call.callee, base.module, signature, settings, resources, call.span, name, base.trap, base.policy
        )

    def _complete(
        self,
        settings: Settings,
        signature: StepSignature,
        resources: Mapping[str, str],
        owner: str,
        span: Span,
    ) -> Settings:
        for slot in signature.slots:
            if slot.required and slot.name not in resources:
                known = [r.name for r in self.resources.values() if r.signature.name == slot.resource]
                help = f"write `<{slot.name}={known[0] if known else '…'}>` before it"
                self._report.error("HD0803", span, f"{owner} needs a resource for `{slot.name}`", help)
        return self._configs.complete(settings, signature.config, owner, span)

    def _module(self, name: ast.Ident) -> ModuleSignature | None:
        if name.text not in self._found.modules:
            if name.text in self._found.broken:
                return None
            known = self._found.modules
            hint = near_or_known(name.text, known, "imports")
            if "did you mean" not in hint:
                hint = f'import it: import "…/{name.text}"'
            fix = rename_fix(name.text, known, name.span)
            self._report.error("HD0301", name.span, f"there is no import `{name.text}`", hint, fix=fix)
            return None
        self._found.used.add(name.text)
        return self._found.modules[name.text]

    def _unknown_step(self, call: ast.Call, module: ModuleSignature) -> None:
        known = {**module.steps, **module.readers}
        hint = near_or_known(call.name.text, known, "steps")
        fix = rename_fix(call.name.text, known, call.name.span)
        self._report.error(
            "HD0302", call.name.span, f'"{module.path}" has no step `{call.name.text}`', hint, fix=fix
        )

    def _unknown_name(self, name: ast.Ident) -> None:
        if name.text in self._found.broken:
            return
        hint = near_or_known(name.text, self._found.steps, "steps")
        if "did you mean" not in hint:
            hint = f"declare it: step {name.text} = …"
        fix = rename_fix(name.text, self._found.steps, name.span)
        self._report.error("HD0301", name.span, f"there is no step `{name.text}`", hint, fix=fix)

    def _resources(
        self, call: ast.Call, module: ModuleSignature, signature: StepSignature, below: Mapping[str, str]
    ) -> dict[str, str]:
        bound = dict(below)
        slots = {slot.name: slot for slot in signature.slots}
        for binding in call.ref.bindings if call.ref else ():
            slot = slots.get(binding.slot.text)
            self._found.used.add(binding.resource.text)
            if slot is None:
                hint = near_or_known(binding.slot.text, slots, "slots")
                fix = rename_fix(binding.slot.text, slots, binding.slot.span)
                self._report.error(
                    "HD0801",
                    binding.slot.span,
                    f"`{call.callee}` has no slot `{binding.slot.text}`",
                    hint,
                    fix=fix,
                )
                continue
            bound[slot.name] = binding.resource.text
            self._check_resource(binding.resource, slot.resource, module)
        return bound

    def _check_resource(self, name: ast.Ident, wanted: str, module: ModuleSignature) -> None:
        if name.text not in self._found.resources:
            if name.text not in self._found.broken:
                hint = near_or_known(name.text, self._found.resources, "resources")
                fix = rename_fix(name.text, self._found.resources, name.span)
                self._report.error("HD0303", name.span, f"there is no resource `{name.text}`", hint, fix=fix)
            return
        use = self.resources.get(name.text)
        if use is None:
            return
        if use.signature.name != wanted or use.module.namespace != module.namespace:
            found = f"{use.module.path}.{use.signature.name}"
            self._report.error(
                "HD0802",
                name.span,
                f"`{name.text}` is a `{found}`, where a `{module.path}.{wanted}` is wanted",
                "bind a resource of that type",
            )

    def _resource(self, item: ast.ResourceItem) -> ResourceUse | None:
        call = item.call
        if call.module is None:
            self._report.error(
                "HD0303",
                call.span,
                f"`{call.name.text}` is no resource type",
                "write it as module.type, like `pg.connection {…}`",
            )
            return None
        module = self._module(call.module)
        if module is None:
            return None
        signature = module.resources.get(call.name.text)
        if signature is None:
            hint = near_or_known(call.name.text, module.resources, "resource types")
            fix = rename_fix(call.name.text, module.resources, call.name.span)
            self._report.error(
                "HD0303",
                call.name.span,
                f'"{module.path}" has no resource type `{call.name.text}`',
                hint,
                fix=fix,
            )
            return None
        name = item.name.text
        owner = f"the resource `{name}`"
        settings = self._configs.read(call.config, signature.config, owner, open=signature.config_open)
        laid = self._configs.overlay(
            self._catalog.overlay("resources", name),
            signature.config,
            owner,
            item.name.span,
            open=signature.config_open,
        )
        complete = self._configs.complete(laid.over(settings), signature.config, owner, call.span)
        return ResourceUse(name, module, signature, complete.values, item.span, complete.spans)

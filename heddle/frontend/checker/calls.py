"""Calls: `<k=r> module.step {…}` becomes a signature with checked settings and bound resources.

A bound step (`step a = …`) is a call that other calls start from: its settings, resources, trap and
policy hold unless the call site says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from heddle.core.record import record
from heddle.core.signature import ModuleSignature, StepSignature
from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.catalog import Catalog
from heddle.frontend.checker.configs import ConfigChecker, Settings
from heddle.frontend.checker.declarations import Declarations
from heddle.frontend.checker.policies import Written
from heddle.frontend.checker.report import Report, circle
from heddle.frontend.checker.resources import Resources


@record(frozen=True, slots=True)
class ResolvedCall:
    """`origin` is the text that its settings come from: the call itself, or that of the bound step.

    `trap` and `policies` are those of the bound steps, `policies` from the outermost to the nearest.
    `broken`: an error was found in it, so that what it gives is not known.
    """

    callee: str
    module: ModuleSignature
    signature: StepSignature
    settings: Settings
    resources: Mapping[str, str]
    span: Span
    origin: Span
    trap: ast.Ident | None = None
    policies: tuple[Written, ...] = ()
    broken: bool = False


class Calls:
    """Resolves calls; each mistake is reported where it is, and a call of nothing known gives None."""

    def __init__(self, found: Declarations, resources: Resources, catalog: Catalog, report: Report) -> None:
        self._found = found
        self._resources = resources
        self._catalog = catalog
        self._report = report
        self._configs = ConfigChecker(report)
        self._bound: dict[tuple[str, bool], ResolvedCall | None] = {}

    def resolve(self, call: ast.Call, *, head: bool) -> ResolvedCall | None:
        """A call of a module's step, or of a bound step that is declared."""
        errors = self._report.error_count
        started = self._start(call, head=head)
        if started is None:
            return None
        owner = f"`{call.callee}`" if call.module is not None else f"the step `{call.callee}`"
        self._resources.require(started.signature, started.resources, owner, started.origin)
        settings = self._configs.complete(started.settings, started.signature.config, owner, started.origin)
        if started.module.path == "std/io" and started.resources:
            settings = Settings(self._resources.stores(started.resources), {}).over(settings)
        broken = started.broken or self._report.error_count > errors
        return replace(started, settings=settings, broken=broken)

    def is_bound(self, name: str) -> bool:
        """Whether a call has led to the bound step."""
        return (name, True) in self._bound or (name, False) in self._bound

    def check_unused(self, name: str) -> None:
        """Report the mistakes in a bound step that nothing calls."""
        call = self._found.steps[name].call
        written = {pair.key.text for pair in call.config.pairs} if call.config is not None else set()
        module = self._found.modules.get(call.module.text) if call.module is not None else None
        reader = module.step(call.name.text, head=True) if module is not None else None
        fits = reader is None or written <= {f.name for f in reader.config}
        self.bound_step(name, head=fits)

    def bound_step(self, name: str, *, head: bool) -> ResolvedCall | None:
        """The bound step `name` as it is at a head or in mid-chain, its settings perhaps not yet complete."""
        chain: list[str] = []
        current = name
        while (current, head) not in self._bound and current not in chain:
            chain.append(current)
            call = self._found.steps[current].call
            if call.module is not None or call.name.text not in self._found.steps:
                break
            current = call.name.text
        else:
            if current in chain:
                self._report_circle(chain[chain.index(current) :])
                self._bound.update(dict.fromkeys(((n, head) for n in chain), None))
        for bound in reversed(chain):
            if (bound, head) not in self._bound:
                self._bound[bound, head] = self._bind(self._found.steps[bound], head=head)
        return self._bound[name, head]

    def _report_circle(self, names: list[str]) -> None:
        first = self._found.steps[names[0]].name
        if len(names) == 1:
            message = f"the step `{first.text}` is bound to itself"
        else:
            message = f"the steps are bound in a circle: {circle(names)}"
        self._report.error("HD0315", first.span, message, "bind one of them to a step of a module")

    def _bind(self, item: ast.StepItem, *, head: bool) -> ResolvedCall | None:
        name, target = item.name.text, item.call.name
        if item.call.module is None and target.text not in self._found.steps:
            from heddle.frontend.checker.unknown import unknown_name

            unknown_name(target, self._found, None, self._report, beside=name)
            return None
        errors = self._report.error_count
        inner = self._start(item.call, head=head)
        if inner is None:
            return None
        signature = inner.signature
        laid = self._configs.overlay(
            self._catalog.overlay("steps", name),
            signature.config,
            f"the step `{name}`",
            item.name.span,
            open=signature.config_open,
        )
        policy = item.stage.policy
        return replace(
            inner,
            callee=name,
            settings=laid.over(inner.settings),
            origin=item.call.span,
            trap=item.stage.trap or inner.trap,
            policies=inner.policies if policy is None else (*inner.policies, policy),
            broken=inner.broken or self._report.error_count > errors,
        )

    def _start(self, call: ast.Call, *, head: bool) -> ResolvedCall | None:
        """A call whose settings may still be incomplete, because a call of the bound step can add some."""
        if call.module is None:
            base = self.bound_step(call.name.text, head=head)
            return None if base is None else self._over(call, base)
        module = self._module(call.module)
        if module is None:
            return None
        signature = module.step(call.name.text, head=head)
        named = None if signature is not None else self._catalog.named_step(module.path, call.name.text)
        if named is not None:
            signature = module.step(named[0], head=head)
        if signature is None and named is not None:
            message = f"heddle.toml says that `{call.callee}` is `{named[0]}`, which the module does not have"
            self._report.error("HD0708", call.span, message, f"steps: {', '.join(sorted(module.steps))}")
            return None
        if signature is None:
            from heddle.frontend.checker.unknown import unknown_step

            unknown_step(call, module, self._report)
            return None
        errors = self._report.error_count
        owner, open = f"`{call.callee}`", signature.config_open
        settings = self._configs.read(call.config, signature.config, owner, open=open)
        if named is not None:
            laid = self._configs.overlay(
                named[1], signature.config, owner, call.span, open=open, by="heddle.toml"
            )
            settings = settings.over(laid)
        resources = self._resources.bind(call, module, signature, {})
        broken = self._report.error_count > errors
        return ResolvedCall(
            call.callee, module, signature, settings, resources, call.span, call.span, broken=broken
        )

    def _over(self, call: ast.Call, base: ResolvedCall) -> ResolvedCall:
        """A call of a bound step: its own settings and resources over those of the step."""
        errors = self._report.error_count
        signature = base.signature
        own = self._configs.read(
            call.config, signature.config, f"the step `{call.callee}`", open=signature.config_open
        )
        resources = self._resources.bind(call, base.module, signature, base.resources)
        plain = call.config is None and call.ref is None
        return replace(
            base,
            callee=call.callee,
            settings=own.over(base.settings),
            resources=resources,
            span=call.span,
            origin=base.origin if plain else call.span,
            broken=base.broken or self._report.error_count > errors,
        )

    def _module(self, name: ast.Ident) -> ModuleSignature | None:
        if name.text not in self._found.modules:
            from heddle.frontend.checker.unknown import unknown_module

            unknown_module(name, self._found, self._catalog, self._report, workflows=True)
            return None
        return self._found.modules[name.text]

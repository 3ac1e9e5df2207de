"""What the engine has opened and bound in this process: resources with leases, bindings of steps.

A resource that nothing used for its lease is closed; what is bound to it then fails with the kind "expired",
and the engine opens and binds anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.failure import StepError
from heddle.core.link import Link
from heddle.core.record import record
from heddle.sdk.runtime import BoundStep, ModuleRuntime

LOG = logging.getLogger("heddle.sdk")


@dataclass(eq=False)
class _Opened:
    """`value` is None once it is closed; `users` are the calls that use it now."""

    type: str
    name: str
    value: object
    lease_s: float
    used_at: float
    users: int = 0
    expired: bool = False


@record(frozen=True, slots=True)
class Binding:
    """`link` says how it stands in a chain; None when it is only called alone. `parameters` and `columns` are
    what its calls are told (see `StepContext`)."""

    step: BoundStep
    resources: tuple[_Opened, ...]
    base: str
    link: Link | None = None
    parameters: Mapping[str, ConfigValue] = field(default_factory=dict)
    columns: pa.Schema | None = None


class Registry:
    """Every method raises `StepError`. Thread-safe."""

    def __init__(self, runtime: ModuleRuntime, clock: Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._clock = clock
        self._changed = threading.Condition()
        self._ids = count(1)
        self._resources: dict[int, _Opened] = {}
        self._bindings: dict[int, Binding] = {}
        self._holding: set[int] = set()
        self._reaper: threading.Thread | None = None

    def open(
        self, type: str, name: str, config: Mapping[str, ConfigValue], lease_s: float, base: str = "."
    ) -> int:
        value = self._runtime.open_resource(type, config, base)
        with self._changed:
            id = next(self._ids)
            self._resources[id] = _Opened(type, name or type, value, lease_s, self._clock())
            if lease_s > 0:
                self._start_reaper()
            return id

    def check(self, id: int) -> str | None:
        """What is wrong with a resource; renews its lease."""
        opened = self._opened(id)
        with self._used((opened,)):
            return self._runtime.check_resource(opened.value)

    def close(self, id: int) -> None:
        with self._changed:
            opened = self._resources.pop(id, None)
            if opened is None:
                raise _unknown("resource", id)
            closed, value = opened.expired, _taken(opened)
        if not closed:
            self._runtime.close_resource(value)

    def bind(
        self,
        step: str,
        config: Mapping[str, ConfigValue],
        resources: Mapping[str, int],
        base: str,
        link: Link | None = None,
        parameters: Mapping[str, ConfigValue] | None = None,
        columns: pa.Schema | None = None,
    ) -> int:
        opened = {slot: self._opened(id) for slot, id in resources.items()}
        with self._used(tuple(opened.values())):
            bound = self._runtime.bind(step, config, {slot: o.value for slot, o in opened.items()})
        id = next(self._ids)
        self._bindings[id] = Binding(bound, tuple(opened.values()), base, link, parameters or {}, columns)
        return id

    def release(self, id: int) -> None:
        """Forget a binding; calls under way go on."""
        binding = self._bindings.pop(id, None)
        if binding is not None:
            self._close_step(id, binding)

    def binding(self, id: int) -> Binding:
        found = self._bindings.get(id)
        if found is None:
            raise _unknown("binding", id)
        return found

    @contextmanager
    def in_use(self, id: int) -> Iterator[Binding]:
        """A binding for one call; the leases of its resources are renewed."""
        binding = self.binding(id)
        if not binding.resources:
            yield binding
            return
        with self._used(binding.resources):
            try:
                yield binding
            finally:
                self._hold(id, binding, binding.step.busy)

    def problems(self) -> list[str]:
        """What is wrong with the open resources."""
        with self._changed:
            opened = [o for o in self._resources.values() if not o.expired]
        problems = []
        for resource in opened:
            try:
                problem = self._runtime.check_resource(resource.value)
            except StepError as error:
                problem = f"{error.error_type}: {error.message}"
            if problem is not None:
                problems.append(f"the resource `{resource.name}` ({resource.type}): {problem}")
        return problems

    def close_all(self) -> list[str]:
        """Close the resources, the last opened first, and tell what that raised."""
        for id, binding in list(self._bindings.items()):
            self._close_step(id, binding)
        with self._changed:
            taken = [(o, _taken(o)) for o in self._resources.values() if not o.expired]
            self._resources.clear()
        return [problem for o, value in reversed(taken) if (problem := self._closed(o, value)) is not None]

    def _hold(self, id: int, binding: Binding, busy: bool) -> None:
        """A binding that is busy between its calls keeps its resources as a call does."""
        with self._changed:
            if busy == (id in self._holding):
                return
            (self._holding.add if busy else self._holding.remove)(id)
            for resource in binding.resources:
                resource.users += 1 if busy else -1

    def _close_step(self, id: int, binding: Binding) -> None:
        try:
            binding.step.close()
        except StepError as error:
            LOG.warning("ending `%s`: %s: %s", binding.step.name, error.error_type, error.message)
        self._hold(id, binding, False)

    def _closed(self, opened: _Opened, value: object) -> str | None:
        try:
            self._runtime.close_resource(value)
        except StepError as error:
            return (
                f"closing the resource `{opened.name}` ({opened.type}): {error.error_type}: {error.message}"
            )
        return None

    def _opened(self, id: int) -> _Opened:
        with self._changed:
            found = self._resources.get(id)
        if found is None:
            raise _unknown("resource", id)
        return found

    @contextmanager
    def _used(self, resources: tuple[_Opened, ...]) -> Iterator[None]:
        with self._changed:
            for resource in resources:
                if resource.expired:
                    raise StepError(
                        "expired",
                        f"the resource `{resource.name}` was closed, because nothing used it for "
                        f"{resource.lease_s:g} s",
                        "LeaseExpired",
                    )
            for resource in resources:
                resource.users += 1
        try:
            yield
        finally:
            with self._changed:
                for resource in resources:
                    resource.users -= 1
                    resource.used_at = self._clock()
                self._changed.notify_all()

    def _start_reaper(self) -> None:
        if self._reaper is None:
            self._reaper = threading.Thread(target=self._reap, name="heddle-leases", daemon=True)
            self._reaper.start()
        self._changed.notify_all()

    def _reap(self) -> None:
        while True:
            with self._changed:
                leased = [
                    o for o in self._resources.values() if o.lease_s > 0 and not o.users and not o.expired
                ]
                now = self._clock()
                due = [o for o in leased if o.used_at + o.lease_s <= now]
                if not due:
                    next_s = min((o.used_at + o.lease_s - now for o in leased), default=None)
                    self._changed.wait(next_s)
                    continue
                taken = [(o, _taken(o)) for o in due]
            for opened, value in taken:
                problem = self._closed(opened, value)
                if problem is not None:
                    LOG.warning("%s", problem)
            del taken, value


def _taken(opened: _Opened) -> object:
    """The resource, which is then no longer to be used."""
    opened.expired = True
    value, opened.value = opened.value, None
    return value


def _unknown(what: str, id: int) -> StepError:
    return StepError("protocol", f"there is no {what} {id} in this process", "NotFound")

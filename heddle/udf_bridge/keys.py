"""What tells resources and bindings of one plugin apart, and their ids in its process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import field
from typing import Generic, TypeVar

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.link import Link
from heddle.core.record import record
from heddle.udf_bridge.transport import ResourceBinding, StepBinding

Key = TypeVar("Key", bound=Hashable)


@record(frozen=True, slots=True)
class ResourceKey:
    """Equal keys share one open resource. `name` is the program's, for messages only."""

    type: str
    config_json: str
    name: str = field(compare=False)
    base: str = "."


@record(frozen=True, slots=True)
class BindingKey:
    """Everything that `BindStep` needs; equal keys share a binding. Its hash is worked out once, because that
    of an Arrow schema takes long."""

    step: str
    config_json: str
    resources: tuple[tuple[str, ResourceKey], ...]
    base: str
    link: Link | None = None
    parameters_json: str = "{}"
    columns: pa.Schema | None = None
    _number: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        said = (self.step, self.config_json, self.resources, self.base, self.link, self.parameters_json)
        object.__setattr__(self, "_number", hash(said))

    def __hash__(self) -> int:
        return self._number


def resource_key(binding: ResourceBinding, base: str) -> ResourceKey:
    """`base` is the program's folder."""
    return ResourceKey(binding.type, _json(binding.config), binding.name, base)


def binding_key(binding: StepBinding) -> BindingKey:
    resources = tuple((slot, resource_key(r, binding.base)) for slot, r in sorted(binding.resources.items()))
    is_source = binding.signature.input_mode == "none"
    return BindingKey(
        binding.signature.name,
        _json(binding.config),
        resources,
        binding.base,
        binding.link,
        _json(binding.parameters),
        (binding.columns if binding.output is None else binding.output) if is_source else None,
    )


class Once(Generic[Key]):
    """Ids by key, each made once however many threads ask; a failure is not kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[Key, Future[int]] = {}

    def get(self, key: Key, make: Callable[[], int]) -> int:
        with self._lock:
            found = self._ids.get(key)
            mine = found is None
            if found is None:
                found = self._ids[key] = Future()
        if mine:
            try:
                found.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._ids.pop(key, None)
                found.set_exception(error)
        return found.result()

    def pop(self, key: Key) -> int | None:
        with self._lock:
            found = self._ids.pop(key, None)
        return found.result() if found is not None and found.done() else None


def _json(config: Mapping[str, ConfigValue]) -> str:
    return json.dumps(config, sort_keys=True, separators=(",", ":"))

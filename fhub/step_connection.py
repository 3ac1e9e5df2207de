"""What a step asks: its resource, or a connection of its own where its settings say something else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from heddle.core.resource import ResourceConfig
from heddle.core.step import StepConfig

C = TypeVar("C", bound=ResourceConfig)


class Configured(Protocol[C]):
    config: C


R = TypeVar("R", bound="Configured[Any]")


class StepConnection(Generic[C, R]):
    """For the settings of `config_class` that `step` has too, but for those `apart`, which mean something
    else there; null leaves the resource's. Thread-safe."""

    def __init__(
        self, step: StepConfig, config_class: type[C], open: Callable[[C], R], apart: tuple[str, ...] = ()
    ) -> None:
        self._step = step
        self._apart = apart
        self._config_class = config_class
        self._open = open
        self._lock = threading.Lock()
        self._own: R | None = None

    def get(self, slot: str = "connection") -> R:
        given: R | None = self._step.resources.get(slot)
        known = self._config_class.setting_annotations()
        said = {name: getattr(self._step, name) for name in known if name not in self._apart}
        own = {name: value for name, value in said.items() if value is not None}
        if given is not None and not own:
            return given
        with self._lock:
            if self._own is None:
                below = {} if given is None else {name: getattr(given.config, name) for name in known}
                self._own = self._open(self._config_class(**{**below, **own}))
            return self._own

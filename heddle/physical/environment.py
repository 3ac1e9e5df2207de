"""What a run is given from outside: clock, randomness, step transport, streams, memory, cancellation.

The executor reads time, chance and the world only through a `RunEnvironment`, so that a test can
replay a run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from heddle.core.config import ConfigValue
from heddle.core.record import record
from heddle.logical.plan import Scan, Sink, Step
from heddle.physical.cancel import CancelToken, EndSwitch
from heddle.physical.events import Listener
from heddle.std.sinks import Streams
from heddle.udf_bridge.transport import ResourceBinding, StepTransport

if TYPE_CHECKING:
    from heddle.physical.run_memo import RunMemo
    from heddle.physical.shared_frames import SharedFrames

CHANNEL_BYTES_MAX: Final = 32 << 20
CHANNELS_IN_BUDGET: Final = 32
"""A channel takes at most this part of the run's memory budget."""


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)


class ConfigResolver(Protocol):
    """The plain values of configs: references (`env`, `secret`, `@name`) were resolved before the run."""

    def config(self, op: Scan | Step | Sink) -> Mapping[str, ConfigValue]: ...

    def parameters(self, op: Step) -> Mapping[str, ConfigValue]:
        """The run's values of the workflow parameters that its statements name."""
        ...

    def resources(self, op: Step) -> Mapping[str, ResourceBinding]: ...

    def holds_secret(self, op: Scan | Step | Sink) -> bool:
        """Whether a value of its config is a secret."""
        ...

    def masked(self, text: str) -> str:
        """The text with every resolved secret replaced."""
        ...


@record(frozen=True, slots=True)
class TurnLimits:
    """When a run that reads streams ends, besides where they do: after `turns_max` turns that had rows, when
    none came for `idle_s` seconds, or when `ending` is asked."""

    ending: EndSwitch = field(default_factory=EndSwitch)
    turns_max: int | None = None
    idle_s: float | None = None


@record(frozen=True, slots=True)
class RunEnvironment:
    """`memory_bytes` is the budget of the whole run, `base` the program's folder, `program` its path for
    messages, `scratch` a private folder of the run that is removed at its end. `check_steps`: some calls of
    each step are compared with what it declares. `shared_frames`: those of the runs that this one shares
    with; `memo`: where results of steps are kept between runs. `turn` counts the turns of a run that reads
    streams: 0 is what is done once for all of them, None another run. `keeps_input`:
    what a step is given is kept for the handler of its failure. `printed`: the writers that have written
    in earlier turns."""

    run_id: str
    base: Path
    scratch: Path
    memory_bytes: int
    transport: StepTransport
    resolver: ConfigResolver
    streams: Streams
    listener: Listener
    cancel: CancelToken
    cores: int
    batch_rows: int = 65_536
    check_steps: bool = False
    clock: Clock = field(default_factory=SystemClock)
    chance: random.Random = field(default_factory=random.Random)
    shared_frames: SharedFrames | None = None
    memo: RunMemo | None = None
    turn_limits: TurnLimits = field(default_factory=TurnLimits)
    turn: int | None = None
    keeps_input: bool = False
    printed: set[str] = field(default_factory=set)
    program: str = ""

    @property
    def channel_bytes_max(self) -> int:
        """How much may wait between two stages, so that the channels of a task stay within the budget."""
        return min(CHANNEL_BYTES_MAX, self.memory_bytes // CHANNELS_IN_BUDGET)

    def sink_config(self, op: Sink) -> Mapping[str, ConfigValue]:
        """The settings of a writer; in a turn, with the path of its own that they ask for, and the word that
        it goes on with what earlier turns have printed."""
        config = self.resolver.config(op)
        if self.turn is None:
            return config
        if op.path in self.printed:
            config = {**config, "continued": True}
        self.printed.add(op.path)
        from heddle.core.streams import TURN

        path = config.get("path")
        if not isinstance(path, str):
            return config
        return {**config, "path": path.replace(TURN, f"{self.run_id}-{self.turn:06}")}

    def masked(self, text: str) -> str:
        return self.resolver.masked(text)

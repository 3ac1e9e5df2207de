"""The DataFusion side of a run: contexts with the run's memory budget, tables, and physical plans.

Fragments that reduce share one context with the memory pool and the spill folder. Fragments that only
stream use a second one that never reshuffles rows between partitions, so that a pipeline over one file
keeps the file's order.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias, assert_never

import pyarrow as pa
from datafusion import (
    DataFrame,
    ExecutionPlan,
    RuntimeEnvBuilder,
    SessionConfig,
    SessionContext,
    Table,
)

from heddle.core.config import ConfigValue
from heddle.core.record import record
from heddle.logical.plan import Fragment
from heddle.logical.sql import fragment_sql, quoted
from heddle.physical.channel import Channel
from heddle.physical.frames import Frame
from heddle.std import readers

STREAMING_POOL_SHARE: Final = 0.1
STREAMING_BATCH_ROWS: Final = 65_536
"""What a streaming fragment hands over at a time. Inside joins and aggregates 8,192 rows are faster, but
every batch that leaves DataFusion costs a crossing into Python."""


@record(frozen=True, slots=True)
class FileBinding:
    """A reader of `std/io`: DataFusion reads the files itself."""

    step: str
    config: Mapping[str, ConfigValue]


@record(frozen=True, slots=True)
class StreamBinding:
    """Batches of another stage, which arrive through a channel while the plan runs."""

    schema: pa.Schema
    channel: Channel


Binding: TypeAlias = FileBinding | Frame | StreamBinding
"""What a relation of a fragment's SQL stands for."""


@record(frozen=True, slots=True)
class PlannedFragment:
    """A physical plan, to be executed once. `ordered`: its partitions one after the other are its order."""

    plan: ExecutionPlan
    context: SessionContext
    schema: pa.Schema
    ordered: bool


class Session:
    """The contexts of one run, or of one `explain`. Relations are bound only while a fragment is planned,
    under a lock, so that fragments that use the same names do not meet. `base` is the program's folder."""

    def __init__(self, scratch: Path, base: Path, pool_bytes: int, cores: int) -> None:
        self._base = base
        self._lock = threading.Lock()
        streaming_bytes = int(pool_bytes * STREAMING_POOL_SHARE)
        spill = scratch / "spill"
        spill.mkdir(mode=0o700, exist_ok=True)
        self._cores = cores
        self._reducing = _context(spill, pool_bytes - streaming_bytes, cores, reshuffle=True)
        self._streaming = _context(spill, streaming_bytes, cores, reshuffle=False)

    def context(self, fragment: Fragment) -> SessionContext:
        return self._reducing if fragment.reduces else self._streaming

    def logical(self, fragment: Fragment, bindings: Mapping[str, Binding]) -> DataFrame:
        """The fragment's analysed plan over its bound inputs."""
        context = self.context(fragment)
        with self._lock:
            for relation, binding in bindings.items():
                self._bind(context, fragment, relation, binding)
            frame = context.sql(fragment_sql(fragment))
            for relation in bindings:
                context.deregister_table(relation)
        if fragment.columns is not None:
            frame = frame.select(*(quoted(name) for name in fragment.columns))
        return frame if fragment.limit is None else frame.limit(fragment.limit)

    def plan(self, fragment: Fragment, bindings: Mapping[str, Binding]) -> PlannedFragment:
        frame = self.logical(fragment, bindings)
        return PlannedFragment(
            plan=frame.execution_plan(),
            context=self.context(fragment),
            schema=frame.schema(),
            ordered=not fragment.reduces,
        )

    def _bind(
        self,
        context: SessionContext,
        fragment: Fragment,
        relation: str,
        binding: Binding,
    ) -> None:
        match binding:
            case FileBinding(step=step, config=config):
                readers.register(context, relation, step, config, self._base)
            case Frame():
                partitions = binding.partitions(self._cores if fragment.reduces else 1)
                context.register_record_batches(relation, partitions)
            case StreamBinding(schema=schema, channel=channel):
                from heddle.physical.leaf import ChannelDataset

                context.register_table(relation, Table(ChannelDataset(schema, channel)))
            case _:
                assert_never(binding)


def _context(spill: Path, pool_bytes: int, cores: int, *, reshuffle: bool) -> SessionContext:
    config = SessionConfig().with_target_partitions(cores)
    if not reshuffle:
        config = config.with_batch_size(STREAMING_BATCH_ROWS).set(
            "datafusion.optimizer.enable_round_robin_repartition", "false"
        )
    runtime = RuntimeEnvBuilder().with_disk_manager_specified(str(spill)).with_fair_spill_pool(pool_bytes)
    return SessionContext(config, runtime)


def metric_sums(plan: ExecutionPlan, names: Iterable[str]) -> Mapping[str, int]:
    """The sums of an executed plan's metrics over all operators and partitions (bytes, rows, nanoseconds)."""
    sums = dict.fromkeys(names, 0)
    for _, metrics in plan.collect_metrics():
        for metric in metrics.metrics() if metrics else ():
            if metric.name in sums and isinstance(metric.value, int):
                sums[metric.name] += metric.value
    return sums

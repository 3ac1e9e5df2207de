"""The DataFusion side of a run: contexts with the run's memory budget, tables, and physical plans."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final, Literal, TypeAlias, assert_never

import pyarrow as pa
from datafusion import (
    DataFrame,
    ExecutionPlan,
    LogicalPlan,
    RuntimeEnvBuilder,
    SessionConfig,
    SessionContext,
)

from heddle.core.deep_stack import Running, deep_thread
from heddle.core.planning import FOOTER_SETTING, quoted
from heddle.core.record import record
from heddle.core.types import RowType
from heddle.logical.plan import Fragment
from heddle.logical.sql import fragment_sql
from heddle.physical.channel import Channel
from heddle.physical.frames import Frame
from heddle.physical.inputs import FileBinding

ContextKind: TypeAlias = Literal["reducing", "piped", "streaming"]
"""How fragments run. `reducing`: on all cores. `piped`: it reduces what another stage streams into it, in
one partition, because a repartitioning above a table that blocks its worker queues without limit.
`streaming`: it only filters and projects, and never reshuffles, so that a pipeline keeps its file's order."""

READ_MAX: Final = 1_000
"""Plans that are kept read."""
READ_CHARS_MAX: Final = 20_000
"""Plans of longer texts are not kept: most of those hold values that do not come again."""

DIVIDED_BYTES_MAX: Final = 32 << 20
"""Of an Arrow file that all cores read."""

_DIVIDES_FILES: Final = "datafusion.optimizer.repartition_file_scans"

POOL_SHARES: Final[Mapping[ContextKind, float]] = {"reducing": 0.6, "piped": 0.3, "streaming": 0.1}

STREAMING_BATCH_ROWS: Final = 65_536
"""What a streaming fragment hands over at a time. Inside joins and aggregates 8,192 rows are faster, but
every batch that leaves DataFusion costs a crossing into Python."""


@record(frozen=True, slots=True)
class StreamBinding:
    """Batches of another stage, which arrive through a channel while the plan runs."""

    schema: pa.Schema
    channel: Channel


StartThread: TypeAlias = Callable[[Callable[[], None], str], Running]
"""Has a thread, of that name, do something."""

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
    """The contexts of one run, or of one `explain`, made when first used. Relations are bound only while
    a fragment is planned, under a lock, so that fragments that use the same names do not meet.

    `base` is the program's folder, `pool_bytes` what DataFusion's pools may take in all.
    """

    def __init__(
        self,
        scratch: Path,
        base: Path,
        pool_bytes: int,
        cores: int,
        *,
        keeps_files: bool = False,
        start_thread: StartThread = deep_thread,
    ) -> None:
        """With `keeps_files` the tables of files stay bound and plans over them stay read, as long as the
        files are the same. `start_thread` has a partition pulled."""
        self.start_thread = start_thread
        self._base = base
        self._spill = scratch / "spill"
        self._pool_bytes = pool_bytes
        self._cores = cores
        self._lock = threading.Lock()
        self._contexts: dict[ContextKind, SessionContext] = {}
        self._keeps_files = keeps_files
        self._kept: dict[tuple[int, str], object] = {}
        """What the table of a context is bound to."""
        self._read: OrderedDict[object, LogicalPlan] = OrderedDict()
        """Analysed plans of fragments, by all that they depend on."""

    def logical(self, fragment: Fragment, bindings: Mapping[str, Binding]) -> DataFrame:
        """The fragment's analysed plan over its bound inputs."""
        return self._plan(fragment, bindings)[0]

    def plan(self, fragment: Fragment, bindings: Mapping[str, Binding]) -> PlannedFragment:
        frame, context = self._plan(fragment, bindings)
        return PlannedFragment(
            plan=frame.execution_plan(),
            context=context,
            schema=_schema_of_batches(frame, context, fragment.row),
            ordered=not fragment.reduces,
        )

    def collected(self, fragment: Fragment) -> tuple[pa.Schema, list[pa.RecordBatch]]:
        """All rows of a fragment without inputs, and their schema."""
        frame, context = self._plan(fragment, {})
        return _schema_of_batches(frame, context, fragment.row), frame.collect()

    def _plan(self, fragment: Fragment, bindings: Mapping[str, Binding]) -> tuple[DataFrame, SessionContext]:
        whole = any(isinstance(b, FileBinding) and self._is_read_whole(b) for b in bindings.values())
        with self._lock:
            context = self._context(_kind(fragment, bindings))
            with _files_in_one_piece(context) if whole else nullcontext():
                return self._frame(context, fragment, bindings), context

    def _is_read_whole(self, binding: FileBinding) -> bool:
        """Of a divided Arrow file DataFusion takes each part into memory before it gives a row of it, and it
        streams a whole one."""
        if binding.step != "arrow":
            return False
        from heddle.std.readers import largest_file_bytes

        largest = largest_file_bytes(binding.step, binding.config, self._base)
        return largest is None or largest > DIVIDED_BYTES_MAX

    def _frame(
        self, context: SessionContext, fragment: Fragment, bindings: Mapping[str, Binding]
    ) -> DataFrame:
        kept = {relation: self._files(binding) for relation, binding in bindings.items()}
        key: object | None = None
        sql = fragment_sql(fragment)
        if self._keeps_files and len(sql) <= READ_CHARS_MAX and None not in kept.values():
            key = (id(context), sql, fragment.columns, fragment.limit, *kept.items())
            known = self._read.get(key)
            if known is not None:
                self._read.move_to_end(key)
                return context.create_dataframe_from_logical_plan(known)
        for relation, binding in bindings.items():
            place = id(context), relation
            if kept[relation] is None or self._kept.get(place) != kept[relation]:
                self._unbind(context, relation)
                self._bind(context, fragment, relation, binding)
                self._kept[place] = kept[relation]
        frame = context.sql(_with_kept_limits(sql))
        for relation, files in kept.items():
            if files is None:
                self._unbind(context, relation)
        if fragment.columns is not None:
            frame = frame.select(*(quoted(name) for name in fragment.columns))
        frame = frame if fragment.limit is None else frame.limit(fragment.limit)
        if key is not None:
            self._read[key] = frame.logical_plan()
            while len(self._read) > READ_MAX:
                self._read.popitem(last=False)
        return frame

    def _files(self, binding: Binding) -> object | None:
        """What a binding to files depends on; None for one that is not kept."""
        if not self._keeps_files or not isinstance(binding, FileBinding):
            return None
        from heddle.std.file_states import file_states
        from heddle.std.mapped import mapped_files

        if mapped_files(binding.config) is not None:
            return None  # what is kept would hold the rows of tables that are gone
        states = file_states(binding.step, binding.config, self._base)
        return None if states is None else (binding.step, repr(binding.config), states)

    def _unbind(self, context: SessionContext, relation: str) -> None:
        context.deregister_table(relation)
        self._kept.pop((id(context), relation), None)

    def _context(self, kind: ContextKind) -> SessionContext:
        if kind not in self._contexts:
            self._spill.mkdir(mode=0o700, exist_ok=True)
            pool_bytes = int(self._pool_bytes * POOL_SHARES[kind])
            self._contexts[kind] = _context(self._spill, pool_bytes, self._cores, kind)
        return self._contexts[kind]

    def _bind(
        self,
        context: SessionContext,
        fragment: Fragment,
        relation: str,
        binding: Binding,
    ) -> None:
        match binding:
            case FileBinding(step=step, config=config):
                from heddle.std import readers

                readers.register(context, relation, step, config, self._base)
            case Frame():
                partitions = binding.partitions(self._cores if fragment.reduces else 1)
                context.register_record_batches(relation, partitions)
            case StreamBinding(schema=schema, channel=channel):
                from heddle.physical.leaf import register_channel

                register_channel(context, relation, schema, channel)
            case _:
                assert_never(binding)


@contextmanager
def _files_in_one_piece(context: SessionContext) -> Iterator[None]:
    """For frames that are made meanwhile: DataFusion has each core read a part of a file otherwise."""
    context.sql(f"SET {_DIVIDES_FILES} = false")
    try:
        yield
    finally:
        context.sql(f"SET {_DIVIDES_FILES} = true")


def _with_kept_limits(sql: str) -> str:
    if " LIMIT " not in sql or "ORDER BY" not in sql:
        return sql
    from heddle.physical.kept_limits import with_kept_limits

    return with_kept_limits(sql)


def _schema_of_batches(frame: DataFrame, context: SessionContext, row: RowType) -> pa.Schema:
    """The promised types. Where there are none, those of the optimized plan: a frame's own schema is that of
    the SQL before operands get the types in which they meet."""
    names = frame.schema().names
    promised = {column.name: column.type for column in row if column.type is not None}
    if all(name in promised for name in names):
        return pa.schema([(name, promised[name]) for name in names])
    return context.create_dataframe_from_logical_plan(frame.optimized_logical_plan()).schema()


def _kind(fragment: Fragment, bindings: Mapping[str, Binding]) -> ContextKind:
    if not fragment.reduces:
        return "streaming"
    return "piped" if any(isinstance(b, StreamBinding) for b in bindings.values()) else "reducing"


def _context(spill: Path, pool_bytes: int, cores: int, kind: ContextKind) -> SessionContext:
    config = SessionConfig().set(*FOOTER_SETTING).with_target_partitions(1 if kind == "piped" else cores)
    if kind == "streaming":
        config = config.with_batch_size(STREAMING_BATCH_ROWS).set(
            "datafusion.optimizer.enable_round_robin_repartition", "false"
        )
    runtime = RuntimeEnvBuilder().with_disk_manager_specified(str(spill)).with_fair_spill_pool(pool_bytes)
    context = SessionContext(config, runtime)
    # Over no rows it fails for a sum of decimals beside a count of distinct values.
    context.remove_optimizer_rule("single_distinct_aggregation_to_group_by")
    return context


def metric_sums(plan: ExecutionPlan, names: Iterable[str]) -> Mapping[str, int]:
    """The sums of an executed plan's metrics over all operators and partitions (bytes, rows, nanoseconds)."""
    sums = dict.fromkeys(names, 0)
    for _, metrics in plan.collect_metrics():
        for metric in metrics.metrics() if metrics else ():
            if metric.name in sums and isinstance(metric.value, int):
                sums[metric.name] += metric.value
    return sums

"""What lookups found, kept in the process for later calls where the resource asks for it.

A resource's settings `lookup_cache: "64MB"` and `lookup_cache_age: "10m"` bound what is kept of all
statements that are asked through it: the rows for each tuple of values, also that there are none. What was
not used for longest goes first. Everything is Arrow columns, replaced as a whole under a lock.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.core.durations import DURATION_HELP, duration_s
from heddle.core.record import record
from heddle.core.resource import AGE_SETTING, CACHE_SETTING
from heddle.sdk.flows import LOOKUP_KEY
from heddle.sizes import SIZE_HELP, parse_size
from heddle.udf_bridge.transport import ResourceBinding, StepBinding, StepFailure

AGE_S: Final = 600.0
"""How long a row counts as known where the resource does not say it."""
KEPT_SHARE: Final = 0.75
"""Of the bound, after what was used least recently has been let go."""
_TICK_BYTES: Final = 24
"""What an entry takes beside its key and its rows."""


@record(slots=True, eq=False)
class _Entries:
    """What is known of one statement. Entry i has the key `keys[i]` and the rows `lists[i]` of `rows`."""

    keys: pa.Array
    rows: pa.Table
    lists: pa.Array
    born_s: pa.Array
    used: pa.Array

    @property
    def size_bytes(self) -> int:
        return int(self.keys.nbytes + self.rows.nbytes + len(self.keys) * _TICK_BYTES)

    def taken(self, places: pa.Array) -> _Entries:
        """Some of the entries."""
        lists = self.lists.take(places)
        rows = self.rows.take(pc.list_flatten(lists))
        columns = [column.take(places) for column in (self.keys, self.born_s, self.used)]
        return _Entries(columns[0], rows, _consecutive(lists), columns[1], columns[2])


@record(frozen=True, slots=True)
class Known:
    """Of some tuples: `rows` of those that are known, with `LOOKUP_KEY`; the numbers of the others are
    `unknown`."""

    rows: pa.Table | None
    unknown: pa.Array


class LookupCache:
    """The cache of one resource; safe to use from several threads."""

    def __init__(self, size_bytes_max: int, age_s: float, clock: Callable[[], float]) -> None:
        self._size_bytes_max = size_bytes_max
        self._age_s = age_s
        self._clock = clock
        self._lock = threading.Lock()
        self._tick = 0
        self._statements: dict[str, _Entries] = {}

    @property
    def size_bytes(self) -> int:
        with self._lock:
            return self._size_bytes()

    def find(self, statement: str, tuples: pa.Table) -> Known:
        with self._lock:
            entries = self._statements.get(statement)
            everything = pa.arange(0, tuples.num_rows)
            if entries is None:
                return Known(None, everything)
            places = pc.index_in(_encoded(tuples), value_set=entries.keys).cast(pa.int64())
            fresh = pc.greater_equal(entries.born_s.take(places), self._clock() - self._age_s)
            places = pc.if_else(fresh, places, pa.scalar(None, pa.int64()))
            self._tick += 1
            hit = pc.is_in(pa.arange(0, len(entries.keys)), value_set=places.drop_null())
            entries.used = pc.if_else(hit, pa.scalar(self._tick, pa.int64()), entries.used)
            lists = entries.lists.take(places)
            rows = entries.rows.take(pc.list_flatten(lists))
            numbers = pc.list_parent_indices(lists).cast(pa.int64())
            return Known(rows.append_column(LOOKUP_KEY, numbers), everything.filter(places.is_null()))

    def keep(self, statement: str, tuples: pa.Table, found: pa.Table) -> None:
        """The rows that were found for some tuples, with `LOOKUP_KEY`."""
        with self._lock:
            self._tick += 1
            made = _entries(tuples, found, self._clock(), self._tick)
            before = self._statements.get(statement)
            if before is not None and before.rows.schema.equals(made.rows.schema):
                kept = pc.invert(pc.is_in(before.keys, value_set=made.keys))
                made = _joined(before.taken(pc.indices_nonzero(kept).cast(pa.int64())), made)
            self._statements[statement] = made
            while self._size_bytes() > self._size_bytes_max:
                self._let_go()

    def _size_bytes(self) -> int:
        return sum(entries.size_bytes for entries in self._statements.values())

    def _let_go(self) -> None:
        """Drop the entries that were used least recently, of all statements."""
        used = pa.concat_arrays([entries.used for entries in self._statements.values()])
        share = self._size_bytes_max * KEPT_SHARE / self._size_bytes()
        last = pc.sort_indices(used).cast(pa.int64())
        cut = used[last[len(used) - max(1, int(len(used) * share))].as_py()].as_py()
        for statement, entries in list(self._statements.items()):
            kept = pc.indices_nonzero(pc.greater(entries.used, cut)).cast(pa.int64())
            if len(kept):
                self._statements[statement] = entries.taken(kept)
            else:
                del self._statements[statement]


class LookupCaches:
    """The caches of a process, by resource."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._caches: dict[str, LookupCache] = {}

    def of_resources(
        self, resources: Mapping[str, ResourceBinding], clock: Callable[[], float]
    ) -> LookupCache | None:
        """The cache of the first resource that asks for one. Raises `StepFailure` for settings that say no
        size or age."""
        for resource in resources.values():
            size = resource.config.get(CACHE_SETTING)
            if size is None:
                continue
            size_bytes = parse_size(str(size))
            if size_bytes is None:
                raise _refused(resource, CACHE_SETTING, SIZE_HELP)
            age = resource.config.get(AGE_SETTING)
            age_s = AGE_S if age is None else duration_s(str(age))
            if age_s is None:
                raise _refused(resource, AGE_SETTING, DURATION_HELP)
            key = _digest(resource.module.path, resource.type, resource.config)
            with self._lock:
                if key not in self._caches:
                    self._caches[key] = LookupCache(size_bytes, age_s, clock)
                return self._caches[key]
        return None


LOOKUP_CACHES: Final = LookupCaches()


def statement_key(binding: StepBinding, tuples: pa.Schema) -> str:
    """What tells statements apart: equal ones give equal rows for equal tuples. It tells nothing of them."""
    said = (binding.signature.name, binding.config, binding.parameters)
    return _digest(binding.module.path, binding.module.code_hash, said, str(tuples), str(binding.output))


def _digest(*said: object) -> str:
    return blake2b(json.dumps(said, sort_keys=True, default=str).encode(), digest_size=32).hexdigest()


def _refused(resource: ResourceBinding, setting: str, help: str) -> StepFailure:
    value = resource.config[setting]
    message = f"the resource `{resource.name}` has `{setting}: {json.dumps(value)}`; {help}"
    return StepFailure(message, "ConfigError", "")


def _entries(tuples: pa.Table, found: pa.Table, now_s: float, tick: int) -> _Entries:
    count = tuples.num_rows
    numbers = found.column(LOOKUP_KEY)
    order = pc.sort_indices(numbers).cast(pa.int64())
    ordered = pa.concat_arrays(numbers.take(order).chunks) if len(order) else pa.array([], pa.int64())
    offsets = pc.search_sorted(ordered, pa.arange(0, count + 1), side="left").cast(pa.int64())
    rows = found.drop_columns([LOOKUP_KEY]).take(order).combine_chunks()
    lists = pa.LargeListArray.from_arrays(offsets, pa.arange(0, rows.num_rows))
    born_s = pa.repeat(pa.scalar(now_s, pa.float64()), count)
    return _Entries(_encoded(tuples), rows, lists, born_s, pa.repeat(pa.scalar(tick, pa.int64()), count))


def _joined(first: _Entries, second: _Entries) -> _Entries:
    rows = pa.concat_tables([first.rows, second.rows]).combine_chunks()
    lists = pa.concat_arrays([first.lists, second.lists])
    return _Entries(
        pa.concat_arrays([first.keys, second.keys]),
        rows,
        _consecutive(lists),
        pa.concat_arrays([first.born_s, second.born_s]),
        pa.concat_arrays([first.used, second.used]),
    )


def _consecutive(lists: pa.Array) -> pa.Array:
    """Lists of the same lengths whose items count up from 0."""
    lengths = pc.list_value_length(lists).cast(pa.int64())
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
    count = ends[-1].as_py() if len(ends) else 0
    return pa.LargeListArray.from_arrays(offsets, pa.arange(0, count))


def _encoded(tuples: pa.Table) -> pa.Array:
    """One value for each tuple, equal for equal tuples only: the value itself, or the texts of several with
    their lengths in front."""
    columns = [_whole(column) for column in tuples.columns]
    if len(columns) == 1:
        return columns[0]
    parts: list[pa.Array] = []
    for column in columns:
        text = _text(column)
        parts += [pc.binary_length(text).cast(pa.string()).cast(pa.binary()), text]
    return pc.binary_join_element_wise(*parts, pa.scalar(b":", pa.binary()))


def _text(column: pa.Array) -> pa.Array:
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return column.cast(pa.binary())
    return column.cast(pa.string()).cast(pa.binary())


def _whole(column: pa.ChunkedArray) -> pa.Array:
    chunks: Sequence[pa.Array] = column.chunks
    return pa.concat_arrays(chunks) if chunks else pa.array([], column.type)

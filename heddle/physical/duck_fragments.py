"""A fragment on DuckDB: its inputs are tables of a cursor, its SQL runs as it is, batches are streamed out.

What DuckDB fails on goes to DataFusion once more, as long as no row has gone out and no other stage's rows
were used up: it takes some values that DuckDB refuses (a 32-bit number times a literal), and of a file that
cannot be read it says where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Thread
from typing import TypeAlias

import pyarrow as pa

from heddle.core.planning import quoted
from heddle.errors import Cancelled
from heddle.logical.plan import Fragment
from heddle.logical.sql import fragment_sql, names_read
from heddle.physical.batches import Batches, as_plain, at_least_one, given_schema
from heddle.physical.cancel import CancelToken
from heddle.physical.channel import JOIN_WAIT_S, Channel
from heddle.physical.duck import Cursor, DuckSession, profile_of
from heddle.physical.duck_sql import (
    DuckTable,
    duckdb_sql,
    parquet_table,
    stream_name,
    stream_table,
    values_of,
)
from heddle.physical.engine_errors import EngineError, engine_errors, is_exhausted, stage_error
from heddle.physical.environment import RunEnvironment
from heddle.physical.failures import StageFailed
from heddle.physical.feeding import feed
from heddle.physical.frames import Frame
from heddle.physical.inputs import FileBinding, FragmentInput
from heddle.physical.metering import Work

StreamFragment: TypeAlias = Callable[[Fragment, Mapping[str, FragmentInput], CancelToken, Work], Batches]


class DuckFragment:
    """One execution of one fragment. `elsewhere` streams fragments on DataFusion."""

    def __init__(
        self,
        fragment: Fragment,
        inputs: Mapping[str, FragmentInput],
        duck: DuckSession,
        elsewhere: StreamFragment,
        env: RunEnvironment,
        stop: CancelToken,
        work: Work,
    ) -> None:
        self._fragment = fragment
        self._inputs = inputs
        self._duck = duck
        self._elsewhere = elsewhere
        self._env = env
        self._stop = stop
        self._work = work
        self._leaves: list[Channel] = []
        self._threads: list[Thread] = []
        self._registered = False

    def stream(self) -> Batches:
        """Batches of the fragment's result, at least one. Raises `StageFailed` or `Cancelled`."""
        schema = given_schema(self._schema, self._fragment.row)
        begun = again = False
        try:
            with engine_errors():
                for batch in at_least_one(self._batches(schema), schema):
                    begun = True
                    yield batch
        except EngineError as error:
            again = not begun and self._worth_another_try(error)
            if not again:
                raise self._failure(error) from error
        finally:
            for thread in self._threads:
                thread.join(JOIN_WAIT_S)
        if again:
            yield from self._on_datafusion(self._fragment, self._inputs)

    @property
    def _schema(self) -> pa.Schema:
        schema = self._fragment.row.arrow()
        columns = self._fragment.columns
        return schema if columns is None else pa.schema([schema.field(name) for name in columns])

    def _worth_another_try(self, error: EngineError) -> bool:
        if self._stop.cancelled or is_exhausted(error):
            return False
        return all(isinstance(source, FileBinding | Frame) for source in self._inputs.values())

    def _batches(self, schema: pa.Schema) -> Batches:
        cursor = self._duck.cursor()
        forget = self._stop.on_cancel(cursor.connection.interrupt)
        ended = False
        try:
            tables = [self._table(cursor, relation, source) for relation, source in self._inputs.items()]
            result = cursor.query(duckdb_sql(self._fragment, tables), values_of(tables))
            for batch in result.to_arrow_reader(self._env.batch_rows):
                yield as_plain(batch, schema)
            ended = True
        finally:
            forget()
            for leaf in self._leaves:
                leaf.close()
            self._count(cursor)
            if ended and not self._registered and not self._stop.cancelled:
                self._duck.give_back(cursor)
            else:
                cursor.close()

    def _count(self, cursor: Cursor) -> None:
        """A query that was left before its end has no profile."""
        profile = profile_of(cursor)
        if profile is not None:
            self._work.add(
                cpu_s=profile.cpu_s,
                bytes_scanned=profile.bytes_read,
                spilled_bytes=profile.spilled_bytes,
            )

    def _table(self, cursor: Cursor, relation: str, source: FragmentInput) -> DuckTable:
        if isinstance(source, FileBinding):
            from heddle.std.readers import plain_parquet

            files = plain_parquet(source.step, source.config, self._env.base)
            if files is not None:
                return parquet_table(relation, files)
            source = self._on_datafusion(_scan(self._fragment, relation, source), {relation: source})
        name = stream_name(relation)
        self._registered = True
        if isinstance(source, Frame):
            cursor.connection.register(name, pa.Table.from_batches(source.batches, schema=source.schema))
        else:
            first = next(source)
            leaf = Channel(self._stop, bytes_max=self._env.channel_bytes_max)
            self._leaves.append(leaf)
            self._threads.append(feed(first, source, leaf))
            cursor.connection.register(name, pa.RecordBatchReader.from_batches(first.schema, iter(leaf)))
        return stream_table(relation)

    def _on_datafusion(self, fragment: Fragment, inputs: Mapping[str, FragmentInput]) -> Batches:
        return self._elsewhere(fragment, inputs, self._stop, self._work)

    def _failure(self, error: EngineError) -> BaseException:
        for leaf in self._leaves:
            if leaf.error is not None:
                return leaf.error
        if self._stop.cancelled:
            return Cancelled("the run was cancelled")
        files = [source for source in self._inputs.values() if isinstance(source, FileBinding)]
        return StageFailed(self._fragment, stage_error(error, self._fragment, files, self._env))


def _scan(fragment: Fragment, relation: str, source: FileBinding) -> Fragment:
    """Reads from files that DuckDB does not read itself, the columns that the fragment names."""
    named = names_read(fragment_sql(fragment))
    columns = [name for name in source.columns if named is None or name in named] or source.columns[:1]
    query = replace(
        fragment.queries[0],
        sql=f"SELECT {', '.join(quoted(name) for name in columns)} FROM {quoted(relation)}",
        tables=(relation,),
        reduces=False,
    )
    return replace(fragment, queries=(query,), columns=None, limit=None, engine="datafusion")

"""Materialized outputs: their rows are kept, and computed anew as the program or `[serve.materialize]` says.

Who reads one gets the rows of the last refresh that succeeded, also while another one runs and after one that
failed. Rows that an earlier process kept are there again, as long as the output has the same columns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Final, Literal, Protocol, Self, TypeAlias

import pyarrow as pa

from heddle.core.record import record
from heddle.core.refresh_policy import RefreshPolicy
from heddle.database.errors import QueryError
from heddle.database.fitting import checked_schema
from heddle.database.kept_manifest import KeptTable
from heddle.database.kept_tables import KeptTables
from heddle.database.model import TableParameter
from heddle.database.reading import Reading
from heddle.diagnostics import did_you_mean
from heddle.errors import HeddleError, UsageError

FIRST_ROWS_WAIT_S: Final = 60.0
"""How long a reader waits for the first refresh of an output that has no rows yet."""
PROGRAM_NOTE: Final = "program"
DURATION_NOTE: Final = "duration_s"

RefreshState: TypeAlias = Literal["waiting", "running", "done", "failed"]


class Computation(Protocol):
    """The rows of an output while they are computed."""

    def batches(self) -> Iterator[pa.RecordBatch]: ...

    def cancel(self, why: QueryError) -> None:
        """From any thread; `batches` then raises."""

    def close(self) -> None: ...


@record(frozen=True, slots=True)
class MaterializedOutput:
    """`name` is `workflow.output`. `program` is a hash; rows that another one gave are old from the start."""

    name: str
    schema: pa.Schema
    program: str
    policy: RefreshPolicy
    compute: Callable[[], Computation]


@record(frozen=True, slots=True)
class Refreshed:
    """How an output stands. `refreshed_at` is in seconds since 1970, None without rows; `error` is what the
    last refresh failed of. `succeeded` and `failed` count the refreshes of this process."""

    name: str
    policy: RefreshPolicy
    state: RefreshState
    refreshed_at: float | None
    duration_s: float | None
    rows: int | None
    error: str | None
    succeeded: int
    failed: int


def check_materialized(wanted: Iterable[str], outputs: Collection[str]) -> None:
    """Raises `UsageError` for an output that no program has."""
    for name in wanted:
        if name not in outputs:
            near = did_you_mean(name, list(outputs))
            raise UsageError(
                f"[serve.materialize] names the output `{name}`, which is not there",
                help=f"did you mean `{near}`?" if near else None,
            )


def check_has_values(name: str, parameters: Iterable[TableParameter]) -> None:
    """That the rows of an output can be kept: they are those of one value of each parameter. Raises
    `UsageError`."""
    for parameter in parameters:
        if parameter.required:
            raise UsageError(
                f"the output `{name}` cannot be materialized: its parameter `{parameter.name}` has no value",
                help=f"give it one: --param {parameter.name}=…, or a default in the workflow's header",
            )


class MaterializedOutputs:
    """The kept rows of outputs, and the thread that refreshes them. Safe for threads."""

    def __init__(self, kept: KeptTables, outputs: Mapping[str, MaterializedOutput]) -> None:
        """`kept` holds nothing else: rows of outputs that are not there any more are dropped."""
        self._kept = kept
        self._outputs = {name: _Output(output) for name, output in outputs.items()}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        for table in kept.tables():
            of = outputs.get(table.name)
            if of is None or not table.schema.equals(checked_schema(of.schema)):
                kept.drop(table.name)
        for name, output in self._outputs.items():
            output.due_at = self._first_due_at(name, output.of)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Refresh what is due, and go on with it until `close`."""
        with self._changed:
            if self._thread is None and any(o.due_at is not None for o in self._outputs.values()):
                self._thread = threading.Thread(target=self._go_on, name="heddle-refresh", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the refreshes that run. More than once does no harm."""
        with self._changed:
            self._closed = True
            running = [o.computation for o in self._outputs.values() if o.computation is not None]
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        for computation in running:
            computation.cancel(QueryError("unavailable", "the server is ending"))
        if thread is not None:
            thread.join()

    def __contains__(self, name: str) -> bool:
        return name in self._outputs

    def read(self, name: str) -> Reading:
        """The rows of the last refresh that succeeded. Raises `QueryError` when there was none."""
        output = self._outputs[name]
        with self._changed:
            self._changed.wait_for(lambda: not self._first_is_coming(name, output), FIRST_ROWS_WAIT_S)
        try:
            return self._kept.read(name)
        except QueryError as error:
            reason = f"its refresh failed: {output.error}" if output.error else "it was not refreshed yet"
            raise QueryError(
                "unavailable", f"`{name}` has no rows: {reason}", help=f"REFRESH TABLE {name}"
            ) from error

    def refresh(self, name: str) -> int:
        """Compute the rows anew, and put them in place of the old ones; how many there are. Raises
        `QueryError`, and then the old ones stay."""
        if name not in self._outputs:
            raise QueryError(
                "unsupported",
                f"`{name}` is not materialized: it is computed for each query",
                help=f'say `materialize: "manual"` in the program where `{name}` is named, or write '
                f'`"{name}" = "manual"` below [serve.materialize] in heddle.toml',
            )
        output = self._outputs[name]
        with output.refreshing:
            started = time.monotonic()
            try:
                rows = self._refresh(output, started)
            except HeddleError as error:
                self._ended(output, error)
                if isinstance(error, QueryError):
                    raise
                raise QueryError("failed", error.message, help=error.help) from error
            self._ended(output, None)
        return rows

    def kept(self) -> Mapping[str, KeptTable]:
        """The rows that are there, by output."""
        return {table.name: table for table in self._kept.tables()}

    def states(self) -> Mapping[str, Refreshed]:
        tables = self.kept()
        found: dict[str, Refreshed] = {}
        with self._changed:
            for name, output in self._outputs.items():
                table = tables.get(name)
                found[name] = Refreshed(
                    name,
                    output.of.policy,
                    output.state(has_rows=table is not None),
                    table.changed_at if table is not None else None,
                    float(table.notes[DURATION_NOTE]) if table is not None else None,
                    table.rows if table is not None else None,
                    output.error,
                    output.succeeded,
                    output.failed,
                )
        return found

    def _refresh(self, output: _Output, started: float) -> int:
        computation = output.of.compute()
        with closing(computation):
            with self._changed:
                if self._closed:
                    raise QueryError("unavailable", "the server is ending")
                output.computation = computation
            notes = {PROGRAM_NOTE: output.of.program}
            with self._kept.ingest(output.of.name, output.of.schema, "replace", notes=notes) as ingest:
                for batch in computation.batches():
                    ingest.write(batch)
                notes[DURATION_NOTE] = f"{time.monotonic() - started:.6f}"
                return ingest.commit()

    def _ended(self, output: _Output, error: HeddleError | None) -> None:
        with self._changed:
            output.computation = None
            output.error = None if error is None else error.message
            output.succeeded += error is None
            output.failed += error is not None
            every_s = output.of.policy.every_s
            output.due_at = None if every_s is None else time.time() + every_s
            self._changed.notify_all()

    def _first_is_coming(self, name: str, output: _Output) -> bool:
        if self._closed or self._thread is None:
            return False
        return name not in self.kept() and output.error is None and output.due_at is not None

    def _first_due_at(self, name: str, output: MaterializedOutput) -> float | None:
        """In seconds since 1970; None for an output that only a statement refreshes."""
        if output.policy.when == "manual":
            return None
        kept = self.kept().get(name)
        old = kept is None or kept.notes.get(PROGRAM_NOTE) != output.program
        if old or output.policy.every_s is None or kept is None:
            return 0.0
        return kept.changed_at + output.policy.every_s

    def _go_on(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                due = [o for o in self._outputs.values() if o.due_at is not None]
                output = min(due, key=lambda o: o.due_at or 0.0, default=None)
                wait_s = None if output is None else (output.due_at or 0.0) - time.time()
                if output is None or (wait_s is not None and wait_s > 0):
                    self._changed.wait(wait_s)
                    continue
            try:
                self.refresh(output.of.name)
            except QueryError:
                continue  # `states` tells of it, and the old rows stay


class _Output:
    """What changes of one output. `due_at` is when its next refresh begins by itself."""

    def __init__(self, of: MaterializedOutput) -> None:
        self.of = of
        self.refreshing = threading.Lock()
        self.computation: Computation | None = None
        self.due_at: float | None = None
        self.error: str | None = None
        self.succeeded = 0
        self.failed = 0

    def state(self, *, has_rows: bool) -> RefreshState:
        if self.computation is not None:
            return "running"
        if self.error is not None:
            return "failed"
        return "done" if has_rows else "waiting"

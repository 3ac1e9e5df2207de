"""One execution of a statement: its rows while they come, until they end or nobody wants more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from heddle.core.data_bytes import data_bytes
from heddle.database.asking import plain_message
from heddle.database.errors import QueryError
from heddle.database.registry import CachedPart
from heddle.errors import Cancelled, HeddleError, ProgramError, ServiceUnavailable, StageError
from heddle.logical.asked import ASKED_PATH
from heddle.physical.cancel import CancelToken
from heddle.physical.events import StageTaken
from heddle.physical.result_cache import FROM_RESULT_CACHE

if TYPE_CHECKING:
    from heddle.physical.events import Event, Listener


class Watch(Protocol):
    def count(self, rows: int, size_bytes: int = 0) -> None: ...

    def took(self, part: CachedPart) -> None: ...

    def finish(self, error: BaseException | None = None) -> None: ...


class Answer:
    """`rows_updated` is None for a query. Iterate `batches` once, from one thread at a time; `cancel` may
    come from any. What `held` holds is freed when it is closed."""

    def __init__(
        self,
        query_id: str,
        schema: pa.Schema,
        batches: Callable[[CancelToken], Iterator[pa.RecordBatch]],
        held: ExitStack,
        rows_updated: int | None = None,
        *,
        rows_max: int | None = None,
        concealed: bool = False,
    ) -> None:
        """More than `rows_max` rows are an error. What a `concealed` answer fails of is not shown."""
        self.query_id = query_id
        self.schema = schema
        self.rows_updated = rows_updated
        self._cancel = CancelToken()
        self._batches = batches(self._cancel)
        self._held = held
        self._rows_max = rows_max
        self._concealed = concealed
        self._lock = threading.Lock()
        self._closed = False
        self._why: QueryError | None = None
        self._failed: QueryError | None = None
        self._watch: Watch | None = None
        self._listener: Listener | None = None

    def heard_by(self, listener: Listener) -> None:
        """Tell of the stages of its run."""
        self._listener = listener

    def tell(self, event: Event) -> None:
        """The run that gives the rows calls this, from any thread."""
        if isinstance(event, StageTaken) and event.how == FROM_RESULT_CACHE and self._watch is not None:
            self._watch.took("answer" if event.stage == ASKED_PATH else "steps")
        if self._listener is not None:
            self._listener(event)

    def watched_by(self, watch: Watch) -> None:
        """Tell of what is read, and of the end."""
        self._watch = watch

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, under `schema`. Raises `QueryError`."""
        rows = 0
        try:
            for batch in self._batches:
                rows += batch.num_rows
                if self._rows_max is not None and rows > self._rows_max:
                    raise _too_many(self._rows_max)
                if self._watch is not None:
                    self._watch.count(batch.num_rows, data_bytes(batch))
                yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)
            if self._why is not None:
                raise self._why
        except (HeddleError, OSError) as error:
            raise self._ended(self._why or query_error(error)) from error
        finally:
            self.close()

    def cancel(self, why: QueryError | None = None) -> None:
        """End it; the reader gets `why`, or is told that it was cancelled."""
        self._why = self._why or why or QueryError("cancelled", "the query was cancelled")
        self._cancel.cancel()

    def close(self) -> None:
        """Free all; more than once does no harm. Not while another thread iterates: that is `cancel`'s."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._cancel.cancel()
        close = getattr(self._batches, "close", None)
        if close is not None and not self._batches.gi_running:  # type: ignore[attr-defined]
            close()
        self._held.close()
        if self._watch is not None:
            self._watch.finish(self._failed)

    def _ended(self, error: QueryError) -> QueryError:
        if self._concealed:
            from heddle.database.policy import concealed

            error = concealed(error)
        self._failed = error
        return error


def _too_many(rows_max: int) -> QueryError:
    return QueryError(
        "exhausted", f"the answer has more than {rows_max:,} rows, which is your limit", help="ask for less"
    )


def query_error(error: BaseException) -> QueryError:
    """Any failure below as the kind of error that front doors know."""
    match error:
        case QueryError():
            return error
        case Cancelled():
            return QueryError("cancelled", "the query was cancelled")
        case ServiceUnavailable():
            return QueryError("unavailable", error.message, help=error.help)
        case StageError(error_type="ResourcesExhausted" | "DiskFull" | "OutOfMemory"):
            return QueryError("exhausted", error.message, help=error.help)
        case StageError():
            return QueryError("failed", plain_message(error.message, ()), help=error.help)
        case ProgramError() | HeddleError():
            return QueryError("failed", error.message, help=error.help)
        case OSError():
            return QueryError("exhausted", error.strerror or "the server's disk failed")
        case _:
            raise error

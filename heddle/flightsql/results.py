"""The answer of one execution on its way to a client.

A thread of a pool reads the answer, makes pieces of its batches, each one message (frames, or batches for a
transport that makes its own), and waits while the client is behind. So a stalled client holds
`BUFFER_BYTES_MAX`, one message and the engine's own few batches. The first piece waits for nobody.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from heddle.core.data_bytes import data_bytes
from heddle.database.errors import QueryError
from heddle.flightsql.columns import Columns, fitted_columns, plain_columns
from heddle.flightsql.frames import (
    MESSAGE_BYTES,
    Encode,
    Encoding,
    Piece,
    batch_of,
    empty_batch,
    empty_frame,
    encoder,
    parts,
    piece_bytes,
    plain_frame,
)

if TYPE_CHECKING:
    from heddle.database.answers import Answer

SMALL_BYTES: Final = 1 << 20
"""An answer of up to so many bytes is kept for as long as its ticket lives."""
BUFFER_BYTES_MAX: Final = 4 << 20
BEHIND_S: Final = 1.0
"""A statement whose client is behind for so long leaves its place among those that run to others."""
STARVING_S: Final = 0.05
"""A client that waited so long gets what there is, without putting small batches together."""
SILENCE_S: Final = 15.0
"""After so long without rows a batch without rows is sent, or a proxy would close the connection."""

Log: Final = logging.getLogger("heddle.flightsql")


class ServerFault(QueryError):
    """A mistake of the server's, of which a client is told no more than that."""

    def __init__(self) -> None:
        super().__init__("failed", "the server has failed; its log says why")


class Result:
    """`answers` gives one answer for each set of parameters, while `admitted` is entered. `columns` is what
    goes out; None where that depends on the values of parameters, so the first answer tells it. `ended` is
    told once, when nothing more is computed. Thread-safe; several readers share the rows among them."""

    def __init__(
        self,
        answers: Callable[[], Iterator[Answer]],
        columns: Columns | None,
        encoding: Encoding,
        admitted: Callable[[Callable[[], bool]], AbstractContextManager[None]],
        ended: Callable[[Result], None],
    ) -> None:
        self.rows = 0
        self.size_bytes = 0
        self.rows_updated = 0
        self.query_id = ""
        self.taken_s = time.monotonic()
        self._answers = answers
        self._admitted = admitted
        self._place = ExitStack()
        self._ended = ended
        self._encoding = encoding
        self._columns = columns
        self._changed = threading.Condition(threading.Lock())
        self._pieces: deque[Piece] = deque()
        self._kept: list[Piece] | None = []
        self._buffered = 0
        self._waiting_s: float | None = None
        self._answer: Answer | None = None
        self._error: QueryError | None = None
        self._begun = False
        self._finished = False
        self._cancelled = False

    # What the pool's thread does.

    def produce(self) -> None:
        self._begun = True
        try:
            with self._place:
                self._place.enter_context(self._admitted(lambda: self._cancelled))
                self._read_all()
        except QueryError as error:
            self._end(error)
        except BaseException as error:  # any fault must reach the client as an error, not as a hang
            Log.exception("an answer failed", exc_info=error)
            self._end(ServerFault())
        else:
            self._end(None)

    def _read_all(self) -> None:
        for answer in self._answers():
            try:
                self._hold(answer)
                self._read(answer)
            finally:
                self._hold(None)
                answer.close()

    def _hold(self, answer: Answer | None) -> None:
        with self._changed:
            self._answer = answer
            cancelled = self._cancelled
        if answer is None:
            return
        self.query_id = answer.query_id
        if cancelled:
            answer.cancel()

    def _columns_of(self, answer: Answer) -> Columns:
        """How an answer becomes what goes out, which its first one tells."""
        with self._changed:
            if self._columns is None:
                self._columns = plain_columns(answer.schema)
                self._changed.notify_all()
            columns = self._columns
        if answer.schema.equals(columns.given):
            return columns
        return fitted_columns(answer.schema, columns)

    def _read(self, answer: Answer) -> None:
        columns = self._columns_of(answer)
        encode = encoder(columns.schema, self._encoding)
        pending: list[pa.RecordBatch] = []
        pending_bytes = 0
        for given in answer.batches():
            if not given.num_rows:
                continue
            batch = _converted(columns, given)
            size_bytes = data_bytes(batch)
            if size_bytes >= MESSAGE_BYTES and not pending:
                self._put_all(encode, batch)
                continue
            pending.append(batch)
            pending_bytes += size_bytes
            if pending_bytes >= MESSAGE_BYTES or self._is_starving():
                self._put_all(encode, _together(pending))
                pending, pending_bytes = [], 0
        if pending:
            self._put_all(encode, _together(pending))
        self.rows_updated += answer.rows_updated or 0

    def _put_all(self, encode: Encode, batch: pa.RecordBatch) -> None:
        for part in parts(batch):
            self._put(encode(part), part.num_rows)

    def _put(self, piece: Piece, rows: int) -> None:
        size_bytes = piece_bytes(piece)
        with self._changed:
            in_time = self._changed.wait_for(self._has_room, BEHIND_S)
        if not in_time:
            self._stand_aside()
        with self._changed:
            if self._cancelled:
                raise _cancelled()
            self._pieces.append(piece)
            self._buffered += size_bytes
            self.rows += rows
            self.size_bytes += size_bytes
            if self._kept is not None:
                self._kept.append(piece)
                if self.size_bytes > SMALL_BYTES:
                    self._kept = None
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._buffered < BUFFER_BYTES_MAX or self._cancelled

    def _stand_aside(self) -> None:
        """Until the client wants more. Meanwhile it holds no place that other statements could have."""
        self._place.close()
        with self._changed:
            self._changed.wait_for(self._has_room)
        while not self._cancelled:
            try:
                self._place.enter_context(self._admitted(lambda: self._cancelled))
                return
            except QueryError as error:
                if error.kind != "exhausted":
                    raise

    def _is_starving(self) -> bool:
        waiting_s = self._waiting_s
        return waiting_s is not None and time.monotonic() - waiting_s > STARVING_S

    def _end(self, error: QueryError | None) -> None:
        """Who is told of the end hears of it before the client does. What the answer was made with is let go:
        it may be kept for long."""
        with self._changed:
            if self._cancelled and error is None:
                error = _cancelled()
            self._error = _bare(error) if error is not None else None
            if error is not None:
                self._pieces.clear()
                self._kept, self._buffered = None, 0
        try:
            self._ended(self)
        finally:
            del self._answers, self._admitted, self._ended, self._place
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    # What clients do.

    @property
    def finished(self) -> bool:
        return self._finished

    @property
    def is_running(self) -> bool:
        return self._begun and not self._finished

    @property
    def is_small(self) -> bool:
        """Whether it is there as a whole, and may be read again and again."""
        return self._finished and self._kept is not None

    @property
    def held_bytes(self) -> int:
        """Of frames that wait for a reader or are kept for another one."""
        return self._buffered if self._kept is None else self.size_bytes

    @property
    def error(self) -> QueryError | None:
        return self._error

    @property
    def is_stalled(self) -> bool:
        """Whether it goes on only when a reader takes what there is."""
        return self._buffered > 0 and not self._cancelled and not self.is_small

    def wait(self, timeout_s: float | None) -> bool:
        """Until it has finished or its first megabyte is there; false when that takes longer. Raises what the
        execution raised."""
        return self._wait_for(lambda: self._finished or self._kept is None, timeout_s)

    @property
    def columns(self) -> Columns | None:
        """None while they are not known."""
        return self._columns

    def wait_columns(self) -> Columns:
        """Raises what the execution raised."""
        self._wait_for(lambda: self._columns is not None or self._finished)
        assert self._columns is not None, "an execution without an error has had an answer"
        return self._columns

    def wait_end(self) -> None:
        """Until nothing of it runs any more, cancelled or not. Raises what the execution raised."""
        with self._changed:
            self._changed.wait_for(lambda: self._finished)
            self._require_right()

    def _wait_for(self, reached: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Whether it was reached in time. A cancel ends the wait, though the engine may take longer."""
        with self._changed:
            there = self._changed.wait_for(lambda: reached() or self._cancelled, timeout_s)
            self._require_right()
            return there

    def _require_right(self) -> None:
        """Raises what the execution raised, or that it was cancelled. The lock is held."""
        if self._error is not None:
            raise _bare(self._error)
        if self._cancelled:
            raise _cancelled()

    def frames(self, shared: bool = False) -> Iterator[bytes]:
        """The schema's frame, then those of the rows. `shared`: each frame goes to one reader only. Raises
        what the execution raised."""
        columns = self.wait_columns()
        yield columns.frame
        for piece in self._read_pieces(shared):
            if isinstance(piece, bytes):
                yield piece or empty_frame(columns.schema)
            else:
                yield plain_frame(piece)

    def batches(self, shared: bool = False) -> Iterator[pa.Schema | pa.RecordBatch]:
        """The same as `frames` for who makes messages of its own: the schema, then the rows."""
        schema = self.wait_columns().schema
        yield schema
        for piece in self._read_pieces(shared):
            if isinstance(piece, bytes):
                yield batch_of(piece, schema) if piece else empty_batch(schema)
            else:
                yield piece

    def _read_pieces(self, shared: bool) -> Iterator[Piece]:
        if not shared and (whole := self._whole()) is not None:
            yield from whole
            return
        while (piece := self._take()) is not None:
            yield piece

    def _whole(self) -> list[Piece] | None:
        with self._changed:
            self._require_right()
            return self._kept if self._finished else None

    def _take(self) -> Piece | None:
        """The next piece; no bytes after `SILENCE_S`; None at the end."""
        with self._changed:
            self._waiting_s = self.taken_s = time.monotonic()
            try:
                there = self._changed.wait_for(
                    lambda: self._pieces or self._finished or self._cancelled, SILENCE_S
                )
            finally:
                self._waiting_s = None
            self.taken_s = time.monotonic()
            self._require_right()
            if self._pieces:
                piece = self._pieces.popleft()
                self._buffered -= piece_bytes(piece)
                self._changed.notify_all()
                return piece
            return None if there else b""

    def leave(self) -> None:
        """Its only reader is gone. What that took cannot be given to another."""
        if not self.is_small:
            self.cancel()

    def cancel(self) -> bool:
        """Whether it was still running. It then ends as cancelled; an end of its own stays as it was."""
        with self._changed:
            was_running = not self._finished
            self._cancelled = True
            answer = self._answer
            if not was_running and self._error is None:
                self._pieces.clear()
                self._kept, self._buffered = None, 0
                self._error = _cancelled()
            self._changed.notify_all()
        if answer is not None and was_running:
            answer.cancel()
        return was_running


def _converted(columns: Columns, batch: pa.RecordBatch) -> pa.RecordBatch:
    try:
        return columns.convert(batch)
    except pa.ArrowException as error:
        raise QueryError(
            "unsupported",
            "a column of the answer has a type that cannot be sent",
            help="cast it, for instance to VARCHAR",
        ) from error


def _together(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _bare(error: QueryError) -> QueryError:
    """The same without its traceback, which would keep rows in memory for as long as the ticket lives."""
    if isinstance(error, ServerFault):
        return ServerFault()
    return QueryError(error.kind, error.message, help=error.help)


def _cancelled() -> QueryError:
    return QueryError("cancelled", "the statement was cancelled")

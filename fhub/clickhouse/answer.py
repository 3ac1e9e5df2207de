"""An answer's body as record batches. One that was cut, or holds an error in its middle, is an error."""

from __future__ import annotations

import io
import json
import sys
import zlib
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from fhub.clickhouse.errors import TEXT_BYTES_MAX, ConnectionLost, error_within

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

PIECE_BYTES: Final = 1 << 18
_END: Final = b"\xff\xff\xff\xff\0\0\0\0"
"""The end of an Arrow stream."""


class Answer:
    """Reads a body once. Every method raises `ClickHouseError` and `ConnectionLost`."""

    def __init__(self, response: BaseHTTPResponse, host: str) -> None:
        self._pieces = _Pieces(response, host)
        headers = response.headers
        self._framed = "chunked" in headers.get("Transfer-Encoding", "") or "Content-Length" in headers
        gzipped = headers.get("Content-Encoding") == "gzip"
        self._body = _Body(_Inflated(self._pieces) if gzipped else self._pieces)
        self._host = host
        self._summary = headers.get("X-ClickHouse-Summary", "")

    def count(self, name: str) -> int | None:
        """A number of the server's summary, such as `read_rows`, as it was when the answer began."""
        try:
            return int(json.loads(self._summary)[name])
        except (ValueError, KeyError, TypeError):
            return None

    def text(self) -> str:
        try:
            return self._body.read(-1).decode(errors="replace")
        except (OSError, zlib.error) as error:
            raise self._failure() from error

    def batches(self) -> Iterator[pa.Schema | pa.RecordBatch]:
        """The schema, then the record batches of an Arrow stream."""
        try:
            with pa.ipc.open_stream(pa.PythonFile(self._body, "r")) as reader:
                yield reader.schema
                while True:
                    try:
                        batch = reader.read_next_batch()
                    except StopIteration:
                        break
                    yield batch
            ended = self._body.tail.endswith(_END)
            rest = self._body.read(TEXT_BYTES_MAX)
        except (pa.ArrowInvalid, OSError, EOFError, zlib.error) as error:
            # An error's text is no Arrow data; nor is what a network leaves over.
            raise self._failure() from error
        if rest:
            raise self._failure()
        if not (ended or self._framed):
            raise self._failure()

    @property
    def ended(self) -> bool:
        """Whether the server has said all that it will say."""
        return self._pieces.ended or self._pieces.lost is not None

    def _failure(self) -> Exception:
        lost = self._pieces.lost
        if lost is None:
            try:
                self._body.read(TEXT_BYTES_MAX)
            except (OSError, zlib.error):
                lost = self._pieces.lost
        said = error_within(self._body.tail)
        if said is not None:
            return said
        if lost is not None:
            return lost
        return ConnectionLost(f"the answer of {self._host} ended before all rows were there")


class _Pieces(io.RawIOBase):
    """The body as it comes. An error of the network is kept in `lost`: Arrow passes on only its text."""

    def __init__(self, response: BaseHTTPResponse, host: str) -> None:
        self._pieces = response.stream(PIECE_BYTES, decode_content=False)
        self._left = memoryview(b"")
        self._host = host
        self.lost: ConnectionLost | None = None
        self.ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._left:
            piece = self._next()
            if piece is None:
                self.ended = True
                return b""
            self._left = memoryview(piece)
        taken = self._left[:size] if size >= 0 else self._left
        self._left = self._left[len(taken) :]
        return bytes(taken)

    def _next(self) -> bytes | None:
        from urllib3.exceptions import HTTPError

        if self.lost is None:
            try:
                return next(self._pieces, None)
            except (HTTPError, OSError) as error:
                self.lost = ConnectionLost(
                    f"the connection to {self._host} was lost in the middle of an answer"
                )
                self.lost.__cause__ = error
        raise OSError("the connection was lost")


class _Inflated:
    """What `pieces` hold, also before a place where they were cut."""

    def __init__(self, pieces: _Pieces) -> None:
        self._pieces = pieces
        self._inflater = zlib.decompressobj(wbits=31)

    def read(self, size: int) -> bytes:
        while not self._inflater.eof:
            found = self._inflater.decompress(self._inflater.unconsumed_tail or self._pieces.read(), size)
            if found:
                return found
            if not self._inflater.unconsumed_tail and self._pieces.ended:
                break
        return b""


class _Body(io.RawIOBase):
    """Gives as many bytes as are asked for, unless the body ends."""

    def __init__(self, source: _Pieces | _Inflated) -> None:
        self._source = source
        self._last: deque[bytes] = deque()
        self._last_bytes = 0

    @property
    def tail(self) -> bytes:
        """The last of what was given, at least `TEXT_BYTES_MAX` of it."""
        return b"".join(self._last)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts: list[bytes] = []
        missing = size if size >= 0 else sys.maxsize
        while missing:
            part = self._source.read(min(missing, PIECE_BYTES))
            if not part:
                break
            parts.append(part)
            missing -= len(part)
            self._keep(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _keep(self, part: bytes) -> None:
        self._last.append(part)
        self._last_bytes += len(part)
        while self._last_bytes - len(self._last[0]) >= TEXT_BYTES_MAX:
            self._last_bytes -= len(self._last.popleft())

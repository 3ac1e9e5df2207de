"""The body of an answer: chunks, compressed on the way if the client asked for it."""

from __future__ import annotations

import io

import pyarrow as pa

ENCODINGS = ("zstd", "lz4", "gzip")


class Answer:
    """Not closed, it is a stream that was cut."""

    def __init__(self, socket: io.BufferedIOBase, encoding: str | None) -> None:
        self._chunks = _Chunks(socket)
        self._out = (
            pa.CompressedOutputStream(pa.PythonFile(self._chunks, "w"), encoding) if encoding else None
        )

    def write(self, data: bytes) -> None:
        if self._out is None:
            self._chunks.write(data)
        else:
            self._out.write(data)
            self._out.flush()

    def close(self) -> None:
        if self._out is not None:
            self._out.close()
        self._chunks.finish()


class _Chunks(io.RawIOBase):
    def __init__(self, socket: io.BufferedIOBase) -> None:
        self._socket = socket

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if data:
            self._socket.write(b"%x\r\n" % len(data))
            self._socket.write(data)
            self._socket.write(b"\r\n")
        return len(data)

    def finish(self) -> None:
        self._socket.write(b"0\r\n\r\n")

"""Writers of `std/io`: a sink takes the batches of a pipeline, and its target appears when it is committed.

The executor calls `write` for each batch, `prepare` after the last one, and then `commit` or `abort`. Until
`commit` nothing of a sink can be seen: files lie under hidden names, text is kept.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Final, Protocol, TextIO

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.record import record


@record(frozen=True, slots=True)
class Streams:
    """The text streams of the process: data goes to `stdout`, the rest to `stderr`."""

    stdout: TextIO
    stderr: TextIO


NO_STREAMS: Final = Streams(StringIO(), StringIO())
"""Of what prints nothing."""


@record(frozen=True, slots=True)
class WrittenTarget:
    """What a commit made: a path, or a stream's name."""

    target: str
    rows: int


class SinkError(Exception):
    """A target that cannot be written."""

    def __init__(self, message: str, *, help: str | None = None, error_type: str = "WriteError") -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.error_type = error_type


class Sink(Protocol):
    """All methods raise `SinkError`. `abort` may be called at any time; it takes back what is uncommitted."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def prepare(self) -> None:
        """All rows are written: finish the file, so that `commit` has little left that can fail."""
        ...

    def commit(self) -> WrittenTarget: ...

    def abort(self) -> None: ...


def open_sink(
    step_name: str, config: Mapping[str, ConfigValue], base: Path, schema: pa.Schema, streams: Streams
) -> Sink:
    """The sink of a writer; relative paths start at `base`. Raises `SinkError`."""
    match step_name:
        case "print" | "stdout" | "stderr":
            from heddle.std.printing import PrintSink

            if step_name == "stderr":
                return PrintSink("stderr", streams.stderr, config, schema)
            return PrintSink("stdout", streams.stdout, config, schema)
        case _:
            from heddle.std.file_sinks import open_file_sink

            return open_file_sink(step_name, config, base, schema)


@contextmanager
def write_errors(target: str) -> Iterator[None]:
    """Failures of the disk, and of Arrow's writers, as `SinkError`."""
    try:
        yield
    except BrokenPipeError as error:
        raise SinkError(f"`{target}` was closed by its reader", error_type="BrokenPipe") from error
    except OSError as error:
        raise _disk_error(target, error) from error
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SinkError(
            f"`{target}` cannot hold these rows: {error}", help="select or cast the columns before it"
        ) from error


def _disk_error(target: str, error: OSError) -> SinkError:
    match error.errno:
        case errno.ENOSPC | errno.EFBIG | errno.EDQUOT:
            return SinkError(
                f"`{target}` cannot be written: no space is left for it",
                help="free space, or write to another disk; nothing was left behind",
                error_type="DiskFull",
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return SinkError(
                f"`{target}` cannot be written: permission denied", help="check the folder's permissions"
            )
        case errno.ENOTDIR | errno.EEXIST:
            return SinkError(f"`{target}` cannot be written: a part of its path is a file, not a folder")
        case _:
            return SinkError(f"`{target}` cannot be written: {error.strerror or error}")

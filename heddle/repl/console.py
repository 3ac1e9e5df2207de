"""The two streams of a session: data on stdout, through the pager where a person reads it, the rest on
stderr."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, TextIO, cast

from heddle.core.record import record
from heddle.diagnostics import Source, Span
from heddle.errors import HeddleError
from heddle.repl.formats import Rendered
from heddle.repl.pager import page, pager_command
from heddle.repl.progress import CLEAR_LINE, Progress
from heddle.std.printing import text_width

if TYPE_CHECKING:
    from typing_extensions import Buffer

_ROWS_BESIDE = 2
"""Lines of the screen that the prompt and the line before it take."""


@record(slots=True, eq=False)
class Console:
    """`failure` shows an error and its place in a statement or a script, where that is known, `fault` one
    that is Heddle's own. `watched`: a person sees stderr. `colors`: what is typed may have them."""

    stdout: TextIO
    stderr: TextIO
    failure: Callable[[HeddleError, tuple[Source, Span] | None], None]
    fault: Callable[[Exception], object]
    watched: bool = False
    interactive: bool = False
    colors: bool = False
    paging: bool = True

    @property
    def terminal(self) -> bool:
        """Whether data goes to a terminal."""
        return self.stdout.isatty()

    def say(self, line: str) -> None:
        """For a person, on stderr."""
        self.stderr.write(f"{line}\n")
        self.stderr.flush()

    def note(self, line: str) -> None:
        """That a command has done what it was told: for a person, not for a script."""
        if self.interactive:
            self.say(line)

    def clear_line(self) -> None:
        if self.watched:
            self.stderr.write(CLEAR_LINE)
            self.stderr.flush()

    def lines(self, lines: list[str]) -> None:
        """Data."""
        self.stdout.write("".join(f"{line}\n" for line in lines))
        self.stdout.flush()

    def show(self, render: Rendered) -> None:
        """Data as wide as the terminal. What is longer goes through the pager, with all its width."""
        if not self.terminal:
            self.lines(render(None))
            return
        size = shutil.get_terminal_size()
        lines = render(size.columns)
        command = pager_command(os.environ) if self.interactive and self.paging else None
        height = sum(1 + max(text_width(line) - 1, 0) // size.columns for line in lines)
        if command is not None and height > size.lines - _ROWS_BESIDE:
            page(command, render(None))
        else:
            self.lines(lines)

    @contextmanager
    def unpaged(self) -> Iterator[None]:
        """What is shown inside does not wait for a person."""
        before, self.paging = self.paging, False
        try:
            yield
        finally:
            self.paging = before

    def bytes(self) -> IO[bytes]:
        """For formats that are no lines of text; closing it leaves stdout open."""
        self.stdout.flush()
        return cast(IO[bytes], _Counted(self.stdout.buffer))

    def progress(self) -> Progress:
        return Progress(self.stderr if self.watched else None)


class _Counted(io.RawIOBase):
    """A stream that says where it is also where it is a pipe, which writers of files ask."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Buffer) -> int:
        size = memoryview(data).nbytes
        self._stream.write(data)
        self._at += size
        return size

    def flush(self) -> None:
        if not self._stream.closed:
            self._stream.flush()

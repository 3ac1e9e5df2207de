"""Long output goes through the user's pager: `$PAGER`, else `less`, which scrolls to the side too."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from typing import Final

LESS: Final = "-SRFX"
"""`less` cuts long lines, passes colours on, ends by itself when all fits, and leaves the text on the
screen."""


def pager_command(environ: Mapping[str, str]) -> list[str] | None:
    """None where the user wants no pager, or has none. Raises nothing: a wrong `$PAGER` is none."""
    chosen = environ.get("PAGER")
    try:
        command = shlex.split("less" if chosen is None else chosen)
    except ValueError:
        return None
    if not command or command == ["cat"] or shutil.which(command[0]) is None:
        return None
    return command


def page(command: list[str], lines: Iterable[str], environ: Mapping[str, str] = os.environ) -> None:
    """Show the lines and wait until the user leaves."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env={"LESS": LESS, **environ})
    assert process.stdin is not None
    try:
        with process.stdin:
            for line in lines:
                process.stdin.write(line.encode("utf-8", "surrogatepass") + b"\n")
    except BrokenPipeError:
        pass  # the user left before the end
    process.wait()

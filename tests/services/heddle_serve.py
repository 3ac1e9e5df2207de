"""`heddle serve` over programs, in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.services.service import HOST, Service

COMMAND = Path(sys.executable).with_name("heddle")


class HeddleServe(Service):
    """`write` puts programs and their files into the server's folder. `options` are those of the command."""

    name = "heddle_serve"

    def __init__(self, write: Callable[[Path], object], options: Sequence[str] = ()) -> None:
        super().__init__()
        self._write = write
        self._options = options

    @property
    def uri(self) -> str:
        return f"grpc://{HOST}:{self.port}"

    def prepare(self) -> None:
        self.programs.mkdir()
        self._write(self.programs)

    @property
    def programs(self) -> Path:
        return self.folder / "programs"

    def command(self) -> list[str]:
        return [str(COMMAND), "serve", str(self.programs), "--flight", str(self.port), *self._options]

    def answers(self) -> bool:
        return "serving on " in self.log.read_text(errors="replace")

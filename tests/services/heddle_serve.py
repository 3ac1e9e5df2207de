"""`heddle serve` over programs, in a process of its own."""

from __future__ import annotations

import re
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

    @property
    def native_uri(self) -> str:
        """Of a server with the option `--native`."""
        found = re.search(r"serving on (\S+) \(native\)", self.log.read_text(errors="replace"))
        assert found, "the server has no native port"
        return found[1]

    def prepare(self) -> None:
        self.programs.mkdir()
        self._write(self.programs)

    @property
    def programs(self) -> Path:
        return self.folder / "programs"

    def command(self) -> list[str]:
        return [str(COMMAND), "serve", str(self.programs), "--flight", str(self.port), *self._options]

    def answers(self) -> bool:
        return f"serving on {self.uri}\n" in self.log.read_text(errors="replace")

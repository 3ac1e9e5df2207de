"""A model on this machine in place of a server: `base_url: "embedded:stand-in"`, or `"embedded:FILE.gguf"`
with a model in a file that llama.cpp runs."""

from __future__ import annotations

import shutil
import sys
import tempfile
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

from fhub.embedded import EmbeddedError, ServerProcess, embedded_folder, free_port
from fhub.llm.stand_in import LOOPBACK, NAME, StandIn

WHAT: Final = "the embedded model"
ANSWER_S: Final = 5.0
MISSING: Final = f"{WHAT} needs llama.cpp: pip install xllamacpp"


class Served(Protocol):
    @property
    def url(self) -> str: ...

    def close(self) -> None: ...


class ServedFile:
    """llama.cpp's server in a process of its own. Raises `EmbeddedError`."""

    def __init__(self, file: Path) -> None:
        if find_spec("xllamacpp") is None:
            raise EmbeddedError(MISSING)
        if not file.is_file():
            raise EmbeddedError(f"{WHAT}: there is no file {file}; `embedded:{NAME}` needs none")
        self._port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="heddle-model-"))
        command = [sys.executable, "-P", "-m", "fhub.llm.model_server", str(file), str(self._port)]
        server = ServerProcess(command, WHAT, self._folder / "log", scratch=self._folder)
        self._server = server.wait_until(self._ready)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}/v1"

    def close(self) -> None:
        self._server.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ready(self) -> bool:
        """While it loads the model it answers, but not with success."""
        connection = HTTPConnection(LOOPBACK, self._port, timeout=ANSWER_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def served(base_url: str, base: Path) -> Served | None:
    """A server that was started for such an address; None where it is an ordinary one."""
    file = embedded_folder(base_url, base)
    if file is None:
        return None
    return StandIn() if file.name == NAME else ServedFile(file)

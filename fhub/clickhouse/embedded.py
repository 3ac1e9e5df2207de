"""ClickHouse without a server of one's own: its engine in a Python package, behind its HTTP interface on this
machine, with data in a folder."""

from __future__ import annotations

import secrets
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fhub.clickhouse.connection import Connection, ConnectionConfig, Request
from fhub.embedded import EmbeddedError, OwnedFolder, ServerProcess, answers, free_port, with_settings
from heddle.core.step import StepContext

WHAT: Final = "the embedded ClickHouse"
MISSING: Final = f"{WHAT} needs its engine: pip install 'heddle[embedded]'"
HOST: Final = "127.0.0.1"


class EmbeddedConnection(Connection):
    """A connection to a server that it has started. Raises `EmbeddedError`.

    `setup` of the settings is a file of statements that run when the data is made.
    """

    def __init__(self, config: ConnectionConfig, folder: Path) -> None:
        if find_spec("chdb") is None or find_spec("werkzeug") is None:
            raise EmbeddedError(MISSING)
        self._folder = OwnedFolder(folder, WHAT)
        self._server: ServerProcess | None = None
        complete = folder / "complete"
        if not complete.exists():
            shutil.rmtree(folder / "data", ignore_errors=True)
        try:
            port, password = free_port(), secrets.token_urlsafe(24)
            self._server = _started(folder, port, password)
            own = with_settings(config, host=HOST, port=port, password=password, user="default", secure=False)
            super().__init__(own)
            if not complete.exists():
                if config.setup is not None:
                    self._set_up(config.base / config.setup)
                complete.touch()
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        super().close()
        self._end()

    def _end(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._folder.release()

    def _set_up(self, file: Path) -> None:
        if not file.is_file():
            raise EmbeddedError(f"{WHAT}: there is no file {file} (`setup`)")
        for statement in statements(file.read_text(encoding="utf-8")):
            with self.open(Request(statement, {}), StepContext()) as answer:
                answer.text()


def _started(folder: Path, port: int, password: str) -> ServerProcess:
    command = [sys.executable, "-P", "-m", "fhub.clickhouse.server", str(folder), str(port)]
    server = ServerProcess(command, WHAT, folder / "log", environ={"CLICKHOUSE_PASSWORD": password})
    return server.wait_until(lambda: answers(port))


def statements(script: str) -> list[str]:
    """The statements of a script."""
    import sqlglot
    from sqlglot import TokenType

    tokens = sqlglot.tokenize(script, read="clickhouse")
    ends = [token.start for token in tokens if token.token_type is TokenType.SEMICOLON]
    starts = [0, *(end + 1 for end in ends)]
    parts = [script[start:end] for start, end in zip(starts, [*ends, len(script)], strict=True)]
    return [part.strip() for part in parts if part.strip()]

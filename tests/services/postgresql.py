"""PostgreSQL from Debian: a cluster of its own for each server, with a log of the statements it got."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlencode

from tests.services.certificates import make_certificate
from tests.services.service import CACHE, HOST, Service, ServiceMissing

USER = "postgres"
PASSWORD = "hush ' 7"
# What follows the prefix of a line; lines that go on with one before begin with a tab.
_STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]+): (.*)", re.DOTALL)
_PARAMETERS = re.compile(r"DETAIL:  [Pp]arameters: (.*)", re.DOTALL)
_PREFIX = "%m [%p] "
_LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ \S+ \[\d+\] ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement that the server was given. `parameters` as it writes them, e.g. `$1 = '{1,2}'`."""

    text: str
    parameters: str = ""


class Postgresql(Service):
    """With `password`, clients must know it (SCRAM); with `tls`, they must come by TLS. `durable`: as
    in production; otherwise it does not wait for disks."""

    name = "postgresql"
    stop_signal = signal.SIGINT  # "fast": clients are sent away
    crash_signal = signal.SIGQUIT

    def __init__(self, *, password: bool = False, tls: bool = False, durable: bool = False) -> None:
        super().__init__()
        self._password = password
        self._tls = tls
        self._durable = durable
        self._database_numbers = count(1)

    def uri(self, database: str = "postgres", **parameters: str) -> str:
        """An address for libpq with all that it takes to get in; `parameters` are libpq's."""
        password = f":{quote(PASSWORD, safe='')}" if self._password else ""
        if self._tls:
            parameters = {"sslmode": "verify-full", "sslrootcert": str(self.certificate), **parameters}
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        return f"postgresql://{USER}{password}@{HOST}:{self.port}/{database}{query}"

    @property
    def certificate(self) -> Path:
        """What a client of a server with TLS must trust."""
        return self.folder / "server.crt"

    def create_database(self) -> str:
        """A database for one test; gives its name."""
        name = f"test_{next(self._database_numbers)}"
        self._sql(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def mark(self) -> int:
        """A place in the log, for `statements`."""
        return self.log.stat().st_size

    def statements(self, since: int = 0) -> list[Statement]:
        """What clients have asked since the mark, in order."""
        with self.log.open("rb") as log:
            log.seek(since)
            text = log.read().decode(errors="replace")
        found: list[Statement] = []
        for entry in _LOG_LINE.split(text):
            line = entry.rstrip("\n").replace("\n\t", "\n")
            if statement := _STATEMENT.fullmatch(line):
                found.append(Statement(statement[1]))
            elif found and (parameters := _PARAMETERS.fullmatch(line)):
                found[-1] = Statement(found[-1].text, parameters[1])
        return found

    def prepare(self) -> None:
        # The template belongs to the unprivileged user already.
        subprocess.run(["cp", "-a", str(_template(self._programs)), str(self._data)], check=True)
        method = "scram-sha-256" if self._password else "trust"
        (self._data / "pg_hba.conf").write_text(
            f"{'hostssl' if self._tls else 'host'} all all {HOST}/32 {method}\n"
        )
        if self._tls:
            make_certificate(self.folder)
        _give_away(self.folder, self.folder / "server.crt", self.folder / "server.key")

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            # Its files go with the folder, also after a crash.
            "dynamic_shared_memory_type": "mmap",
            "wal_level": "logical",
            "log_statement": "all",
            "log_line_prefix": _PREFIX,
            "log_timezone": "UTC",
        }
        if not self._durable:
            # What was committed outlives the server's crash, not the machine's.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        if self._tls:
            files = {"ssl_cert_file": self.certificate, "ssl_key_file": self.folder / "server.key"}
            settings |= {"ssl": "on", **{name: str(path) for name, path in files.items()}}
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        return [*_unprivileged(), str(self._programs / "postgres"), "-D", str(self._data), *options]

    def answers(self) -> bool:
        from adbc_driver_manager import dbapi

        try:
            self._sql("SELECT 1")
        except dbapi.OperationalError:
            return False
        return True

    def _sql(self, statement: str) -> None:
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(self.uri(), autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @cached_property
    def _programs(self) -> Path:
        return programs()


def programs() -> Path:
    """The folder of `postgres` and `initdb`, of the newest version. Debian keeps it out of PATH."""
    if found := shutil.which("postgres"):
        return Path(found).parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(folders, key=lambda program: float(program.parents[1].name), default=None)
    if newest is None:
        raise ServiceMissing("PostgreSQL")
    return newest.parent


def _template(folder: Path) -> Path:
    """A cluster as `initdb` leaves it, made once for a version and user."""
    version = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, text=True)
    label = re.sub(r"[^\w.]+", "-", version.stdout.strip())
    template = CACHE / "services" / f"{label}-{os.getuid()}"
    if template.exists():
        return template
    made = Path(tempfile.mkdtemp(prefix="heddle-initdb-"))
    try:
        password = made / "password"
        password.write_text(PASSWORD)
        _give_away(made, password)
        command = [str(folder / "initdb"), "-D", str(made / "data"), "-U", USER, "--pwfile", str(password)]
        options = ["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run([*_unprivileged(), *command, *options], check=True, capture_output=True, cwd=made)
        template.parent.mkdir(parents=True, exist_ok=True)
        # Two workers may come here at once: each makes one, one of them stays.
        mine = template.with_name(made.name)
        subprocess.run(["cp", "-a", str(made / "data"), str(mine)], check=True)
        try:
            mine.rename(template)
        except OSError:
            shutil.rmtree(mine)
    finally:
        shutil.rmtree(made)
    return template


def _unprivileged() -> Iterator[str]:
    """PostgreSQL refuses to run as root; Debian's package makes a user for it."""
    if os.getuid() == 0:
        user = pwd.getpwnam(USER)
        yield from ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")


def _give_away(*paths: Path) -> None:
    if os.getuid() == 0:
        user = pwd.getpwnam(USER)
        for path in paths:
            if path.exists():
                os.chown(path, user.pw_uid, user.pw_gid)

"""ClickHouse's engine behind its HTTP interface, in a process of its own, with a log of its queries."""

from __future__ import annotations

import importlib.util
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from tests.services.service import HOST, ROOT, Service, ServiceMissing

PASSWORD = "hush ' 7"


@dataclass(frozen=True, slots=True)
class Query:
    """One query that the server was given, and what came of it. `external`: the rows sent along, by table;
    `exception_code`: 0 if it went well."""

    query_id: str
    sql: str
    format: str
    database: str
    parameters: dict[str, str]
    settings: dict[str, str]
    external: dict[str, str]
    inserted_bytes: int
    read_rows: int
    written_rows: int
    result_rows: int
    exception_code: int
    elapsed_s: float


class ClickHouse(Service):
    """With `password`, the user `default` must say it."""

    name = "clickhouse"

    def __init__(self, *, password: bool = False) -> None:
        super().__init__()
        self.password = PASSWORD if password else ""
        self._database_numbers = count(1)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def mark(self) -> int:
        """A place in the log, for `queries`."""
        return len(self.queries())

    def queries(self, since: int = 0) -> list[Query]:
        """What clients have asked since the mark, in order. A query is there before its answer has ended."""
        log = self.folder / "queries.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return [Query(**json.loads(line)) for line in lines[since:]]

    def execute(self, sql: str) -> str:
        """For what a test sets up; gives the answer as text."""
        headers = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": self.password}
        request = urllib.request.Request(self.url, sql.encode(), headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def create_database(self) -> str:
        """A database for one test; gives its name."""
        name = f"test_{next(self._database_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def prepare(self) -> None:
        if importlib.util.find_spec("chdb") is None:
            raise ServiceMissing("chdb (ClickHouse's engine)")

    def command(self) -> list[str]:
        return [sys.executable, "-m", "fhub.clickhouse.server", str(self.folder), str(self.port)]

    def environ(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(ROOT), "CLICKHOUSE_PASSWORD": self.password}

    def answers(self) -> bool:
        try:
            return self.execute("SELECT 1") == "1\n"
        except OSError:
            return False

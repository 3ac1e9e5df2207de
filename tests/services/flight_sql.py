"""The Flight SQL server that comes with Arrow's Go library: SQLite in memory, transactions, no ingestion."""

from __future__ import annotations

from itertools import count

from tests.services.service import CACHE, HOST, Service, ServiceMissing

PROGRAM = CACHE / "flightsql" / "sqlite_flightsql_server"


class FlightSql(Service):
    name = "flight_sql"

    def __init__(self) -> None:
        super().__init__()
        self._table_numbers = count(1)

    @property
    def uri(self) -> str:
        return f"grpc://{HOST}:{self.port}"

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        """For what a test sets up."""
        import adbc_driver_flightsql.dbapi

        connection = adbc_driver_flightsql.dbapi.connect(self.uri, autocommit=True)
        with connection, connection.cursor() as cursor:
            if not sql.lstrip().upper().startswith("SELECT"):
                cursor.executemany(sql, [()])
                return []
            cursor.execute(sql)
            return list(cursor.fetchall())

    def table(self) -> str:
        """The name of a table of one test's own."""
        return f"t{next(self._table_numbers)}"

    def prepare(self) -> None:
        if not PROGRAM.exists():
            raise ServiceMissing("the Flight SQL server of Arrow's Go library")

    def command(self) -> list[str]:
        return [str(PROGRAM), "-host", HOST, "-port", str(self.port)]

    def answers(self) -> bool:
        import adbc_driver_manager

        try:
            return self.execute("SELECT 1") == [(1,)]
        except adbc_driver_manager.Error:
            return False

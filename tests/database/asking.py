"""A database over programs of one test, and questions to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from heddle.database.database import Database
from heddle.database.model import DEFAULT_SETTINGS, LOCAL, Settings, Viewer
from tests.services.postgresql import Postgresql


class Asked:
    def __init__(self, database: Database) -> None:
        self.database = database

    def table(
        self,
        text: str,
        *values: object,
        viewer: Viewer = LOCAL,
        settings: Settings = DEFAULT_SETTINGS,
        transaction: str | None = None,
    ) -> pa.Table:
        answer = self.database.prepare(text, viewer, settings).run(values, transaction=transaction)
        return pa.Table.from_batches(list(answer.batches()), schema=answer.schema)

    def rows(self, text: str, *values: object, **options: object) -> list[dict[str, object]]:
        found: list[dict[str, object]] = self.table(text, *values, **options).to_pylist()  # type: ignore[arg-type]
        return found

    def updated(self, text: str, *values: object, transaction: str | None = None) -> int | None:
        answer = self.database.prepare(text, LOCAL).run(values, transaction=transaction)
        assert list(answer.batches()) == []
        return answer.rows_updated

    def plan(self, text: str, *values: object) -> str:
        return str(self.rows(f"explain {text}", *values)[0]["plan"])


@contextmanager
def asking(folder: Path, programs: Mapping[str, str], **options: object) -> Iterator[Asked]:
    for name, text in programs.items():
        (folder / name).write_text(text)
    paths = [folder / name for name in programs if name.endswith(".he")]
    with Database.open(paths, **options) as database:  # type: ignore[arg-type]
        yield Asked(database)


@contextmanager
def asking_orders(postgresql: Postgresql, folder: Path, program: str, columns: str) -> Iterator[Asked]:
    """Over a program that reads the table `orders` of a new database. `columns` are SQL, of the row number
    `g` and what else stands behind them."""
    from adbc_driver_postgresql import dbapi

    database = postgresql.create_database()
    with (
        dbapi.connect(postgresql.uri(database), autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"CREATE TABLE orders AS SELECT {columns}")
    text = program.replace("HOST", "127.0.0.1").replace("PORT", str(postgresql.port))
    with asking(folder, {"sales.he": text.replace("DATABASE", database)}) as asked:
        yield asked

"""A database over programs of one test, and questions to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from heddle.database.database import Database
from heddle.database.model import DEFAULT_SETTINGS, LOCAL, Settings, Viewer


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

"""Statements over the programs of this machine, in this process."""

from __future__ import annotations

import pyarrow as pa

from heddle.database.database import Database
from heddle.database.errors import QueryError
from heddle.database.model import LOCAL, IngestMode, Settings, SqlLanguage, TableInfo, TableName
from heddle.repl.connection import Statement


class EmbeddedConnection:
    """Closes the database with itself."""

    def __init__(self, database: Database, label: str) -> None:
        self._database = database
        self.label = label
        self.catalog: str | None = database.catalog

    def tables(self) -> tuple[TableInfo, ...]:
        return self._database.tables(LOCAL)

    def describe(self, name: TableName, *, keys: bool = False) -> TableInfo:
        for info in self.tables():
            if info.name == name:
                return info
        raise QueryError("not_found", f"there is no table `{name}`")

    def prepare(self, text: str, language: SqlLanguage = "sql") -> Statement:
        return self._database.prepare(text, LOCAL, Settings(language=language))

    def ingest(self, target: TableName, rows: pa.RecordBatchReader, mode: IngestMode) -> int | None:
        with self._database.ingest(target, rows.schema, mode, LOCAL) as ingest:
            for batch in rows:
                ingest.write(batch)
            return ingest.commit()

    def cancel(self) -> None:
        """What is prepared or put in ends by itself; what runs is cancelled by its answer."""

    def close(self) -> None:
        self._database.close()

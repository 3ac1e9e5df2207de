"""`lite.insert` and `lite.upsert`: the rows of a run in one transaction."""

from __future__ import annotations

import pyarrow as pa

from fhub.fitting import Unfit, fitted
from fhub.sqlite.columns import as_values, declared_type, identifier, table_name
from fhub.sqlite.connection import Connection, Transaction
from fhub.sqlite.failures import SqliteError, told
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.sdk import Writer


class TableWriter(Writer):
    """`key`: the columns that tell the rows of an upsert apart; () for an insert."""

    def __init__(self, connection: Connection, table: str, key: tuple[str, ...], run_id: str) -> None:
        self._connection = connection
        self._table = table
        self._key = key
        self._run_id = run_id
        self._transaction: Transaction | None = None
        self._types: dict[str, tuple[pa.DataType | None, bool]] = {}

    def write(self, table: Table, context: StepContext) -> None:
        rows = table.to_arrow()
        if self._transaction is None:
            self._transaction = self._connection.transaction(self._run_id)
        transaction = self._transaction
        with transaction.lock, told(self._connection.path):
            if not self._types:
                self._types = self._columns(transaction)
            values = [as_values(self._fitted(rows, name)) for name in rows.column_names]
            transaction.database.executemany(
                _insert(self._table, rows.column_names, self._key), zip(*values, strict=True)
            )

    def commit(self) -> None:
        if self._transaction is not None:
            self._transaction = None
            self._connection.end(self._run_id, commit=True)

    def abort(self) -> None:
        if self._transaction is not None:
            self._transaction = None
            self._connection.end(self._run_id, commit=False)

    def _columns(self, transaction: Transaction) -> dict[str, tuple[pa.DataType | None, bool]]:
        schema, dot, table = self._table.rpartition(".")
        prefix = f"{identifier(schema)}." if dot else ""
        found = transaction.database.execute(f"PRAGMA {prefix}table_info({identifier(table)})").fetchall()
        if not found:
            raise SqliteError(f"SQLite ({self._connection.path}): there is no table {self._table}")
        return {name: (declared_type(type_), not null) for _, name, type_, null, *_ in found}

    def _fitted(self, rows: pa.Table, name: str) -> pa.ChunkedArray:
        if name not in self._types:
            listed = ", ".join(self._types)
            raise SqliteError(f"the table {self._table} has no column `{name}`; it has {listed}")
        for key in self._key:
            if key not in rows.column_names:
                raise SqliteError(f"`key` names `{key}`, which the rows do not have")
        values = rows.column(name)
        if name in self._key and values.null_count:
            raise SqliteError(f"column `{name}` holds nulls, and it is in `key`")
        wanted, nullable = self._types[name]
        if pa.types.is_decimal(values.type) and wanted == pa.float64():
            wanted = None  # a number that SQLite can store, or an error when it is stored
        try:
            return fitted(values, wanted if wanted is not None else values.type, nullable=nullable)
        except Unfit as error:
            raise SqliteError(f"column `{name}` of {self._table}: {error}") from error


def _insert(table: str, columns: list[str], key: tuple[str, ...]) -> str:
    listed = ", ".join(identifier(name) for name in columns)
    marks = ", ".join("?" for _ in columns)
    text = f"INSERT INTO {table_name(table)} ({listed}) VALUES ({marks})"
    if not key:
        return text
    keys = ", ".join(identifier(name) for name in key)
    sets = ", ".join(f"{identifier(n)} = excluded.{identifier(n)}" for n in columns if n not in key)
    return f"{text} ON CONFLICT ({keys}) DO {f'UPDATE SET {sets}' if sets else 'NOTHING'}"

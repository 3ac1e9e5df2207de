"""Rows into a table of a `Database`: one transaction, or where it has none one insert at the end."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from fhub.dbapi import Database, DatabaseError
from fhub.fitting import Unfit, fitted
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.sdk import Writer


class TableWriter(Writer):
    """`holds`: the database has no transactions, so rows are sent with the commit."""

    def __init__(self, database: Database, table: str, *, holds: bool = False) -> None:
        self._database = database
        self._table = table
        self._holds = holds
        self._held: list[pa.Table] = []
        self._connection: Any = None
        self._columns: dict[str, pa.DataType | None] = {}

    def write(self, table: Table, context: StepContext) -> None:
        rows = table.to_arrow()
        if not self._columns:
            self._columns = self._target()
        made = self._fitted(rows)
        if self._holds:
            self._held.append(made)
        elif made.num_rows:
            self._send(made)

    def commit(self) -> None:
        if self._held:
            whole = pa.concat_tables(self._held)
            self._held = []
            if whole.num_rows:
                self._send(whole)
        if self._connection is not None:
            if not self._holds:
                with self._database.told():
                    self._connection.commit()
            self._close()

    def abort(self) -> None:
        self._held = []
        if self._connection is not None:
            with self._database.told():
                try:
                    if not self._holds:
                        self._connection.rollback()
                finally:
                    self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        with self._database.told():
            connection.close()

    def _send(self, rows: pa.Table) -> None:
        if self._connection is None:
            with self._database.told():
                self._connection = self._database.connect(writing=True)
        dialect = self._database.dialect
        listed = ", ".join(dialect.identifier(name) for name in rows.column_names)
        text = (
            f"INSERT INTO {dialect.table(self._table)} ({listed}) VALUES ({dialect.marks(rows.num_columns)})"
        )
        with self._database.told():
            cursor = self._connection.cursor()
            try:
                if not dialect.arrow:
                    values = (column.to_pylist() for column in rows.columns)
                    cursor.executemany(text, [dialect.values(row) for row in zip(*values, strict=True)])
                elif not self._ingested(cursor, rows):
                    cursor.executemany(text, rows)
            finally:
                cursor.close()

    def _ingested(self, cursor: Any, rows: pa.Table) -> bool:
        """Whether the driver has a way of its own for many rows."""
        import adbc_driver_manager

        schema, dot, table = self._table.rpartition(".")
        try:
            cursor.adbc_ingest(table, rows, mode="append", db_schema_name=schema if dot else None)
        except adbc_driver_manager.NotSupportedError:
            return False
        return True

    def _target(self) -> dict[str, pa.DataType | None]:
        """The table's columns; with their types where the driver tells them."""
        with self._database.cursor(StepContext()) as cursor:
            found = self._told_schema(cursor) if self._database.dialect.arrow else None
            if found is None:
                cursor.execute(f"SELECT * FROM {self._database.dialect.table(self._table)} WHERE 1 = 0")
                if not self._database.dialect.arrow:
                    return {column[0]: None for column in cursor.description}
                found = cursor.fetch_arrow_table().schema
            return {field.name: field.type for field in found}

    def _told_schema(self, cursor: Any) -> pa.Schema | None:
        """What the driver says of the table; None where it says nothing."""
        import adbc_driver_manager

        schema, dot, table = self._table.rpartition(".")
        try:
            return cursor.connection.adbc_get_table_schema(table, db_schema_filter=schema if dot else None)
        except adbc_driver_manager.NotSupportedError:
            return None

    def _fitted(self, rows: pa.Table) -> pa.Table:
        columns = {}
        for name in rows.column_names:
            if name not in self._columns:
                raise DatabaseError(
                    f"the table {self._table} has no column `{name}`; it has {', '.join(self._columns)}"
                )
            values, wanted = rows.column(name), self._columns[name]
            if wanted is None or isinstance(wanted, pa.BaseExtensionType):
                wanted = values.type
            try:
                columns[name] = fitted(values, wanted)
            except Unfit as error:
                raise DatabaseError(f"column `{name}` of {self._table}: {error}") from error
        return pa.table(columns)

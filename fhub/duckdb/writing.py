"""`duck.insert` and `duck.upsert`: the rows of a run in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from fhub.duckdb.columns import identifier, table_name
from fhub.duckdb.connection import Connection
from fhub.duckdb.failures import DuckdbError, told
from fhub.fitting import Unfit, fitted
from heddle.core.record import record
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.sdk import Writer

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROWS: Final = "heddle_rows"
_NUMBER: Final = "heddle_number"


@record(frozen=True, slots=True)
class Target:
    """A table's column, with the Arrow type of its values; None where DuckDB reads them from text."""

    arrow: pa.DataType | None
    nullable: bool


class TableWriter(Writer):
    """`key`: the columns that tell the rows of an upsert apart; () for an insert."""

    def __init__(self, connection: Connection, table: str, key: tuple[str, ...]) -> None:
        self._connection = connection
        self._table = table
        self._key = key
        self._cursor: DuckDBPyConnection | None = None
        self._targets: dict[str, Target] = {}

    def write(self, table: Table, context: StepContext) -> None:
        rows = table.to_arrow()
        if self._cursor is None:
            self._cursor = self._connection.open()
            with told(self._connection.path):
                self._cursor.execute("BEGIN TRANSACTION")
                self._targets = _targets(self._cursor, self._table)
        made = self._fitted(rows)
        if rows.num_rows == 0:
            return
        with told(self._connection.path):
            if self._key:
                numbers = pa.array(range(made.num_rows), pa.int64())
                self._cursor.register(_ROWS, made.append_column(_NUMBER, numbers))
                self._cursor.execute(_merge(self._table, made.column_names, self._key))
            else:
                self._cursor.register(_ROWS, made)
                listed = ", ".join(identifier(name) for name in made.column_names)
                self._cursor.execute(
                    f"INSERT INTO {table_name(self._table)} ({listed}) SELECT {listed} FROM {_ROWS}"
                )
            self._cursor.unregister(_ROWS)

    def commit(self) -> None:
        if self._cursor is not None:
            with told(self._connection.path):
                self._cursor.execute("COMMIT")
            self._cursor.close()
            self._cursor = None

    def abort(self) -> None:
        # Closing rolls back.
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def _fitted(self, rows: pa.Table) -> pa.Table:
        for name in self._key:
            if name not in rows.column_names:
                raise DuckdbError(f"`key` names `{name}`, which the rows do not have")
            if rows.column(name).null_count:
                raise DuckdbError(f"column `{name}` holds nulls, and it is in `key`")
        columns = {}
        for name in rows.column_names:
            if name not in self._targets:
                raise DuckdbError(
                    f"the table {self._table} has no column `{name}`; it has {', '.join(self._targets)}"
                )
            target, values = self._targets[name], rows.column(name)
            wanted = target.arrow if target.arrow is not None else values.type
            try:
                columns[name] = fitted(values, wanted, nullable=target.nullable)
            except Unfit as error:
                raise DuckdbError(f"column `{name}` of {self._table}: {error}") from error
        return pa.table(columns)


def _targets(cursor: DuckDBPyConnection, table: str) -> dict[str, Target]:
    described = cursor.execute(f"DESCRIBE {table_name(table)}").fetchall()
    empty = cursor.sql(f"SELECT * FROM {table_name(table)} LIMIT 0").to_arrow_table().schema
    targets: dict[str, Target] = {}
    for (name, type_, null, *_), field in zip(described, empty, strict=True):
        scalar = type_.startswith(("UUID", "ENUM", "JSON", "INTERVAL", "BIT", "UNION", "MAP", "TIME WITH"))
        huge = type_ in ("HUGEINT", "UHUGEINT")
        arrow = None if scalar or huge else field.type
        targets[name] = Target(arrow, null == "YES")
    return targets


def _merge(table: str, columns: list[str], key: tuple[str, ...]) -> str:
    """Of several rows with one key the last counts."""
    others = [name for name in columns if name not in key]
    keys = ", ".join(identifier(name) for name in key)
    listed = ", ".join(identifier(name) for name in columns)
    on = " AND ".join(f"heddle_old.{identifier(n)} = heddle_new.{identifier(n)}" for n in key)
    sets = ", ".join(f"{identifier(n)} = heddle_new.{identifier(n)}" for n in others)
    values = ", ".join(f"heddle_new.{identifier(name)}" for name in columns)
    update = f"WHEN MATCHED THEN UPDATE SET {sets} " if others else ""
    return (
        f"MERGE INTO {table_name(table)} AS heddle_old USING (SELECT * FROM {_ROWS} QUALIFY "
        f"row_number() OVER (PARTITION BY {keys} ORDER BY {_NUMBER} DESC) = 1) AS heddle_new ON {on} "
        f"{update}WHEN NOT MATCHED THEN INSERT ({listed}) VALUES ({values})"
    )

"""Writers of tables: rows go in by COPY; those that need a cast or replace others, by a temporary table."""

from __future__ import annotations

from abc import abstractmethod
from itertools import count

import pyarrow as pa

from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.fitting import Fitted, fitted
from fhub.postgresql.session import Session
from fhub.postgresql.statements import identifier
from fhub.postgresql.tables import CatalogTable, looked_up
from fhub.postgresql.transactions import Transaction
from heddle.sdk import StepContext, Table, Writer

_ROW = "@row"
_STAGES = count(1)


class TransactionWriter(Writer):
    """A writer of one transaction. A subclass says what it does with a batch."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._stage = Stage()
        self._rows = 0

    def write(self, table: Table, context: StepContext) -> None:
        if not table.num_rows:
            return
        self._transaction.write(lambda session: self.put(session, table.to_arrow(), context), context)
        self._rows += table.num_rows
        context.progress(self._rows)

    def commit(self) -> None:
        self._transaction.commit()

    def abort(self) -> None:
        self._transaction.abort()

    @abstractmethod
    def put(self, session: Session, rows: pa.Table, context: StepContext) -> None:
        """Write one batch in the transaction of the session."""


class Inserter(TransactionWriter):
    """Adds the rows."""

    def __init__(self, transaction: Transaction, table: str) -> None:
        super().__init__(transaction)
        self._table = table
        self._target: CatalogTable | None = None

    def put(self, session: Session, rows: pa.Table, context: StepContext) -> None:
        target = self._target = self._target or looked_up(session, self._table)
        columns = fitted(rows, target)
        if any(column.cast for column in columns):
            stage = self._stage.filled(session, columns)
            listed = ", ".join(identifier(column.target.name) for column in columns)
            _move(
                session,
                columns,
                f"INSERT INTO {target.written} ({listed}) SELECT {cast_columns(columns)} FROM {stage} "
                f'ORDER BY "{_ROW}"',
            )
        else:
            session.copy_in(_arrow(columns), target.name, target.schema)


class Upserter(TransactionWriter):
    """Adds the rows, or replaces those with the same key; of several rows with one key the last stays."""

    def __init__(self, transaction: Transaction, table: str, key: list[str]) -> None:
        super().__init__(transaction)
        if not key:
            raise PostgresqlError("`key` names at least one column")
        self._table = table
        self._key = key
        self._target: CatalogTable | None = None

    def put(self, session: Session, rows: pa.Table, context: StepContext) -> None:
        target = self._target = self._target or looked_up(session, self._table)
        columns = fitted(rows, target)
        names = [column.target.name for column in columns]
        for name in self._key:
            if name not in names:
                raise PostgresqlError(
                    f"the key column `{name}` is not in the input, which has {', '.join(names)}"
                )
            if rows.column(name).null_count:
                raise PostgresqlError(f"the key column `{name}` has nulls, and a null is no key")
        stage = self._stage.filled(session, columns)
        listed = ", ".join(map(identifier, names))
        key = ", ".join(map(identifier, self._key))
        changed = ", ".join(
            f"{identifier(name)} = EXCLUDED.{identifier(name)}" for name in names if name not in self._key
        )
        _move(
            session,
            columns,
            f"INSERT INTO {target.written} ({listed}) "
            f"SELECT {listed} FROM (SELECT DISTINCT ON ({key}) * "
            f'FROM (SELECT {cast_columns(columns)}, "{_ROW}" FROM {stage}) AS cast_rows '
            f'ORDER BY {key}, "{_ROW}" DESC) AS last_rows '
            f"ON CONFLICT ({key}) DO {f'UPDATE SET {changed}' if changed else 'NOTHING'}",
        )


class Stage:
    """A temporary table for the batches of one writer, one after the other. It goes with the transaction."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._kinds = ""
        self._name = ""

    def filled(self, session: Session, columns: list[Fitted]) -> str:
        """The rows, numbered in their order in "@row"; gives the table's name as a statement may hold it."""
        kinds = ", ".join(f"{identifier(column.target.name)} {column.staged_type}" for column in columns)
        if session is self._session and kinds == self._kinds:
            session.run(f"TRUNCATE pg_temp.{self._name}")
        else:
            self._session, self._kinds, self._name = session, kinds, f"heddle_rows_{next(_STAGES)}"
            session.run(
                f'CREATE TEMPORARY TABLE {self._name} ({kinds}, "{_ROW}" int8 GENERATED ALWAYS AS IDENTITY) '
                "ON COMMIT DROP"
            )
        session.copy_in(_arrow(columns), self._name, None)
        return f"pg_temp.{self._name}"


def cast_columns(columns: list[Fitted]) -> str:
    """The columns of a staged table with the types of the table that they are for."""
    return ", ".join(
        f"{identifier(column.target.name)}::{column.cast} AS {identifier(column.target.name)}"
        if column.cast
        else identifier(column.target.name)
        for column in columns
    )


def _move(session: Session, columns: list[Fitted], statement: str) -> None:
    """From a staged table into its own. The server does not say which text it could not cast."""
    try:
        session.run(statement)
    except PostgresqlError as error:
        names = [f"`{column.target.name}`" for column in columns if column.cast]
        if not names or not error.sqlstate.startswith("22"):
            raise
        where = f"column {names[0]}" if len(names) == 1 else f"one of the columns {', '.join(names)}"
        raise PostgresqlError(f"{where}: {error}", error.sqlstate) from None


def _arrow(columns: list[Fitted]) -> pa.Table:
    return pa.table([column.values for column in columns], names=[column.target.name for column in columns])

"""Commands, carried out: what changes kept tables, ends statements, or tells of the catalog.

A command is done once, when its statement runs; its answer has the number of rows or the rows that it tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa

from heddle.core.record import record
from heddle.core.types import type_name
from heddle.database import commands
from heddle.database.catalog import SHOWN_TABLES, Catalog, schema_of_tables
from heddle.database.errors import QueryError
from heddle.database.model import SCRATCH_SCHEMA, Settings, TableInfo, TableName, Viewer
from heddle.database.rewriting_sql import delete_query, insert_columns, insert_query, update_query
from heddle.database.statements import NamedTable, Place
from heddle.database.targets import writable_table

if TYPE_CHECKING:
    from heddle.database.kept_tables import KeptTables
    from heddle.database.materialized import MaterializedOutputs
    from heddle.database.policy import Policy
    from heddle.database.registry import Queries
    from heddle.physical.result_cache import ResultCache

DESCRIBED: Final = pa.schema(
    [("column_name", pa.string()), ("data_type", pa.string()), ("is_nullable", pa.string())]
)
SHOWN_SCHEMAS: Final = pa.schema([("schema_name", pa.string())])
NOTHING: Final = pa.schema([])


class InnerRows(Protocol):
    """Rows of a command's query, while they come."""

    schema: pa.Schema

    def batches(self) -> Iterator[pa.RecordBatch]: ...


@record(frozen=True, slots=True)
class Done:
    """`rows_updated` for a change, `table` for what tells rows."""

    rows_updated: int | None = None
    table: pa.Table | None = None


@record(frozen=True, slots=True)
class Executor:
    """What commands work on, for one viewer and transaction. `query` runs a command's query."""

    catalog: Catalog
    scratch: KeptTables
    materialized: MaterializedOutputs
    queries: Queries
    cache: ResultCache | None
    policy: Policy | None
    viewer: Viewer
    settings: Settings
    transaction: str | None
    query: Callable[[str], AbstractContextManager[InnerRows]]

    def run(self, command: commands.Command) -> Done:
        """Raises `QueryError`."""
        match command:
            case commands.CreateTable() | commands.CreateTableAs() | commands.DropTable():
                return Done(self._define(command))
            case commands.Insert() | commands.Update() | commands.Delete() | commands.Truncate():
                return Done(self._change(command))
            case commands.RenameTable(table=parts, new_name=new_name):
                name = self._writable(parts)
                self._writable((SCRATCH_SCHEMA, new_name), creates=True)
                self.scratch.rename(name, new_name, self.transaction)
                return Done(0)
            case commands.Refresh(table=parts):
                info = self._info(parts)
                check_may_write(self.policy, self.viewer, info.name)
                return Done(self.materialized.refresh(f"{info.name.schema}.{info.name.name}"))
            case commands.Kill(query_id=query_id):
                self.queries.cancel(query_id, self.viewer)
                return Done(0)
            case commands.ClearResultCache():
                return Done(self._clear_cache())
            case commands.ShowTables(schema=schema):
                seen = [each.info for each in self.catalog.seen(self.viewer, self.transaction)]
                return Done(table=schema_of_tables([i for i in seen if schema in (None, i.name.schema)]))
            case commands.ShowSchemas():
                names = {each.info.name.schema for each in self.catalog.seen(self.viewer, self.transaction)}
                return Done(table=pa.table({"schema_name": sorted(names)}, schema=SHOWN_SCHEMAS))
            case commands.Describe(table=parts):
                return Done(table=_described(self._info(parts)))
            case commands.TransactionWord(word=word):
                raise QueryError(
                    "unsupported",
                    f"`{word.upper()}` is no statement here",
                    help="begin and end transactions with your driver: switch its autocommit off",
                )

    def _clear_cache(self) -> int:
        """How many results there were."""
        if not self.viewer.admin:
            raise QueryError(
                "denied", f"{self.viewer.name} may not clear the result cache", help="ask an admin"
            )
        if self.cache is None:
            raise QueryError(
                "unsupported",
                "there is no result cache",
                help='write `result_cache = "256MB"` below [serve] in heddle.toml',
            )
        return self.cache.clear().count

    def _define(self, command: commands.CreateTable | commands.CreateTableAs | commands.DropTable) -> int:
        name = self._writable(command.table, creates=not isinstance(command, commands.DropTable))
        if isinstance(command, commands.DropTable):
            self.scratch.drop(name, self.transaction, missing_ok=command.if_exists)
            return 0
        there = any(table.name == name for table in self.scratch.tables(self.transaction))
        if there and command.if_not_exists:
            return 0
        mode: Final = "replace" if command.or_replace else "create"
        if isinstance(command, commands.CreateTable):
            with self.scratch.ingest(name, command.schema, mode, self.transaction) as ingest:
                return ingest.commit()
        with (
            self.query(command.query.sql) as rows,
            self.scratch.ingest(name, rows.schema, mode, self.transaction) as ingest,
        ):
            for batch in rows.batches():
                ingest.write(batch)
            return ingest.commit()

    def _change(
        self, command: commands.Insert | commands.Update | commands.Delete | commands.Truncate
    ) -> int:
        name = self._writable(command.table)
        match command:
            case commands.Insert():
                columns = insert_columns(command, self.scratch.table(name, self.transaction).schema)
                with self.query(insert_query(command)) as rows:
                    _check_count(rows.schema, columns)
                    with self.scratch.ingest(
                        name, rows.schema, "append", self.transaction, columns=columns
                    ) as ingest:
                        for batch in rows.batches():
                            ingest.write(batch)
                        return ingest.commit()
            case commands.Truncate():
                return self.scratch.truncate(name, self.transaction)
            case commands.Update() | commands.Delete():
                self._check_whole(name)
                with self.scratch.rewrite(name, self.transaction) as rewriting:
                    schema = rewriting.reading.table.schema
                    if isinstance(command, commands.Update):
                        text = update_query(command, schema)
                    else:
                        text = delete_query(command, schema)
                    with self.query(text) as rows:
                        for batch in rows.batches():
                            rewriting.write(batch)
                    return rewriting.commit()

    def _writable(self, parts: tuple[str, ...], *, creates: bool = False) -> str:
        """The table's name in the scratch schema, where the viewer may write. Raises `QueryError`."""
        if not creates and len(parts) > 1 and parts[-2] != SCRATCH_SCHEMA:
            full = self._info(parts).name
            parts = (full.catalog, full.schema, full.name)
        name = self.scratch.named(writable_table(parts, self.catalog.name), self.transaction)
        full = TableName(self.catalog.name, SCRATCH_SCHEMA, name)
        check_may_write(self.policy, self.viewer, full)
        return name

    def _check_whole(self, name: str) -> None:
        """Rows that a viewer does not see must not be lost when the others are put in place of all."""
        named = NamedTable((SCRATCH_SCHEMA, name), Place(0, 0), None)
        if self.catalog.find(named, self.viewer, self.settings, self.transaction).rules is not None:
            what = f"`{SCRATCH_SCHEMA}.{name}`"
            raise QueryError("denied", f"{self.viewer.name} does not see all rows and values of {what}")

    def _info(self, parts: tuple[str, ...]) -> TableInfo:
        named = NamedTable(parts, Place(0, 0), None)
        return self.catalog.find(named, self.viewer, self.settings, self.transaction).info


def check_may_write(policy: Policy | None, viewer: Viewer, name: TableName) -> None:
    """Raises `QueryError`."""
    if policy is None or policy.may_write(viewer, name):
        return
    raise QueryError(
        "denied", f"{viewer.name} may not write `{name.schema}.{name.name}`", help="ask who serves it"
    )


def answer_schema(command: commands.Command) -> pa.Schema:
    """The columns of what a command tells; none for one that changes something."""
    match command:
        case commands.ShowTables():
            return SHOWN_TABLES
        case commands.ShowSchemas():
            return SHOWN_SCHEMAS
        case commands.Describe():
            return DESCRIBED
        case _:
            return NOTHING


def writes_tables(command: commands.Command) -> bool:
    reading = (
        commands.Kill,
        commands.ClearResultCache,
        commands.ShowTables,
        commands.ShowSchemas,
        commands.Describe,
    )
    return not isinstance(command, reading)


def inner_text(command: commands.Command, schema_of: Callable[[tuple[str, ...]], pa.Schema]) -> str | None:
    """The query of a command, which has its parameters; `schema_of` gives the columns of a table that it
    changes. Raises `QueryError`."""
    match command:
        case commands.CreateTableAs(query=query):
            return query.sql
        case commands.Insert():
            return insert_query(command)
        case commands.Update():
            return update_query(command, schema_of(command.table))
        case commands.Delete():
            return delete_query(command, schema_of(command.table))
        case _:
            return None


def target_of(
    command: commands.Command, schema_of: Callable[[tuple[str, ...]], pa.Schema]
) -> pa.Schema | None:
    """The columns of the table that a command puts values into. Raises `QueryError`."""
    match command:
        case commands.Insert(table=parts) | commands.Update(table=parts):
            return schema_of(parts)
        case _:
            return None


def _check_count(schema: pa.Schema, columns: Sequence[str]) -> None:
    if len(schema) != len(columns):
        raise QueryError(
            "invalid", f"{len(columns)} columns are to be filled, and the query has {len(schema)}"
        )


def _described(info: TableInfo) -> pa.Table:
    return pa.table(
        {
            "column_name": info.schema.names,
            "data_type": [type_name(field.type) for field in info.schema],
            "is_nullable": ["YES" if field.nullable else "NO" for field in info.schema],
        },
        schema=DESCRIBED,
    )

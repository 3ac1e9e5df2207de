"""What a client may ask besides queries, as data. `dml.read_command` makes these of a statement's text.

Names of tables have one to three parts, in small letters where they had no quotes; `None` for a column list
means all columns of the table.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import pyarrow as pa

from heddle.core.record import record

TableParts: TypeAlias = tuple[str, ...]


@record(frozen=True, slots=True)
class InnerText:
    """A part of the client's text, word for word; `start` is where in the text it begins."""

    sql: str
    start: int


@record(frozen=True, slots=True)
class CreateTable:
    table: TableParts
    schema: pa.Schema
    if_not_exists: bool = False
    or_replace: bool = False


@record(frozen=True, slots=True)
class CreateTableAs:
    table: TableParts
    query: InnerText
    if_not_exists: bool = False
    or_replace: bool = False


@record(frozen=True, slots=True)
class Insert:
    """`values`: the query is a list of rows, `VALUES (…), …`."""

    table: TableParts
    columns: tuple[str, ...] | None
    query: InnerText
    values: bool = False


@record(frozen=True, slots=True)
class Assignment:
    column: str
    value: InnerText


@record(frozen=True, slots=True)
class Update:
    """`alias` is what the statement calls the table, if not by its name."""

    table: TableParts
    alias: str | None
    assignments: tuple[Assignment, ...]
    where: InnerText | None


@record(frozen=True, slots=True)
class Delete:
    table: TableParts
    alias: str | None
    where: InnerText | None


@record(frozen=True, slots=True)
class Truncate:
    table: TableParts


@record(frozen=True, slots=True)
class DropTable:
    table: TableParts
    if_exists: bool = False


@record(frozen=True, slots=True)
class RenameTable:
    table: TableParts
    new_name: str


@record(frozen=True, slots=True)
class Refresh:
    """Compute a materialized output anew."""

    table: TableParts


@record(frozen=True, slots=True)
class Kill:
    query_id: str


@record(frozen=True, slots=True)
class ClearResultCache:
    pass


@record(frozen=True, slots=True)
class ShowTables:
    """`schema`: only those of one; None: of all."""

    schema: str | None = None


@record(frozen=True, slots=True)
class ShowSchemas:
    pass


@record(frozen=True, slots=True)
class Describe:
    table: TableParts


@record(frozen=True, slots=True)
class TransactionWord:
    """`BEGIN`, `COMMIT` or `ROLLBACK` as text. Transactions are begun and ended by the client's driver, which
    says of each statement which transaction it belongs to."""

    word: Literal["begin", "commit", "rollback"]


Command: TypeAlias = (
    CreateTable
    | CreateTableAs
    | Insert
    | Update
    | Delete
    | Truncate
    | DropTable
    | RenameTable
    | Refresh
    | Kill
    | ClearResultCache
    | ShowTables
    | ShowSchemas
    | Describe
    | TransactionWord
)

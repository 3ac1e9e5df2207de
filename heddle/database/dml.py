"""A statement's text -> the command that it is; None for a query.

Only the head of a statement is read here: queries, predicates and values in it stay the client's own text,
which DataFusion reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from heddle.database import commands
from heddle.database.column_types import column_schema
from heddle.database.commands import Command, InnerText, TableParts
from heddle.database.errors import QueryError
from heddle.database.sql_words import Words, words_of

_FIRST_WORD: Final = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*+([A-Za-z]+)"
_CONSTRAINTS: Final = ("PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "CONSTRAINT", "EXCLUDE")
_COLUMN_CONSTRAINTS: Final = (
    "PRIMARY",
    "UNIQUE",
    "REFERENCES",
    "CHECK",
    "DEFAULT",
    "GENERATED",
    "COLLATE",
    "CONSTRAINT",
)
_COLUMN_HELP: Final = "columns have a name, a type and perhaps NOT NULL"
_AFTER_ROWS: Final = ("RETURNING", "ON")


def read_command(text: str) -> Command | None:
    """Raises `QueryError` for a command that cannot be read, or that there is not."""
    found = re.match(_FIRST_WORD, text, re.DOTALL)
    read = _COMMANDS.get(found[1].upper()) if found is not None else None
    if read is None:
        return None
    words = words_of(text)
    words.next()
    return read(words)


def _create(words: Words) -> Command:
    or_replace = words.take("OR", "REPLACE")
    words.take("TEMP") or words.take("TEMPORARY")
    if not words.take("TABLE"):
        _unsupported(f"CREATE {words.shown()}", "tables are what can be created here")
    if_not_exists = words.take("IF", "NOT", "EXISTS")
    if or_replace and if_not_exists:
        _unsupported("OR REPLACE with IF NOT EXISTS", "write one of them")
    table = _table(words)
    if words.take("AS"):
        query = words.rest("a query")
        return commands.CreateTableAs(table, query, if_not_exists, or_replace)
    columns = _column_definitions(words)
    if words.take("AS"):
        _unsupported("a list of columns before AS", "the columns are those of the query: name them there")
    words.expect_end()
    return commands.CreateTable(table, column_schema(columns), if_not_exists, or_replace)


def _column_definitions(words: Words) -> list[tuple[str, str, bool]]:
    """The name of each column, its type as text, and whether it may be null."""
    words.expect("(")
    columns: list[tuple[str, str, bool]] = []
    while True:
        if words.is_one_of(_CONSTRAINTS):
            _unsupported(f"the constraint {words.shown()}", _COLUMN_HELP)
        name = words.name("the name of a column")
        type_ = words.until((",", ")", "NOT", "NULL", *_COLUMN_CONSTRAINTS), "the type of a column")
        nullable = True
        if words.take("NOT"):
            words.expect("NULL")
            nullable = False
        else:
            words.take("NULL")
        if words.is_one_of(_COLUMN_CONSTRAINTS):
            _unsupported(f"{words.shown()} of the column `{name}`", _COLUMN_HELP)
        columns.append((name, type_.sql, nullable))
        if not words.take(","):
            break
    words.expect(")")
    return columns


def _insert(words: Words) -> Command:
    words.expect("INTO")
    table = _table(words)
    columns = _columns(words) if words.is_one_of(("(",)) and not words.opens_query() else None
    if words.is_one_of(("DEFAULT", "OVERRIDING")):
        _unsupported(f"INSERT with {words.shown()}", "name the columns that get values")
    values = words.is_one_of(("VALUES",))
    query = words.until(_AFTER_ROWS, "a query or VALUES") if values else words.rest("a query or VALUES")
    if values and not words.at_end:
        _unsupported(f"INSERT with {words.shown()}", "write INSERT INTO table [(columns)] query")
    return commands.Insert(table, columns, query, values)


def _columns(words: Words) -> tuple[str, ...]:
    words.expect("(")
    columns = [words.name("the name of a column")]
    while words.take(","):
        columns.append(words.name("the name of a column"))
    words.expect(")")
    return tuple(columns)


def _update(words: Words) -> Command:
    words.take("ONLY")
    table = _table(words)
    alias = _alias(words, ("SET",))
    words.expect("SET")
    assignments: list[commands.Assignment] = []
    while True:
        if words.is_one_of(("(",)):
            _unsupported("SET with a list of columns", "write `a = 1, b = 2`")
        column = words.name("the name of a column")
        words.expect("=")
        value = words.until((",", "WHERE", "FROM", "RETURNING"), f"a value for `{column}`")
        assignments.append(commands.Assignment(column, value))
        if not words.take(","):
            break
    where = _where(words, "UPDATE", ("FROM",))
    return commands.Update(table, alias, tuple(assignments), where)


def _delete(words: Words) -> Command:
    words.expect("FROM")
    words.take("ONLY")
    table = _table(words)
    alias = _alias(words, ("WHERE", "USING", "RETURNING"))
    return commands.Delete(table, alias, _where(words, "DELETE", ("USING", "ORDER", "LIMIT")))


def _where(words: Words, of: str, others: tuple[str, ...]) -> InnerText | None:
    where = words.until(("RETURNING",), "a condition") if words.take("WHERE") else None
    if words.is_one_of((*others, "RETURNING")):
        _unsupported(f"{of} with {words.shown()}", "a condition may have a subquery: WHERE id IN (SELECT …)")
    words.expect_end()
    return where


def _alias(words: Words, ends: tuple[str, ...]) -> str | None:
    if words.take("AS") or not (words.at_end or words.is_one_of(ends)):
        return words.name("a name for the table")
    return None


def _truncate(words: Words) -> Command:
    words.take("TABLE")
    table = _table(words)
    words.expect_end()
    return commands.Truncate(table)


def _drop(words: Words) -> Command:
    if not words.take("TABLE"):
        _unsupported(f"DROP {words.shown()}", "tables are what can be dropped here")
    if_exists = words.take("IF", "EXISTS")
    table = _table(words)
    words.expect_end()
    return commands.DropTable(table, if_exists)


def _alter(words: Words) -> Command:
    words.expect("TABLE")
    table = _table(words)
    if not words.take("RENAME"):
        _unsupported(f"ALTER TABLE with {words.shown()}", "write ALTER TABLE name RENAME TO new_name")
    words.expect("TO")
    new = words.name("the new name")
    words.expect_end()
    return commands.RenameTable(table, new)


def _refresh(words: Words) -> Command:
    words.take("MATERIALIZED", "VIEW") or words.take("TABLE") or words.take("OUTPUT")
    table = _table(words)
    words.expect_end()
    return commands.Refresh(table)


def _kill(words: Words) -> Command:
    words.take("QUERY")
    query_id = words.name_or_text("the id of a query, as system.queries has it")
    words.expect_end()
    return commands.Kill(query_id)


def _clear(words: Words) -> Command:
    if not words.take("RESULT", "CACHE"):
        _unsupported(f"CLEAR {words.shown()}", "there is CLEAR RESULT CACHE")
    words.expect_end()
    return commands.ClearResultCache()


def _show(words: Words) -> Command:
    if words.take("TABLES"):
        schema = None
        if words.take("FROM") or words.take("IN"):
            schema = words.name("the name of a schema")
        words.expect_end()
        return commands.ShowTables(schema)
    if words.take("SCHEMAS") or words.take("DATABASES"):
        words.expect_end()
        return commands.ShowSchemas()
    if words.take("COLUMNS"):
        if not (words.take("FROM") or words.take("IN")):
            words.expect("FROM")
        return _described(words)
    _unsupported(f"SHOW {words.shown()}", "there are SHOW TABLES, SHOW SCHEMAS and SHOW COLUMNS FROM table")


def _describe(words: Words) -> Command:
    words.take("TABLE")
    return _described(words)


def _described(words: Words) -> Command:
    table = _table(words)
    words.expect_end()
    return commands.Describe(table)


def _begin(words: Words) -> Command:
    return commands.TransactionWord("begin")


def _commit(words: Words) -> Command:
    return commands.TransactionWord("commit")


def _rollback(words: Words) -> Command:
    return commands.TransactionWord("rollback")


def _table(words: Words) -> TableParts:
    parts = [words.name("the name of a table")]
    while words.take("."):
        parts.append(words.name("the name of a table"))
    if len(parts) > 3:
        raise QueryError("invalid", f"a table's name has three parts at most, `{'.'.join(parts)}` has more")
    return tuple(parts)


def _unsupported(what: str, help: str) -> NoReturn:
    raise QueryError("unsupported", f"{what} is not there", help=help)


_COMMANDS: Final[Mapping[str, Callable[[Words], Command]]] = {
    "CREATE": _create,
    "INSERT": _insert,
    "UPDATE": _update,
    "DELETE": _delete,
    "TRUNCATE": _truncate,
    "DROP": _drop,
    "ALTER": _alter,
    "REFRESH": _refresh,
    "KILL": _kill,
    "CLEAR": _clear,
    "SHOW": _show,
    "DESCRIBE": _describe,
    "DESC": _describe,
    "BEGIN": _begin,
    "START": _begin,
    "COMMIT": _commit,
    "END": _commit,
    "ROLLBACK": _rollback,
    "ABORT": _rollback,
}

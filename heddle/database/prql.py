"""PRQL over a catalog's tables -> SQL, by the compiler of programs: the same functions, the same messages.

Each table that the text names goes into a common table expression under its name, so that the compiled query
reads it from there and the catalog finds it by its full name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from heddle.core.planning import quoted
from heddle.core.types import row_of_schema
from heddle.database.errors import PlacedError
from heddle.database.model import TableInfo, TableName
from heddle.diagnostics import Source, Span, did_you_mean
from heddle.frontend import ast
from heddle.frontend.prql.compiler import QueryCompiler
from heddle.frontend.prql.request import FailedQuery, QueryRequest

_RESULT = "result"


def to_sql(
    text: str, tables: Iterable[TableInfo], describe: Callable[[TableInfo], TableInfo] = lambda info: info
) -> str:
    """`describe` gives a table's columns with their types, where `tables` have none. Raises `QueryError`."""
    tables = tuple(tables)
    _check_beginning(text)
    read = _read_tables(text, tables)
    compiler = QueryCompiler()
    for info in {info.name: info for info in read.values()}.values():
        compiler.declare(_key(info.name), row_of_schema(describe(info).schema))
    query = ast.Query(text, Span(0, len(text)), Span(0, len(text)))
    relations = {written: _key(info.name) for written, info in read.items()}
    request = QueryRequest(_RESULT, query, Source("statement", text), None, relations)
    result = compiler.compile([request])[_RESULT]
    if isinstance(result, FailedQuery):
        raise _refused(result, tables)
    names = {_key(info.name): info.name for info in read.values()}
    return _with_tables(result.sql, {key: names[key] for key in result.inputs})


def _check_beginning(text: str) -> None:
    """Rows written in a text are what no catalog has."""
    if found := re.match(r"(?:\s|#[^\n]*\n)*(\[)", text):
        place = Span(found.start(1), found.end(1))
        help = "such as `from orders | take 5`"
        raise PlacedError("invalid", "a query begins with a table", place, help=help)


def _refused(failed: FailedQuery, tables: Iterable[TableInfo]) -> PlacedError:
    """What the compiler of programs calls a relation is a table here."""
    first = failed.diagnostics[0]
    found = re.fullmatch(r"there is no relation `(.*)`", first.message)
    if found is None:
        return PlacedError("invalid", first.message, first.span, help=first.help)
    near = did_you_mean(found[1].rpartition(".")[2], [info.name.name for info in tables])
    help = f"did you mean `{near}`?" if near else None
    return PlacedError("not_found", f"there is no table `{found[1]}`", first.span, help=help)


def _read_tables(text: str, tables: Iterable[TableInfo]) -> Mapping[str, TableInfo]:
    """The tables whose names are in the text, by the name alone where only one has it, and by
    `schema.name`."""
    words = {found.strip("`") for found in re.findall(r"`[^`]*`|\w+", text)}
    found = [info for info in tables if info.name.name in words]
    alone: dict[str, list[TableInfo]] = {}
    for info in found:
        alone.setdefault(info.name.name, []).append(info)
    return {f"{info.name.schema}.{info.name.name}": info for info in found} | {
        name: infos[0] for name, infos in alone.items() if len(infos) == 1
    }


def _key(name: TableName) -> str:
    return f"{name.schema}.{name.name}"


def _with_tables(sql: str, names: Mapping[str, TableName]) -> str:
    tables = [
        f"{quoted(key)} AS (SELECT * FROM {'.'.join(map(quoted, (n.catalog, n.schema, n.name)))})"
        for key, n in names.items()
    ]
    if not tables:
        return sql
    if sql.startswith("WITH RECURSIVE "):
        return f"WITH RECURSIVE {', '.join(tables)}, {sql.removeprefix('WITH RECURSIVE ')}"
    if sql.startswith("WITH "):
        return f"WITH {', '.join(tables)}, {sql.removeprefix('WITH ')}"
    return f"WITH {', '.join(tables)} {sql}"

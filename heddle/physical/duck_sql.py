"""A fragment's SQL as DuckDB runs it, over the tables of a cursor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from heddle.core.planning import quoted
from heddle.core.record import record
from heddle.logical.plan import Fragment
from heddle.logical.sql import fragment_sql

_NAME: Final = r'"(?:[^"]|"")*"'
_AVERAGE: Final = rf"""AVG\(CAST\((?P<of>(?:{_NAME}\.)?{_NAME}) AS DOUBLE\)\)|{_NAME}|'(?:[^']|'')*'"""
"""An average that casts a column, or a name or a text, in which nothing is one."""


@record(frozen=True, slots=True)
class DuckTable:
    """What a relation of the SQL reads: a table or a table function, with the values of its parameters."""

    relation: str
    source: str
    values: tuple[object, ...] = ()


def parquet_table(relation: str, files: Iterable[Path]) -> DuckTable:
    return DuckTable(relation, "read_parquet(?, union_by_name => true)", ([str(file) for file in files],))


def stream_name(relation: str) -> str:
    """The name under which a relation's Arrow data is registered: none that a file or a query has."""
    return f"input {relation}"


def stream_table(relation: str) -> DuckTable:
    return DuckTable(relation, quoted(stream_name(relation)))


def duckdb_sql(fragment: Fragment, tables: Sequence[DuckTable]) -> str:
    """The fragment's SQL over its tables, with its columns and limit; parameters are in the tables' order."""
    text = _with_own_averages(fragment_sql(fragment))
    if fragment.columns is not None:
        text = f"SELECT {', '.join(quoted(name) for name in fragment.columns)} FROM ({text})"
    if fragment.limit is not None:
        text = f"SELECT * FROM ({text}) LIMIT {fragment.limit}"
    sources = [f"{quoted(t.relation)} AS NOT MATERIALIZED (SELECT * FROM {t.source})" for t in tables]
    return f"WITH {', '.join(sources)} SELECT * FROM ({text})" if sources else text


def values_of(tables: Iterable[DuckTable]) -> list[object]:
    return [value for table in tables for value in table.values]


def _with_own_averages(sql: str) -> str:
    """DuckDB's average of a number of any type is a float, and of a decimal it shares the exact sum."""
    return re.sub(_AVERAGE, lambda m: f"AVG({m['of']})" if m["of"] else m[0], sql)

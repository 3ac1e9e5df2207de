"""The words that can be completed: keywords and functions of the languages, tables and columns of a
connection."""

from __future__ import annotations

from functools import cache
from typing import Final

from heddle.core.record import record
from heddle.database.model import Language, TableInfo

_SQL_TEXT: Final = """
    ALL AND ANTI ANY AS ASC BETWEEN BY CASE CAST CREATE CROSS DELETE DESC DESCRIBE DISTINCT DROP ELSE END
    EXCEPT EXISTS EXPLAIN FALSE FILTER FIRST FROM FULL GROUP HAVING ILIKE IN INNER INSERT INTERSECT
    INTERVAL INTO IS JOIN LAST LEFT LIKE LIMIT NATURAL NOT NULL NULLS OFFSET ON OR ORDER OUTER OVER
    PARTITION RECURSIVE RIGHT ROWS SELECT SEMI SET TABLE THEN TRUE UNBOUNDED UNION UPDATE USING VALUES
    VIEW WHEN WHERE WINDOW WITH
"""
_PRQL_TEXT: Final = """
    aggregate append case derive false filter from group into join let loop null prql select side sort
    take this that true window
"""
_PRQL_FUNCTIONS_TEXT: Final = """
    average count count_distinct first last lag lead max min rank row_number stddev sum text.contains
    text.ends_with text.length text.lower text.replace text.starts_with text.trim text.upper math.abs
    math.ceil math.exp math.floor math.ln math.pow math.round math.sqrt
"""
SQL_KEYWORDS: Final = tuple(_SQL_TEXT.split())
PRQL_KEYWORDS: Final = tuple(_PRQL_TEXT.split())
KEYWORDS: Final[dict[Language, frozenset[str]]] = {
    "sql": frozenset(SQL_KEYWORDS),
    "duckdb": frozenset(SQL_KEYWORDS),
    "prql": frozenset(word.upper() for word in PRQL_KEYWORDS),
}


@record(frozen=True, slots=True)
class Vocabulary:
    language: Language
    tables: tuple[TableInfo, ...]
    parameters: tuple[str, ...]


def keywords(language: Language) -> tuple[str, ...]:
    return PRQL_KEYWORDS if language == "prql" else SQL_KEYWORDS


@cache
def functions(language: Language) -> tuple[str, ...]:
    """Those of DataFusion's dialect or of DuckDB's, which an endpoint of Heddle has too; or those of PRQL."""
    if language == "prql":
        return tuple(_PRQL_FUNCTIONS_TEXT.split())
    if language == "duckdb":
        from heddle.database.duckdb_reading import functions as of_duckdb

        return tuple(sorted(name for name in of_duckdb() if name.isidentifier()))
    from datafusion import SessionConfig, SessionContext

    context = SessionContext(SessionConfig().with_information_schema(True))
    names = context.sql("SELECT DISTINCT routine_name FROM information_schema.routines").to_pydict()
    return tuple(sorted(name for name in names["routine_name"] if name.isidentifier()))

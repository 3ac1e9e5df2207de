"""The databases that queries can be pushed into: what means the same in each, and how it is written there."""

from __future__ import annotations

from heddle.logical.dialects.dialect import Dialect


def dialect_of(name: str) -> Dialect | None:
    """By sqlglot's name; None for one that nothing is known of."""
    match name:
        case "postgres":
            from heddle.logical.dialects.postgres import Postgres

            return Postgres()
        case "clickhouse":
            from heddle.logical.dialects.clickhouse import ClickHouse

            return ClickHouse()
        case "duckdb":
            from heddle.logical.dialects.duckdb import DuckDb

            return DuckDb()
        case "sqlite":
            from heddle.logical.dialects.sqlite import Sqlite

            return Sqlite()
        case _:
            return None

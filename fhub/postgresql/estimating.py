"""About how many rows a statement gives, by the server's statistics and planner; nothing is executed."""

from __future__ import annotations

import json
from typing import Any

from fhub.postgresql.connection import Connection
from fhub.postgresql.parameters import parsed
from fhub.postgresql.session import Session
from fhub.postgresql.statements import bare, parameter_names
from fhub.postgresql.tables import looked_up

_MARK = "@p:"


def table_rows(connection: Connection, table: str) -> int | None:
    """None for a table that the server has not counted. Raises `PostgresqlError`."""
    with connection.reading() as session:
        found = looked_up(session, table)
        if found.kind in "rm":
            return found.rows
        return _planned(session, f"SELECT FROM {found.written}")


def statement_rows(connection: Connection, text: str) -> int | None:
    """The rows of a SELECT without the conditions that have parameters; None where these stand elsewhere.
    Raises `PostgresqlError`."""
    statement: str | None = bare(text)
    if parameter_names(text):
        statement = _without_parameters(text)
    if statement is None:
        return None
    with connection.reading() as session:
        return _planned(session, statement)


def _planned(session: Session, statement: str) -> int:
    told = session.rows(f"EXPLAIN (FORMAT JSON) {statement}", copy=False)
    plan: Any = json.loads(told.column(0)[0].as_py())
    return int(plan[0]["Plan"]["Plan Rows"])


def _without_parameters(text: str) -> str | None:
    from sqlglot import exp

    tree = parsed(bare(text), _MARK)
    if not isinstance(tree, exp.Select):
        return None
    where = tree.args.get("where")
    if where is None:
        return None
    conditions = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
    kept = [condition for condition in conditions if not _has_parameter(condition)]
    tree.set("where", exp.Where(this=exp.and_(*kept)) if kept else None)
    return None if _has_parameter(tree) else tree.sql(dialect="postgres")


def _has_parameter(tree: Any) -> bool:
    from sqlglot import exp

    return any(column.name.startswith(_MARK) for column in tree.find_all(exp.Column))

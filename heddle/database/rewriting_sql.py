"""UPDATE, DELETE and INSERT as queries whose rows are then put into the table.

The client's own values and conditions stand in these queries word for word, each once and in their order, so
that parameters keep their places.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from heddle.core.planning import quoted
from heddle.database.commands import Delete, InnerText, Insert, Update
from heddle.database.errors import QueryError
from heddle.database.model import SCRATCH_SCHEMA
from heddle.diagnostics import did_you_mean

_MARK: Final = "is_updated"


def insert_query(command: Insert) -> str:
    if not command.values:
        return command.query.sql
    return f"SELECT * FROM ({command.query.sql}\n) AS given"


def insert_columns(command: Insert, schema: pa.Schema) -> tuple[str, ...]:
    """Those of the table that the query's columns are put into, in order. Raises `QueryError`."""
    if command.columns is None:
        return tuple(schema.names)
    return tuple(column_of(name, schema) for name in command.columns)


def delete_query(command: Delete, schema: pa.Schema) -> str:
    """Gives the rows that stay."""
    rows = f"SELECT {_list(schema)} FROM {_target(command)}"
    if command.where is None:
        return f"{rows} WHERE false"
    return f"{rows} WHERE {_in_parentheses(command.where)} IS NOT TRUE"


def update_query(command: Update, schema: pa.Schema) -> str:
    """Gives all rows as they are to be, with one column more that tells which were updated. A value is
    computed for rows that are updated only. Raises `QueryError`."""
    mark = _MARK
    while mark in schema.names:
        mark += "_"
    alias = quoted(_called(command))
    values: dict[str, str] = {}
    for assignment in command.assignments:
        column = column_of(assignment.column, schema)
        if column in values:
            raise QueryError("invalid", f"the column `{column}` is set twice")
        value, before = _in_parentheses(assignment.value), f"{alias}.{quoted(column)}"
        values[column] = f"CASE WHEN {quoted(mark)} THEN {value} ELSE {before} END AS {quoted(column)}"
    rest = [f"{alias}.{quoted(name)}" for name in schema.names if name not in values]
    where = "true" if command.where is None else f"{_in_parentheses(command.where)} IS TRUE"
    marked = f"SELECT {_list(schema)}, {where} AS {quoted(mark)} FROM {_target(command)}"
    updated = f"SELECT {', '.join([*values.values(), *rest, quoted(mark)])} FROM ({marked}) AS {alias}"
    return f"SELECT {_list(schema)}, {quoted(mark)} FROM ({updated}) AS updated"


def column_of(name: str, schema: pa.Schema) -> str:
    """The column that a statement means: names in small letters also stand for one that only differs in
    capitals. Raises `QueryError`."""
    names: list[str] = schema.names
    if name in names:
        return name
    alike = [column for column in names if column.lower() == name]
    if len(alike) == 1:
        return alike[0]
    near = did_you_mean(name, names)
    raise QueryError(
        "invalid",
        f"there is no column `{name}`",
        help=f"did you mean `{near}`?" if near else f"the table has {', '.join(names)}",
    )


def _target(command: Update | Delete) -> str:
    """The table of the scratch schema, whatever else has its name."""
    return f"{quoted(SCRATCH_SCHEMA)}.{quoted(command.table[-1])} AS {quoted(_called(command))}"


def _called(command: Update | Delete) -> str:
    return command.table[-1] if command.alias is None else command.alias


def _list(schema: pa.Schema) -> str:
    return ", ".join(quoted(name) for name in schema.names)


def _in_parentheses(text: InnerText) -> str:
    """A comment at the end of the text ends with its line."""
    return f"({text.sql}\n)"

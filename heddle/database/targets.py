"""Which kept table a statement may change: those of the scratch schema, and no other."""

from __future__ import annotations

from heddle.database.commands import TableParts
from heddle.database.errors import QueryError
from heddle.database.model import SCRATCH_SCHEMA, TableName


def writable_table(parts: TableParts, catalog: str) -> str:
    """The name within the scratch schema of a table that a statement names, with or without the schema.
    Raises `QueryError`."""
    schema = parts[-2] if len(parts) > 1 else SCRATCH_SCHEMA
    within = parts[-3] if len(parts) > 2 else catalog
    if schema != SCRATCH_SCHEMA or within != catalog:
        raise QueryError(
            "denied",
            f"`{'.'.join(parts)}` cannot be changed",
            help=f"tables of your own are in the schema `{SCRATCH_SCHEMA}`; outputs are what programs make",
        )
    return parts[-1]


def writable_target(target: TableName, catalog: str) -> str:
    """The same for a full name. Raises `QueryError`."""
    return writable_table((target.catalog, target.schema, target.name), catalog)

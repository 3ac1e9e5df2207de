"""Substrait plans as SQL, so that they go the way of every other statement: same views, same policy.

DataFusion reads the plan against empty tables of the names and columns that the viewer sees, and writes SQL.
What it cannot write, such as a subquery in a condition, is refused when that SQL is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset

from heddle.database.errors import QueryError
from heddle.database.model import TableInfo

PLAN_BYTES_MAX: Final = 4 << 20
_QUOTED: Final = r'"(?:[^"]|"")*"'


def statement_of(plan: bytes, tables: Sequence[TableInfo]) -> str:
    """The text of a plan's statement. Raises `QueryError`."""
    from datafusion import SessionContext, substrait, unparser

    if len(plan) > PLAN_BYTES_MAX:
        raise QueryError("invalid", f"the Substrait plan is larger than {PLAN_BYTES_MAX >> 20} MiB")
    context = SessionContext()
    _register(context, tables)
    try:
        logical = substrait.Consumer.from_substrait_plan(context, substrait.Serde.deserialize_bytes(plan))
    except Exception as error:  # the binding raises the bare class
        raise QueryError(
            "invalid",
            "the Substrait plan cannot be read, or names a table or column that is not there",
        ) from error
    try:
        text = unparser.Unparser(unparser.Dialect.default()).plan_to_sql(logical)
    except Exception as error:  # the same
        raise QueryError("unsupported", "the Substrait plan has a relation that is not supported") from error
    return _with_short_names(str(text), tables)


def _register(context: Any, tables: Sequence[TableInfo]) -> None:
    """Each table under its full name, but for those that take a value, which a plan cannot give."""
    from datafusion.catalog import Catalog, Schema

    catalogs: dict[str, Any] = {}
    for table in tables:
        if any(parameter.required for parameter in table.parameters):
            continue
        name = table.name
        if name.catalog not in catalogs:
            catalogs[name.catalog] = Catalog.memory_catalog(context)
            context.register_catalog_provider(name.catalog, catalogs[name.catalog])
        catalog = catalogs[name.catalog]
        if name.schema not in catalog.schema_names():
            catalog.register_schema(name.schema, Schema.memory_schema(context))
        empty = pa.dataset.dataset(table.schema.remove_metadata().empty_table())
        catalog.schema(name.schema).register_table(name.name, empty)


def _with_short_names(text: str, tables: Sequence[TableInfo]) -> str:
    """DataFusion calls the column `sum(x)` after its table, by the full name here and by the last part where
    the SQL is read."""
    prefixes = {f"{table.name}.": f"{table.name.name}." for table in tables}

    def shortened(quoted: re.Match[str]) -> str:
        name = quoted[0]
        for full, short in prefixes.items():
            name = name.replace(full, short)
        return name

    return re.sub(_QUOTED, shortened, text)

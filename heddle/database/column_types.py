"""SQL types of columns -> Arrow types, as DataFusion understands them in a cast."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from heddle.database.errors import QueryError
from heddle.database.fitting import checked_schema

if TYPE_CHECKING:
    from datafusion import SessionContext

_TYPE: Final = r"[A-Za-z_][\w\s(),<>\[\]]*"


def column_schema(columns: Sequence[tuple[str, str, bool]]) -> pa.Schema:
    """The schema for columns with a name, an SQL type, and whether they may be null. Raises `QueryError`."""
    from datafusion import SessionConfig, SessionContext

    context = SessionContext(SessionConfig().set("datafusion.execution.time_zone", "UTC"))
    fields = [pa.field(name, _type(context, name, text), nullable) for name, text, nullable in columns]
    return checked_schema(pa.schema(fields))


def _type(context: SessionContext, name: str, text: str) -> pa.DataType:
    if re.fullmatch(_TYPE, text, re.ASCII):
        try:
            return context.sql(f"SELECT CAST(NULL AS {text})").schema().field(0).type
        except Exception as error:  # the engine has no narrower type
            raise _unknown(name, text) from error
    raise _unknown(name, text)


def _unknown(name: str, text: str) -> QueryError:
    return QueryError(
        "invalid",
        f"`{text}`, the type of the column `{name}`, is unknown",
        help="types are BIGINT, DOUBLE, DECIMAL(10, 2), VARCHAR, BOOLEAN, DATE, TIMESTAMP, BYTEA and others",
    )

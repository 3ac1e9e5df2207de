"""SQL's types: how Arrow's are called in SQL, and what ODBC and JDBC want to know of each."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from heddle.core.record import record

# The numbers of XdbcDataType, which are those of ODBC and of java.sql.Types where these agree.
BIT, TINYINT, SMALLINT, INTEGER, BIGINT = -7, -6, 5, 4, -5
REAL, DOUBLE, DECIMAL = 7, 8, 3
VARCHAR, VARBINARY, BINARY = 12, -3, -2
DATE, TIME, TIMESTAMP, INTERVAL, UNKNOWN = 91, 92, 93, 10, 0
DATETIME: Final = 9


@record(frozen=True, slots=True)
class SqlType:
    """`xdbc`: its XdbcDataType. `precision`: digits, characters or bytes; None where there is no limit."""

    name: str
    xdbc: int
    precision: int | None = None
    scale: int | None = None
    is_text: bool = False


_BOOLEAN: Final = SqlType("BOOLEAN", BIT, 1)
_VARCHAR: Final = SqlType("VARCHAR", VARCHAR, is_text=True)
_VARBINARY: Final = SqlType("VARBINARY", VARBINARY)

NAMED: Final[dict[pa.DataType, SqlType]] = {
    pa.null(): SqlType("NULL", UNKNOWN),
    pa.bool_(): _BOOLEAN,
    pa.int8(): SqlType("TINYINT", TINYINT, 3, 0),
    pa.int16(): SqlType("SMALLINT", SMALLINT, 5, 0),
    pa.int32(): SqlType("INT", INTEGER, 10, 0),
    pa.int64(): SqlType("BIGINT", BIGINT, 19, 0),
    pa.uint8(): SqlType("TINYINT UNSIGNED", SMALLINT, 3, 0),
    pa.uint16(): SqlType("SMALLINT UNSIGNED", INTEGER, 5, 0),
    pa.uint32(): SqlType("INT UNSIGNED", BIGINT, 10, 0),
    pa.uint64(): SqlType("BIGINT UNSIGNED", DECIMAL, 20, 0),
    pa.float32(): SqlType("REAL", REAL, 24),
    pa.float64(): SqlType("DOUBLE", DOUBLE, 53),
    pa.string(): _VARCHAR,
    pa.binary(): _VARBINARY,
    pa.date32(): SqlType("DATE", DATE, 10),
    pa.date64(): SqlType("DATE", DATE, 10),
}
_FRACTION_DIGITS: Final = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def sql_type(type: pa.DataType) -> SqlType:
    """Of one of the plain types that go out (`columns.plain_type`)."""
    if named := NAMED.get(type):
        return named
    if pa.types.is_decimal(type):
        return SqlType("DECIMAL", DECIMAL, type.precision, type.scale)
    if pa.types.is_timestamp(type):
        digits = _FRACTION_DIGITS[type.unit]
        name = "TIMESTAMP WITH TIME ZONE" if type.tz else "TIMESTAMP"
        return SqlType(name, TIMESTAMP, 20 + digits if digits else 19, digits)
    if pa.types.is_time(type):
        digits = _FRACTION_DIGITS[type.unit]
        return SqlType("TIME", TIME, 9 + digits if digits else 8, digits)
    if pa.types.is_duration(type) or pa.types.is_interval(type):
        return SqlType("INTERVAL", INTERVAL)
    if pa.types.is_fixed_size_binary(type):
        return SqlType("BINARY", BINARY, type.byte_width)
    if pa.types.is_struct(type):
        return SqlType("STRUCT", UNKNOWN)
    if pa.types.is_map(type):
        return SqlType("MAP", UNKNOWN)
    if pa.types.is_list(type) or pa.types.is_fixed_size_list(type):
        return SqlType("ARRAY", UNKNOWN)
    return SqlType(str(type).upper(), UNKNOWN)

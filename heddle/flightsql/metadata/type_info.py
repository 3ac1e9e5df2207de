"""The types of SQL, as ODBC and JDBC ask for them (XdbcTypeInfo)."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from heddle.core.record import record
from heddle.flightsql import sql_types as types
from heddle.flightsql.metadata import schemas
from heddle.flightsql.wire import flight_sql_pb2 as sql

_NULLABLE: Final = 1
_SEARCHABLE, _SEARCHABLE_BASIC = 3, 2
_TEXT_MAX: Final = 2**31 - 1


@record(frozen=True, slots=True)
class _Type:
    name: str
    xdbc: int
    size: int
    quoted: bool = False
    parameters: tuple[str, ...] = ()
    unsigned: bool | None = None
    scale: tuple[int, int] | None = None
    subcode: int | None = None
    """Of a datetime: 1 date, 2 time, 3 timestamp."""
    radix: int | None = None
    prefix: str = "'"

    def row(self) -> dict[str, object]:
        is_text = self.xdbc == types.VARCHAR
        return {
            "type_name": self.name,
            "data_type": self.xdbc,
            "column_size": self.size,
            "literal_prefix": self.prefix if self.quoted else None,
            "literal_suffix": "'" if self.quoted else None,
            "create_params": list(self.parameters) or None,
            "nullable": _NULLABLE,
            "case_sensitive": is_text,
            "searchable": _SEARCHABLE if is_text else _SEARCHABLE_BASIC,
            "unsigned_attribute": self.unsigned,
            "fixed_prec_scale": False,
            "auto_increment": False if self.unsigned is not None else None,
            "local_type_name": self.name,
            "minimum_scale": self.scale[0] if self.scale else None,
            "maximum_scale": self.scale[1] if self.scale else None,
            "sql_data_type": self.xdbc if self.subcode is None else types.DATETIME,
            "datetime_subcode": self.subcode,
            "num_prec_radix": self.radix,
            "interval_precision": None,
        }


_TYPES: Final = (
    _Type("BOOLEAN", types.BIT, 1),
    _Type("TINYINT", types.TINYINT, 3, unsigned=False, scale=(0, 0), radix=10),
    _Type("SMALLINT", types.SMALLINT, 5, unsigned=False, scale=(0, 0), radix=10),
    _Type("TINYINT UNSIGNED", types.SMALLINT, 3, unsigned=True, scale=(0, 0), radix=10),
    _Type("INT", types.INTEGER, 10, unsigned=False, scale=(0, 0), radix=10),
    _Type("SMALLINT UNSIGNED", types.INTEGER, 5, unsigned=True, scale=(0, 0), radix=10),
    _Type("BIGINT", types.BIGINT, 19, unsigned=False, scale=(0, 0), radix=10),
    _Type("INT UNSIGNED", types.BIGINT, 10, unsigned=True, scale=(0, 0), radix=10),
    _Type("BIGINT UNSIGNED", types.DECIMAL, 20, unsigned=True, scale=(0, 0), radix=10),
    _Type(
        "DECIMAL",
        types.DECIMAL,
        76,
        parameters=("precision", "scale"),
        unsigned=False,
        scale=(0, 76),
        radix=10,
    ),
    _Type("REAL", types.REAL, 24, unsigned=False, radix=2),
    _Type("DOUBLE", types.DOUBLE, 53, unsigned=False, radix=2),
    _Type("VARCHAR", types.VARCHAR, _TEXT_MAX, quoted=True),
    _Type("VARBINARY", types.VARBINARY, _TEXT_MAX, quoted=True, prefix="X'"),
    _Type("BINARY", types.BINARY, _TEXT_MAX, quoted=True, parameters=("length",), prefix="X'"),
    _Type("DATE", types.DATE, 10, quoted=True, subcode=1),
    _Type("TIME", types.TIME, 18, quoted=True, scale=(0, 9), subcode=2),
    _Type("TIMESTAMP", types.TIMESTAMP, 29, quoted=True, scale=(0, 9), subcode=3),
    _Type("TIMESTAMP WITH TIME ZONE", types.TIMESTAMP, 35, quoted=True, scale=(0, 9), subcode=3),
    _Type("INTERVAL", types.INTERVAL, 64, quoted=True),
)


def type_info(command: sql.CommandGetXdbcTypeInfo) -> pa.Table:
    rows = [
        type.row()
        for type in sorted(_TYPES, key=lambda type: (type.xdbc, type.name))
        if not command.HasField("data_type") or type.xdbc == command.data_type
    ]
    return pa.Table.from_pylist(rows, schema=schemas.XDBC_TYPE_INFO)

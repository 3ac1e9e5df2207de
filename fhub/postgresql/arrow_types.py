"""The Arrow types of PostgreSQL's plain types, by the server's own names, for reading and for writing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from heddle.core.types import TIMESTAMP

ARROW_TYPES: Final[Mapping[str, pa.DataType]] = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "bool": pa.bool_(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": TIMESTAMP,
}

"""Columns as all clients can read them: views, large types, dictionaries and run lengths become plain ones,
zones get their usual names, and each field says its SQL type.

JDBC's driver reads no views, no half floats and no dictionaries, others know no small decimals.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from heddle.core.record import record
from heddle.database.model import REMARKS, TableInfo
from heddle.flightsql.frames import schema_frame, schema_message
from heddle.flightsql.sql_types import sql_type

KEPT_MAX: Final = 256
"""Schemas of answers that are kept with what goes out for them."""
KEPT_BYTES_MAX: Final = 16 << 10
"""A larger schema is not kept."""

PREFIX: Final = b"ARROW:FLIGHT:SQL:"
UTC_NAMES: Final = frozenset(
    {"Etc/UTC", "Etc/UCT", "Etc/GMT", "GMT", "UCT", "Zulu", "Z", "z", "+00:00", "-00:00"}
)

_PLAIN: Final[dict[pa.DataType, pa.DataType]] = {
    pa.string_view(): pa.string(),
    pa.large_string(): pa.string(),
    pa.binary_view(): pa.binary(),
    pa.large_binary(): pa.binary(),
    pa.float16(): pa.float32(),
}


@record(frozen=True, slots=True)
class Columns:
    """What goes out for `given`. `schema` has the metadata of Flight SQL; columns of `cast` are converted.
    `message` is the schema as `FlightInfo` has it, `frame` as it begins a stream."""

    given: pa.Schema
    schema: pa.Schema
    cast: tuple[int, ...]
    message: bytes
    frame: bytes

    def convert(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self.cast:
            return batch
        arrays = batch.columns
        for index in self.cast:
            arrays[index] = _converted(arrays[index], self.schema.field(index).type)
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def plain_columns(schema: pa.Schema) -> Columns:
    """For the answer of a statement."""
    said = schema_message(schema)
    return _known_columns(said) if len(said) <= KEPT_BYTES_MAX else _columns(schema)


@lru_cache(KEPT_MAX)
def _known_columns(said: bytes) -> Columns:
    return _columns(pa.ipc.read_schema(pa.py_buffer(said)))


def _columns(given: pa.Schema) -> Columns:
    schema = pa.schema([_field(field, {}) for field in given])
    return Columns(given, schema, _differing(given, schema), schema_message(schema), schema_frame(schema))


def fitted_columns(given: pa.Schema, first: Columns) -> Columns:
    """For another answer of a statement whose first one went out as `first` says: values of parameters may
    change the types."""
    return Columns(given, first.schema, _differing(given, first.schema), first.message, first.frame)


def _differing(given: pa.Schema, schema: pa.Schema) -> tuple[int, ...]:
    return tuple(i for i, field in enumerate(given) if field.type != schema.field(i).type)


def table_columns(table: TableInfo) -> pa.Schema:
    """For a table's description, which says where each column belongs."""
    place = {
        b"CATALOG_NAME": table.name.catalog.encode(),
        b"SCHEMA_NAME": table.name.schema.encode(),
        b"TABLE_NAME": table.name.name.encode(),
        b"IS_READ_ONLY": b"0" if table.writable else b"1",
    }
    return pa.schema([_field(field, place) for field in table.schema])


def plain_type(type: pa.DataType) -> pa.DataType:
    if plain := _PLAIN.get(type):
        return plain
    if isinstance(type, pa.BaseExtensionType):
        return plain_type(type.storage_type)
    if pa.types.is_dictionary(type) or pa.types.is_run_end_encoded(type):
        return plain_type(type.value_type)
    if pa.types.is_timestamp(type) and type.tz in UTC_NAMES:
        return pa.timestamp(type.unit, "UTC")
    if pa.types.is_decimal32(type) or pa.types.is_decimal64(type):
        return pa.decimal128(type.precision, type.scale)
    if pa.types.is_fixed_size_list(type):
        return pa.list_(_plain_field(type.value_field), type.list_size)
    if _is_list(type):
        return pa.list_(_plain_field(type.value_field))
    if pa.types.is_struct(type):
        return pa.struct([_plain_field(field) for field in type])
    if pa.types.is_map(type):
        return pa.map_(_plain_field(type.key_field), _plain_field(type.item_field))
    return type


def _field(field: pa.Field, place: dict[bytes, bytes]) -> pa.Field:
    type = plain_type(field.type)
    known = sql_type(type)
    said: dict[bytes, bytes] = {
        b"TYPE_NAME": known.name.encode(),
        b"IS_AUTO_INCREMENT": b"0",
        b"IS_CASE_SENSITIVE": b"1" if known.is_text else b"0",
        b"IS_SEARCHABLE": b"1",
        **place,
    }
    if known.precision is not None:
        said[b"PRECISION"] = str(known.precision).encode()
    if known.scale is not None:
        said[b"SCALE"] = str(known.scale).encode()
    metadata: dict[bytes, bytes] = {
        key: value for key, value in (field.metadata or {}).items() if key != REMARKS
    }
    if isinstance(field.type, (pa.UuidType, pa.JsonType, pa.Bool8Type)):
        metadata[b"ARROW:extension:name"] = field.type.extension_name.encode()
        metadata[b"ARROW:extension:metadata"] = b""
    if remarks := (field.metadata or {}).get(REMARKS):
        said[b"REMARKS"] = remarks
    metadata.update({PREFIX + key: value for key, value in said.items()})
    return pa.field(field.name, type, field.nullable, metadata)


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(plain_type(field.type))


def _is_list(type: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(type)
        or pa.types.is_large_list(type)
        or pa.types.is_list_view(type)
        or pa.types.is_large_list_view(type)
    )


def _converted(array: Any, type: pa.DataType) -> Any:
    """Raises `pa.ArrowException` for what pyarrow cannot convert, such as run lengths inside of lists."""
    if isinstance(array, pa.ExtensionArray):
        return _converted(array.storage, type)
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    elif pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
        array = _listed(array)
    return array.cast(type)


def _listed(views: Any) -> Any:
    """Lists of list views, in the order of the rows; pyarrow's own cast takes only views that lie so."""
    lengths = pc.fill_null(views.value_lengths(), 0).cast(pa.int64())
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
    return pa.LargeListArray.from_arrays(offsets, views.flatten(), mask=views.is_null())

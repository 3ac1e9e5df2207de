"""Rows -> messages: values by format, keys, headers, timestamps and partitions by column."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import pyarrow as pa

from fhub.kafka.config import ProduceConfig
from fhub.kafka.failures import KafkaProblem
from heddle.core import kernels as pc
from heddle.core.json_text import json_texts, to_json
from heddle.core.record import record
from heddle.core.types import type_name

_t = pa.types
Headers: TypeAlias = list[tuple[str, bytes | str | None]]


@record(frozen=True, slots=True)
class Encoded:
    """A list has one item for each row; where there is no list, messages have none of it. Timestamps are in
    milliseconds."""

    values: Sequence[bytes | str | None]
    keys: Sequence[bytes | str | None] | None = None
    headers: Sequence[Headers] | None = None
    timestamps_ms: Sequence[int | None] | None = None
    partitions: Sequence[int | None] | None = None


class ValueEncoder(ABC):
    @abstractmethod
    def encode(self, rows: pa.Table) -> Sequence[bytes | str | None]:
        """The value of each row's message."""


class JsonEncoder(ValueEncoder):
    def encode(self, rows: pa.Table) -> Sequence[bytes | str | None]:
        # Kafka's client takes bytes as they are, and would encode each text.
        values: list[bytes | None] = to_json(rows).cast(pa.binary()).to_pylist()
        return values


class PlainEncoder(ValueEncoder):
    """One column as it is; a null is a message without a value."""

    def encode(self, rows: pa.Table) -> Sequence[bytes | str | None]:
        if rows.num_columns != 1:
            names = ", ".join(f"`{name}`" for name in rows.column_names)
            raise KafkaProblem(
                f'with `format: "string"` or "bytes" a message is one column, but the rows have {names}; '
                'name it: `columns: ["value"]`'
            )
        return texts_of(rows.column(0), rows.column_names[0])


def encode(rows: pa.Table, config: ProduceConfig, values: ValueEncoder) -> Encoded:
    """The messages of the rows. Raises `KafkaProblem` for a column that is not there or of no use."""
    for setting in ("key", "headers", "timestamp", "partition"):
        _check_column(rows, getattr(config, setting), setting)
    return Encoded(
        values.encode(rows.select(value_columns(rows.column_names, config))),
        None if config.key is None else texts_of(rows[config.key], config.key),
        None if config.headers is None else headers_of(rows[config.headers]),
        None if config.timestamp is None else _timestamps_ms(rows[config.timestamp]),
        None if config.partition is None else _partitions(rows[config.partition]),
    )


def value_columns(names: Sequence[str], config: ProduceConfig) -> list[str]:
    if config.columns is not None:
        for name in config.columns:
            if name not in names:
                raise KafkaProblem(
                    f"`columns` names `{name}`, which is no column of the rows; {_listed(names)}"
                )
        return config.columns
    elsewhere = {config.headers, config.timestamp, config.partition}
    if config.format in ("string", "bytes"):
        elsewhere.add(config.key)
    return [name for name in names if name not in elsewhere]


def texts_of(column: pa.ChunkedArray, name: str) -> Sequence[bytes | str | None]:
    """A column's values as keys or messages: texts and bytes as they are, all else as JSON writes it."""
    type_ = column.type
    if _t.is_dictionary(type_):
        column = column.cast(type_.value_type)
        type_ = type_.value_type
    if not (_is_text(type_) or _is_bytes(type_)):
        if _t.is_nested(type_):
            raise KafkaProblem(f"the column `{name}` is {type_name(type_)}, which is no text of one value")
        texts = pa.chunked_array([_plain_texts(chunk) for chunk in column.chunks], pa.string())
        column = texts
    values: list[bytes | str | None] = column.to_pylist()
    return values


def headers_of(column: pa.ChunkedArray) -> Sequence[Headers]:
    """A list of `{key, value}`, a map, or a struct whose fields are the headers."""
    type_ = column.type
    rows = column.to_pylist()
    if _t.is_map(type_):
        return [[(_header_key(k), _header(v)) for k, v in row or []] for row in rows]
    if _t.is_struct(type_):
        return [[(k, _header(v)) for k, v in (row or {}).items() if v is not None] for row in rows]
    if (
        _t.is_list(type_)
        and _t.is_struct(type_.value_type)
        and {"key", "value"} <= {f.name for f in type_.value_type}
    ):
        return [[(_header_key(h["key"]), _header(h["value"])) for h in row or [] if h] for row in rows]
    raise KafkaProblem(
        f"headers are a list of {{key, value}}, or a struct, not {type_name(type_)}; make one in a step, or "
        "leave `headers` out"
    )


def _header(value: object) -> bytes | str | None:
    if value is None or isinstance(value, bytes | str):
        return value
    text: str = json_texts(pa.array([value]))[0].as_py()
    return text.strip('"')


def _header_key(value: object) -> str:
    if isinstance(value, str):
        return value
    raise KafkaProblem("the name of a header is a text")


def _plain_texts(column: pa.Array) -> pa.StringArray:
    texts = json_texts(column)
    # Times are JSON texts, which a key is not.
    unquoted = pc.if_else(pc.starts_with(texts, '"'), pc.utf8_slice_codeunits(texts, 1, -1), texts)
    return pc.if_else(column.is_valid(), unquoted, pa.scalar(None, pa.string()))


def _timestamps_ms(column: pa.ChunkedArray) -> Sequence[int | None]:
    if not _t.is_timestamp(column.type):
        raise KafkaProblem(f"`timestamp` names a column of type {type_name(column.type)}, not timestamp")
    times: list[int | None] = (
        column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64()).to_pylist()
    )
    if any(time is not None and time < 0 for time in times):
        raise KafkaProblem("`timestamp` names a column with a time before 1970, which Kafka does not have")
    return times


def _partitions(column: pa.ChunkedArray) -> Sequence[int | None]:
    if not _t.is_integer(column.type):
        raise KafkaProblem(f"`partition` names a column of type {type_name(column.type)}, not int")
    numbers: list[int | None] = column.to_pylist()
    if any(number is not None and not 0 <= number < 1 << 31 for number in numbers):
        raise KafkaProblem("`partition` names a column with a number that is no partition")
    return numbers


def _check_column(rows: pa.Table, name: str | None, setting: str) -> None:
    if name is not None and name not in rows.column_names:
        raise KafkaProblem(
            f"`{setting}` names `{name}`, which is no column of the rows; {_listed(rows.column_names)}"
        )


def _listed(names: Sequence[str]) -> str:
    return f"they have {', '.join(f'`{name}`' for name in names)}"


def _is_text(type_: pa.DataType) -> bool:
    return bool(_t.is_string(type_) or _t.is_large_string(type_) or _t.is_string_view(type_))


def _is_bytes(type_: pa.DataType) -> bool:
    return bool(
        _t.is_binary(type_)
        or _t.is_large_binary(type_)
        or _t.is_binary_view(type_)
        or _t.is_fixed_size_binary(type_)
    )


def settings_of(config: ProduceConfig, delivery_timeout_s: float) -> Mapping[str, str]:
    """librdkafka's settings for a producer that writes so."""
    return {
        "acks": config.acks,
        "compression.type": config.compression,
        # Idempotence needs an answer of all replicas.
        "enable.idempotence": "true" if config.acks == "all" else "false",
        "message.timeout.ms": str(int(delivery_timeout_s * 1000)),
    }

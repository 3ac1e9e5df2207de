"""Messages that are one value: texts and bytes as they are, in one column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from fhub.kafka.decoding import Bad, Decoded, Decoder

COLUMN: Final = "value"
"""The column's name, where `schema` gives no other."""


class BytesDecoder(Decoder):
    """A message without a value is a null where the column may be null."""

    def __init__(self, field: pa.Field) -> None:
        self.schema = pa.schema([field])

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        bad = () if self.schema.field(0).nullable else _lacking(values)
        return _rows(values, bad, self.schema)


class StringDecoder(Decoder):
    def __init__(self, field: pa.Field) -> None:
        self.schema = pa.schema([field])
        self._bytes = BytesDecoder(pa.field(field.name, pa.binary(), field.nullable))

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        decoded = self._bytes.decode(values)
        try:
            return Decoded(decoded.rows.cast(self.schema), decoded.bad)
        except pa.ArrowInvalid:
            bad = [
                *decoded.bad,
                *(Bad(i, "it is not UTF-8") for i, v in enumerate(values) if not _is_text(v)),
            ]
            return _rows(values, sorted(bad, key=lambda each: each.index), self.schema)


def _rows(values: Sequence[bytes | None], bad: Sequence[Bad], schema: pa.Schema) -> Decoded:
    drop = {each.index for each in bad}
    kept = [value for index, value in enumerate(values) if index not in drop] if drop else values
    column = pa.array(kept, pa.binary()).cast(schema.field(0).type)
    return Decoded(pa.Table.from_arrays([column], schema=schema), tuple(bad))


def _lacking(values: Sequence[bytes | None]) -> tuple[Bad, ...]:
    return tuple(
        Bad(index, "it has no value (a tombstone)") for index, value in enumerate(values) if value is None
    )


def _is_text(value: bytes | None) -> bool:
    try:
        return value is None or value.decode() is not None
    except UnicodeDecodeError:
        return False

"""Rows as JSON texts, one object a row, by Arrow's kernels.

Timestamps are ISO 8601 with `Z`, decimals numbers with all their digits, binary values base64, durations
and intervals ISO 8601 (`PT1.5S`, `P1M2DT3S`). NaN and infinity have no JSON form and are null.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import TypeAlias

import pyarrow as pa

from heddle.core import kernels as pc

_t = pa.types
Pieces: TypeAlias = "list[pa.StringArray | str]"
"""What stands side by side in the text of each row. All pieces of a row are put together at once: what is
put together twice is copied twice."""

_NULL = "null"
_DECIMALS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_CONTROL = "[\\x00-\\x1f]"
_FIRST_PLAIN = 0x20
_EXPONENT_FROM = 1e9
"""From here on Arrow may write a whole float with an exponent, which needs no `.0`."""


def to_json(rows: pa.Table | pa.RecordBatch) -> pa.StringArray:
    """One JSON object for each row."""
    batches = rows.to_batches() if isinstance(rows, pa.Table) else [rows]
    texts = [_objects(batch) for batch in batches]
    return pa.concat_arrays(texts) if texts else pa.array([], pa.string())


def json_texts(array: pa.Array) -> pa.StringArray:
    """Each value as JSON; a null is the text `null`."""
    return _joined(_pieces(array))


def _objects(batch: pa.RecordBatch) -> pa.StringArray:
    return _joined(_object_pieces(batch.schema.names, batch.columns, batch.num_rows))


def _object_pieces(names: Sequence[str], columns: Sequence[pa.Array], rows: int) -> Pieces:
    if not names:
        return [pa.repeat(pa.scalar("{}"), rows)]
    pieces: Pieces = []
    for i, (name, column) in enumerate(zip(names, columns, strict=True)):
        pieces += [("," if i else "{") + json.dumps(name, ensure_ascii=False) + ":", *_pieces(column)]
    return [*pieces, "}"]


def _joined(pieces: Pieces) -> pa.StringArray:
    """At least one of them is an array."""
    if len(pieces) == 1:
        return pieces[0]
    parts: Pieces = []
    for piece in pieces:
        last = parts[-1] if parts else None
        if isinstance(piece, str) and isinstance(last, str):
            parts[-1] = last + piece
        else:
            parts.append(piece)
    return pc.binary_join_element_wise(*parts, "")


def _pieces(array: pa.Array) -> Pieces:
    """Each value as JSON; a null is the text `null`."""
    array = _storage(array)
    if _t.is_null(array.type):
        return [pa.repeat(pa.scalar(_NULL), len(array))]
    pieces = _value_pieces(array)
    if array.null_count == 0:
        return pieces
    return [pc.fill_null(pc.if_else(array.is_valid(), _joined(pieces), _NULL), _NULL)]


def _value_pieces(array: pa.Array) -> Pieces:
    """JSON of the valid values; what stands at nulls does not matter."""
    type_ = array.type
    if _t.is_boolean(type_) or _t.is_integer(type_) or _t.is_decimal(type_):
        return [pc.cast(array, pa.string())]
    if _t.is_floating(type_):
        return _float_pieces(array)
    if _t.is_string(type_) or _t.is_large_string(type_) or _t.is_string_view(type_):
        return _quoted(array.cast(pa.string()))
    if _t.is_struct(type_):
        fields = [pc.struct_field(array, [i]) for i in range(type_.num_fields)]
        return _object_pieces([f.name for f in type_], fields, len(array))
    if _t.is_map(type_):
        return _maps(array)
    if _t.is_list(type_) or _t.is_large_list(type_) or _t.is_fixed_size_list(type_):
        return _lists(array)
    if _t.is_timestamp(type_):
        return ['"', *_timestamp_pieces(array), '"']
    return _quoted(value_texts(array))


def value_texts(array: pa.Array) -> pa.StringArray:
    """Texts of values that are no JSON of their own: points in time, durations, bytes."""
    type_ = array.type
    if _t.is_timestamp(type_):
        return _joined(_timestamp_pieces(array))
    if _t.is_time(type_):
        return pc.replace_substring_regex(pc.cast(array, pa.string()), r"\.0+$", "")
    if _t.is_duration(type_):
        seconds = _seconds(array.cast(pa.int64()), _DECIMALS[type_.unit])
        return pc.binary_join_element_wise("PT", seconds, "S", "")
    if _t.is_interval(type_):
        return _interval_texts(array)
    if (
        _t.is_binary(type_)
        or _t.is_large_binary(type_)
        or _t.is_binary_view(type_)
        or _t.is_fixed_size_binary(type_)
    ):
        # Arrow has no kernel for base64.
        return pa.array(
            [None if v is None else b64encode(v).decode() for v in array.to_pylist()], pa.string()
        )
    if _t.is_date(type_):
        return pc.cast(array, pa.string())
    return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.string())


def _seconds(counts: pa.Int64Array, decimals: int) -> pa.StringArray:
    """Counts of a decimal part of a second, as seconds with all their digits."""
    whole = pc.divide(counts, 10**decimals)
    rest = pc.subtract(counts, pc.multiply(whole, 10**decimals))
    sign = pc.if_else(pc.and_(pc.less(rest, 0), pc.equal(whole, 0)), "-", "")
    digits = pc.utf8_lpad(pc.cast(pc.abs(rest), pa.string()), width=decimals, padding="0")
    text = pc.binary_join_element_wise(sign, pc.cast(whole, pa.string()), ".", digits, "")
    return pc.replace_substring_regex(text, r"\.0*$|(\.\d*?[1-9])0+$", r"\1")


def _interval_texts(array: pa.Array) -> pa.StringArray:
    """Arrow has no kernels for the months and days of intervals."""
    values = array.to_pylist()
    counts = pa.array([None if v is None else v.nanoseconds for v in values], pa.int64())
    seconds = _seconds(counts, _DECIMALS["ns"]).to_pylist()
    texts = [None if v is None else _interval(v, text) for v, text in zip(values, seconds, strict=True)]
    return pa.array(texts, pa.string())


def _interval(value: tuple[int, int, int], seconds: str) -> str:
    months, days, nanoseconds = value
    time = f"T{seconds}S" if nanoseconds or not (months or days) else ""
    return "P" + (f"{months}M" if months else "") + (f"{days}D" if days else "") + time


def _timestamp_pieces(array: pa.Array) -> Pieces:
    # Arrow formats a timestamp without a zone ten times faster; the stored value is UTC anyway.
    text = pc.cast(_in_coarsest_unit(array.view(pa.timestamp(array.type.unit))), pa.string())
    iso = pc.replace_substring(text, " ", "T", max_replacements=1)
    return [iso, "Z"] if array.type.tz else [iso]


def _in_coarsest_unit(array: pa.Array) -> pa.Array:
    """Timestamps in the coarsest unit that holds them all, so that no zeros are written."""
    for unit in ("s", "ms", "us"):
        try:
            return array.cast(pa.timestamp(unit))
        except pa.ArrowInvalid:
            continue
    return array


def _quoted(array: pa.StringArray) -> Pieces:
    """Strings as JSON strings."""
    if not _has_special(array):
        return ['"', array, '"']
    text = pc.replace_substring(pc.replace_substring(array, "\\", "\\\\"), '"', '\\"')
    if pc.any(pc.match_substring_regex(array, _CONTROL), min_count=0).as_py():
        for code in range(0x20):
            escape = _SHORT_ESCAPES.get(chr(code), f"\\u{code:04x}")
            text = pc.replace_substring(text, chr(code), escape)
    return ['"', text, '"']


def _has_special(array: pa.StringArray) -> bool:
    """Whether a text may hold what JSON escapes. All texts at once, in the memory that they share, are looked
    through in a tenth of the time that it takes one by one."""
    _, offsets, data = array.buffers()
    if data is None or len(array) == 0:
        return False
    ends = pa.Array.from_buffers(pa.int32(), len(array) + 1, [None, offsets], offset=array.offset)
    start, end = ends[0].as_py(), ends[-1].as_py()
    text = data.slice(start, end - start)
    if text.size == 0:
        return False
    lowest = pc.min(pa.Array.from_buffers(pa.uint8(), text.size, [None, text])).as_py()
    whole = text.to_pybytes()
    return lowest < _FIRST_PLAIN or b'"' in whole or b"\\" in whole


def float_texts(array: pa.Array) -> pa.StringArray:
    """Floats with all their digits; a whole one keeps `.0`, so that it is read as a float again."""
    return _joined(_digits(_wide(array)))


def _wide(array: pa.Array) -> pa.Array:
    """Arrow's kernels do not take half floats."""
    return array.cast(pa.float32()) if _t.is_float16(array.type) else array


def _float_pieces(array: pa.Array) -> Pieces:
    array = _wide(array)
    finite = pc.is_finite(array)
    digits = _digits(array)
    if pc.all(finite, min_count=0).as_py():
        return digits
    return [pc.if_else(finite, _joined(digits), _NULL)]


def _digits(array: pa.Array) -> Pieces:
    whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), _EXPONENT_FROM))
    text = pc.cast(array, pa.string())
    return [text, pc.if_else(whole, ".0", "")] if pc.any(whole, min_count=0).as_py() else [text]


def _lists(array: pa.Array) -> Pieces:
    items = json_texts(array.flatten())
    return ["[", pc.binary_join(pa.ListArray.from_arrays(_offsets(array), items), ","), "]"]


def _maps(array: pa.MapArray) -> Pieces:
    start, end = array.offsets[0].as_py(), array.offsets[-1].as_py()
    keys, values = array.keys.slice(start, end - start), array.items.slice(start, end - start)
    names = keys if _t.is_string(keys.type) else json_texts(keys)
    pairs = _joined([*_quoted(names.cast(pa.string())), ":", *_pieces(values)])
    return ["{", pc.binary_join(pa.ListArray.from_arrays(pc.subtract(array.offsets, start), pairs), ","), "}"]


def _offsets(array: pa.Array) -> pa.Int32Array:
    """Where each list begins in its flattened items."""
    if _t.is_fixed_size_list(array.type):
        lengths = pc.if_else(array.is_valid(), array.type.list_size, 0)
    else:
        lengths = pc.fill_null(pc.list_value_length(array), 0)
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths.cast(pa.int32()))])


def _storage(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.dictionary_decode() if _t.is_dictionary(array.type) else array

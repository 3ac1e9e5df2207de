"""JSON messages -> rows, by Arrow's JSON reader where a block of messages is sound, else one by one.

The messages of a block are read as lines. What Arrow takes for a line but is none, or reads in another way
than `fhub.cells`, is kept from it: messages that are no single object, text that is no UTF-8, NaN. A block
that it refuses is divided until what is wrong stands alone; then `fhub.cells` says what is wrong with it, or
reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from json import JSONDecodeError
from typing import Any, Final, cast

import pyarrow as pa

from fhub.cells import Misfit, check_row, json_text, load_json, read_rows
from fhub.kafka.decoding import Bad, Decoded, Decoder, joined, without
from heddle.core import kernels as pc
from heddle.core.types import type_name

_t = pa.types
BLOCK_BYTES_MAX: Final = 64 << 20
PARTS: Final = 8
ALONE_MAX: Final = 16
"""So many messages of a refused block are read one by one, as that takes less than to divide it further."""
_NOT_FINITE: Final = rb"[\s:\[,]-?(?:NaN|Inf)"
_BLANKS: Final = b" \t\r\n"
_FIRST_PLAIN: Final = 0x20
_YEAR_1_S: Final = -62135596800
"""The beginning of the year 1 in seconds since 1970."""
JSON_MARK: Final = {b"heddle": b"json"}
"""Metadata of a column that holds the JSON text of whatever stands there."""


_CANNOT_HOLD: Final = (pa.ArrowInvalid, UnicodeEncodeError, OverflowError)


class JsonDecoder(Decoder):
    """Columns of type null are of unknown type: a text stays, everything else becomes its JSON text. Where no
    column is wanted, the rows have one without a name, as rows without columns cannot be counted."""

    def __init__(self, schema: pa.Schema) -> None:
        if len(schema) == 0:
            schema = pa.schema([pa.field("", pa.null())])
        self.schema = pa.schema([_given(field) for field in schema])
        self._texts = tuple(f.name for f in schema if _t.is_null(f.type))
        self._json = tuple(f.name for f in schema if f.metadata == JSON_MARK)
        self._readable = not self._json and all(_arrow_reads(f.type) for f in self.schema)
        self._wire = pa.schema([pa.field(f.name, _wire_type(f.type)) for f in self.schema])
        self._cells = {f.name: _cell_type(f, f.name in self._json) for f in self.schema}
        self._required = tuple(f.name for f in self.schema if not f.nullable)
        self._decimals = any("decimal" in str(f.type) for f in self.schema)
        self._moments = tuple(f.name for f in self.schema if _t.is_timestamp(f.type) or _t.is_date(f.type))
        self._nested = any(_has_required(f.type) for f in self.schema)

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        if not values:
            return Decoded(self.schema.empty_table())
        rows = self._block(values)
        if rows is None:
            return self._divided(values)
        return self._without_nulls(rows, values)

    def _without_nulls(self, rows: pa.Table, values: Sequence[bytes | None]) -> Decoded:
        bad = tuple(Bad(index, self._why_null(values[index])) for index in self._null_rows(rows))
        return Decoded(without(rows, bad), bad)

    def _divided(self, values: Sequence[bytes | None]) -> Decoded:
        if len(values) <= ALONE_MAX:
            return self._one_by_one(values)
        size = max(ALONE_MAX, -(-len(values) // PARTS))
        parts = [values[start : start + size] for start in range(0, len(values), size)]
        return joined([self.decode(part) for part in parts], [len(part) for part in parts], self.schema)

    def _block(self, values: Sequence[bytes | None]) -> pa.Table | None:
        """The rows of all values, or None when something among them needs a closer look."""
        if not self._readable or None in values:
            return None
        given = cast("Sequence[bytes]", values)
        block = b"\n".join(given)
        if len(block) > BLOCK_BYTES_MAX and len(given) > 1:
            return None
        lines = _lines(block, given)
        if lines is None or not _is_text(lines) or _may_hold_nan(lines):
            return None
        return self._read(lines, len(given))

    def _read(self, block: bytes, count: int) -> pa.Table | None:
        from pyarrow import json

        try:
            rows = json.read_json(
                pa.BufferReader(block),
                read_options=json.ReadOptions(use_threads=False, block_size=len(block) + 1),
                parse_options=json.ParseOptions(
                    explicit_schema=self._wire, unexpected_field_behavior="ignore"
                ),
            )
            if rows.num_rows != count:
                return None
            rows = self._typed(rows)
            if any(_before_year_1(rows[name]) for name in self._moments):
                return None
            if self._decimals:
                rows.validate(full=True)  # the reader lets `10E7` into decimal(10,2)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None
        if self._nested and any(_lacks_inside(column.combine_chunks()) for column in rows.columns):
            return None
        return rows

    def _typed(self, rows: pa.Table) -> pa.Table:
        columns = [
            column if column.type.equals(field.type) else column.cast(field.type)
            for column, field in zip(rows.columns, self.schema, strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _null_rows(self, rows: pa.Table) -> list[int]:
        """Rows with a null where none may be."""
        found: set[int] = set()
        for name in self._required:
            if rows[name].null_count:
                found.update(pc.indices_nonzero(pc.is_null(rows[name])).to_pylist())
        return sorted(found)

    def _why_null(self, value: bytes | None) -> str:
        assert value is not None
        try:
            return _nulls(load_json(value.decode()), self._required) or "it does not fit the columns"
        except ValueError:  # deeper than Python reads
            return f"one of {', '.join(f'`{name}`' for name in self._required)} is null or lacks"

    def _one_by_one(self, values: Sequence[bytes | None], *, each_alone: bool = False) -> Decoded:
        """`each_alone`: what all together cannot be made rows is tried one by one."""
        objects: list[Mapping[str, Any]] = []
        bad: list[Bad] = []
        for index, value in enumerate(values):
            try:
                found = self._object(value)
                if each_alone:
                    self._of_objects([found])
                objects.append(found)
            except Misfit as misfit:
                bad.append(Bad(index, str(misfit)))
            except _CANNOT_HOLD as error:
                bad.append(Bad(index, f"it does not fit the columns: {error}"))
            except _Unread as unread:
                assert value is not None
                before, after = values[:index], values[index + 1 :]
                parts = [self._one_by_one(before), self._by_arrow(value, unread), self._one_by_one(after)]
                return joined(parts, [index, 1, len(after)], self.schema)
        try:
            return Decoded(self._of_objects(objects), tuple(bad))
        except _CANNOT_HOLD:
            assert not each_alone
            return self._one_by_one(values, each_alone=True)

    def _of_objects(self, objects: Sequence[Mapping[str, Any]]) -> pa.Table:
        return read_rows(objects, self._cells).cast(self.schema)

    def _by_arrow(self, value: bytes, unread: _Unread) -> Decoded:
        rows = self._block([value])
        if rows is None:
            return Decoded(self.schema.empty_table(), (Bad(0, f"it is not JSON: {unread}"),))
        return self._without_nulls(rows, [value])

    def _object(self, value: bytes | None) -> Mapping[str, Any]:
        """One message as an object that `read_rows` takes. Raises `Misfit`."""
        if value is None:
            raise Misfit("it has no value (a tombstone)")
        if not value.strip():
            raise Misfit("it is empty")
        given = _loaded(value)
        if isinstance(given, dict):
            lacks = _nulls(given, self._required)
            if lacks:
                raise Misfit(lacks)
            for name in self._texts:
                text = given.get(name)
                if text is not None and not isinstance(text, str):
                    given[name] = json_text(text)
        row = check_row(given, self._cells)
        return {name: row.get(name) for name in self._cells}


class _Unread(Exception):
    """Python's reader gives up at what Arrow's may take: deep nesting, numbers of thousands of digits. It
    refuses NaN in the same way."""


def schema_with_marks(columns: Mapping[str, str], schema: pa.Schema) -> pa.Schema:
    """The columns of a `schema` setting, those of type `json` marked."""
    from fhub.cells import is_json

    return pa.schema([f.with_metadata(JSON_MARK) if is_json(columns.get(f.name, "")) else f for f in schema])


def _loaded(value: bytes) -> Any:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise Misfit("it is not UTF-8") from error
    try:
        return load_json(text)
    except JSONDecodeError as error:
        raise Misfit(f"it is not JSON: {error.msg}") from error
    except ValueError as error:
        raise _Unread(str(error)) from error


def _nulls(given: Any, required: Sequence[str]) -> str | None:
    lacking = [f"`{name}`" for name in required if name not in given]
    if lacking:
        return f"it lacks {', '.join(lacking)}"
    null = [f"`{name}`" for name in required if given[name] is None]
    return f"{', '.join(null)} is null" if null else None


def _lines(block: bytes, values: Sequence[bytes]) -> bytes | None:
    """The block with an object a line, or None where a message is something else. A line's end within a
    message is white space, or in a text a mistake, just as a tab is."""
    texts = pa.array(values, pa.binary())
    if _has_control(texts) and (block.count(b"\n") >= len(values) or b"\r" in block):
        values = [value.replace(b"\n", b"\t").replace(b"\r", b"\t") for value in values]
        texts, block = pa.array(values, pa.binary()), b"\n".join(values)
    if _are_objects(texts):
        return block
    values = [value.strip(_BLANKS) for value in values]
    return b"\n".join(values) if _are_objects(pa.array(values, pa.binary())) else None


def _has_control(texts: pa.BinaryArray) -> bool:
    """Whether there is a line's end, a tab or the like. The lowest byte of all is found in a tenth of the
    time that it takes to count line ends."""
    data = texts.buffers()[2]
    if not data:
        return False
    lowest = pc.min(pa.Array.from_buffers(pa.uint8(), data.size, [None, data]))
    return bool(lowest.as_py() < _FIRST_PLAIN)


def _are_objects(texts: pa.BinaryArray) -> bool:
    """Whether each begins and ends as one."""
    both = pc.and_(pc.starts_with(texts, b"{"), pc.ends_with(texts, b"}"))
    return bool(pc.all(both, min_count=0).as_py())


def _may_hold_nan(block: bytes) -> bool:
    # To look for one byte first takes next to nothing.
    there = (b"N" in block and b"NaN" in block) or (b"I" in block and b"Inf" in block)
    return there and re.search(_NOT_FINITE, block) is not None


def _before_year_1(column: pa.ChunkedArray) -> bool:
    """Arrow has a year 0, Python has none."""
    first = pc.min(column)
    return bool(
        first.is_valid
        and first.cast(pa.timestamp("s", first.type.tz if _t.is_timestamp(first.type) else None)).value
        < _YEAR_1_S
    )


def _is_text(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _given(field: pa.Field) -> pa.Field:
    return pa.field(field.name, pa.string() if _t.is_null(field.type) else field.type, field.nullable)


def _wire_type(type_: pa.DataType) -> pa.DataType:
    """What Arrow's reader reads it as: the types that it takes as `fhub.cells` does, texts for the others."""
    if _t.is_integer(type_):
        return pa.int64()
    if _t.is_floating(type_):
        return pa.float64()
    if _t.is_boolean(type_) or _t.is_decimal(type_) or _t.is_timestamp(type_):
        return type_
    if _t.is_list(type_) or _t.is_large_list(type_):
        return pa.list_(pa.field("item", _wire_type(type_.value_type)))
    if _t.is_struct(type_):
        return pa.struct([pa.field(f.name, _wire_type(f.type)) for f in type_])
    return pa.string()


def _arrow_reads(type_: pa.DataType) -> bool:
    """Whether Arrow's reader, and casts of what it reads, give what `fhub.cells` gives."""
    if _t.is_list(type_) or _t.is_large_list(type_):
        return _arrow_reads(type_.value_type)
    if _t.is_struct(type_):
        return all(_arrow_reads(f.type) for f in type_)
    texts = _t.is_string(type_) or _t.is_large_string(type_) or _t.is_string_view(type_)
    numbers = _t.is_integer(type_) or _t.is_floating(type_) or _t.is_decimal(type_)
    return bool(texts or numbers or _t.is_boolean(type_) or _t.is_timestamp(type_) or _t.is_date(type_))


def _cell_type(field: pa.Field, is_json: bool) -> str:
    if is_json:
        return "json?" if field.nullable else "json"
    return type_name(_plain(field.type), field.nullable)


def _plain(type_: pa.DataType) -> pa.DataType:
    """The type that Heddle has a name for."""
    if _t.is_integer(type_):
        return pa.int64()
    if _t.is_floating(type_):
        return pa.float64()
    if _t.is_timestamp(type_):
        return pa.timestamp("us", tz="UTC")
    return type_


def _has_required(type_: pa.DataType) -> bool:
    """Whether a column of this type can hold a null in its midst that may not be there."""
    if _t.is_list(type_) or _t.is_large_list(type_):
        return not type_.value_field.nullable or _has_required(type_.value_type)
    if _t.is_struct(type_):
        return any(not f.nullable or _has_required(f.type) for f in type_)
    return False


def _lacks_inside(array: pa.Array) -> bool:
    """Whether there is a null within a list or a struct where the type has none."""
    type_ = array.type
    if _t.is_list(type_) or _t.is_large_list(type_):
        items = array.flatten()
        return (not type_.value_field.nullable and items.null_count > 0) or _lacks_inside(items)
    if _t.is_struct(type_):
        there = array.filter(array.is_valid())
        return any(
            (not field.nullable and there.field(i).null_count > 0) or _lacks_inside(there.field(i))
            for i, field in enumerate(type_)
        )
    return False

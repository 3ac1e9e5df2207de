"""Column types and row types.

A column's type is an Arrow type, or None while it is unknown. Heddle's names for them
(`int`, `decimal(10,2)`, `list<string>`, `{a: int}`, `T?`) are read by `parse_type` and written
by `type_name`. A `RowType` is a table's type: its columns in order, and whether there may be more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import pyarrow as pa

from heddle.core.record import record

TIMESTAMP = pa.timestamp("us", tz="UTC")

_SCALARS: dict[str, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "timestamp": TIMESTAMP,
    "date": pa.date32(),
    "time": pa.time64("us"),
    "duration": pa.duration("us"),
    "binary": pa.binary(),
    "json": pa.string(),
}
"""`json` is a string whose text is checked where it enters; as a column it is a string."""

SCALAR_TYPE_NAMES = (*_SCALARS, "decimal(p,s)")


@record(frozen=True, slots=True)
class Column:
    """`type` is None when it is not known yet."""

    name: str
    type: pa.DataType | None
    nullable: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {type_name(self.type, self.nullable)}"


@record(frozen=True, slots=True)
class RowType:
    """`open`: there may be more columns than those named."""

    columns: tuple[Column, ...]
    open: bool = False

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __str__(self) -> str:
        parts = [str(c) for c in self.columns] + ([".."] if self.open else [])
        return "{" + ", ".join(parts) + "}"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    @property
    def complete(self) -> bool:
        """All columns are named and typed, so that the row is an Arrow schema."""
        return not self.open and all(c.type is not None for c in self.columns)

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)

    def with_columns(self, columns: Iterable[Column]) -> RowType:
        """This row with columns replaced where the name is there, else appended."""
        new = {c.name: c for c in columns}
        kept = tuple(new.pop(c.name, c) for c in self.columns)
        return replace(self, columns=kept + tuple(new.values()))

    def arrow(self) -> pa.Schema:
        assert self.complete, f"the row type {self} is not complete"
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])


OPEN_ROW = RowType((), open=True)
EMPTY_ROW = RowType(())


_OPEN_MARK: Final = {b"heddle.row": b"open"}


def wanted_columns(row: RowType) -> pa.Schema:
    """A row of which not all is known, for the source that is to give it: a column of unknown type has
    Arrow's null, and `is_open` says of the schema whether others may stand beside."""
    fields = [pa.field(c.name, pa.null() if c.type is None else c.type, nullable=c.nullable) for c in row]
    return pa.schema(fields, metadata=_OPEN_MARK if row.open else None)


def is_open(schema: pa.Schema) -> bool:
    return (schema.metadata or {}).items() >= _OPEN_MARK.items()


def row_of_schema(schema: pa.Schema) -> RowType:
    return RowType(tuple(Column(f.name, f.type, f.nullable) for f in schema))


class TypeSyntaxError(ValueError):
    """A type's text that is not a type; `position` is the offset where reading stopped."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def parse_type(text: str) -> tuple[pa.DataType, bool]:
    """`"int?"` -> (int64, nullable). Raises `TypeSyntaxError`."""
    reader = _TypeReader(text)
    result = reader.type()
    reader.end()
    return result


def type_name(type_: pa.DataType | None, nullable: bool = False) -> str:
    """Heddle's name of an Arrow type, or Arrow's own where Heddle has none."""
    mark = "?" if nullable else ""
    if type_ is None:
        return "unknown"
    for name, scalar in _SCALARS.items():
        if type_.equals(scalar):
            return name + mark
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "string" + mark
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_):
        return "binary" + mark
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale}){mark}"
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return f"list<{type_name(type_.value_type, type_.value_field.nullable)}>{mark}"
    if pa.types.is_struct(type_):
        fields = ", ".join(f"{f.name}: {type_name(f.type, f.nullable)}" for f in type_)
        return "{" + fields + "}" + mark
    return str(type_) + mark


def widens(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether a value of `source` always fits `target` unchanged, so that a cast may be inserted."""
    if source.equals(target):
        return True
    t = pa.types
    if t.is_null(source):
        return True
    if t.is_integer(source):
        if t.is_integer(target):
            same_sign = t.is_signed_integer(source) == t.is_signed_integer(target)
            wider = target.bit_width > source.bit_width
            if same_sign:
                return bool(target.bit_width >= source.bit_width)
            return bool(t.is_unsigned_integer(source) and wider)
        if t.is_decimal(target):
            return bool(target.precision - target.scale >= 19)
        return bool(t.is_float64(target) or (t.is_float32(target) and source.bit_width <= 16))
    if t.is_floating(source):
        return bool(t.is_floating(target) and target.bit_width >= source.bit_width)
    if t.is_decimal(source) and t.is_decimal(target):
        whole = target.precision - target.scale >= source.precision - source.scale
        return bool(whole and target.scale >= source.scale)
    if _is_text(source) and _is_text(target):
        return True
    if _is_bytes(source) and _is_bytes(target):
        return True
    if t.is_dictionary(source):
        return bool(widens(source.value_type, target))
    if t.is_timestamp(source) and t.is_timestamp(target):
        return _unit_rank(target.unit) >= _unit_rank(source.unit) and (source.tz is None) == (
            target.tz is None
        )
    if t.is_date(source) and t.is_date(target):
        return True
    if _is_list(source) and _is_list(target):
        return widens(source.value_type, target.value_type)
    if t.is_struct(source) and t.is_struct(target):
        if [f.name for f in source] != [f.name for f in target]:
            return False
        return all(widens(a.type, b.type) for a, b in zip(source, target, strict=True))
    return False


def comparable(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether values of both types are of one kind, so that they may be equal."""
    one, other = (t.value_type if pa.types.is_dictionary(t) else t for t in (one, other))
    if widens(one, other) or widens(other, one):
        return True
    if is_number(one) and is_number(other):
        return True
    return bool(pa.types.is_timestamp(one) and pa.types.is_timestamp(other))


def is_number(type_: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_integer(type_) or t.is_floating(type_) or t.is_decimal(type_))


def _is_text(type_: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_string(type_) or t.is_large_string(type_) or t.is_string_view(type_))


def _is_bytes(type_: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_binary(type_) or t.is_large_binary(type_) or t.is_binary_view(type_))


def _is_list(type_: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_list(type_) or t.is_large_list(type_) or t.is_list_view(type_))


def _unit_rank(unit: str) -> int:
    return ("s", "ms", "us", "ns").index(unit)


class _TypeReader:
    """Recursive descent over a type's text; nesting is bounded by `DEPTH_MAX`."""

    DEPTH_MAX = 32

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def type(self) -> tuple[pa.DataType, bool]:
        self.depth += 1
        if self.depth > self.DEPTH_MAX:
            raise TypeSyntaxError(f"a type nests at most {self.DEPTH_MAX} levels", self.at)
        result = self._struct() if self._take("{") else self._named()
        self.depth -= 1
        return result, self._take("?")

    def end(self) -> None:
        self._space()
        if self.at < len(self.text):
            raise TypeSyntaxError(f"`{self.text[self.at :]}` is left over after the type", self.at)

    def _named(self) -> pa.DataType:
        start = self.at
        name = self._word()
        if name == "list":
            self._expect("<")
            item, nullable = self.type()
            self._expect(">")
            return pa.list_(pa.field("item", item, nullable=nullable))
        if name == "decimal":
            self._expect("(")
            precision = self._number()
            self._expect(",")
            scale = self._number()
            self._expect(")")
            if not (1 <= precision <= 76 and 0 <= scale <= precision):
                raise TypeSyntaxError(
                    "a decimal has 1 to 76 digits, and no more of them after the point", start
                )
            return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
        if name not in _SCALARS:
            raise TypeSyntaxError(f"`{name or self.text}` is not a type", start)
        return _SCALARS[name]

    def _struct(self) -> pa.DataType:
        fields: list[pa.Field] = []
        while not self._take("}"):
            name = self._word()
            if not name:
                raise TypeSyntaxError("a struct's field needs a name", self.at)
            self._expect(":")
            type_, nullable = self.type()
            fields.append(pa.field(name, type_, nullable=nullable))
            if not self._take(","):
                self._expect("}")
                break
        return pa.struct(fields)

    def _space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def _take(self, mark: str) -> bool:
        self._space()
        if self.text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            raise TypeSyntaxError(f"`{mark}` is missing", self.at)

    def _word(self) -> str:
        self._space()
        start = self.at
        while self.at < len(self.text) and (self.text[self.at].isalnum() or self.text[self.at] in "_-"):
            self.at += 1
        return self.text[start : self.at]

    def _number(self) -> int:
        word = self._word()
        if not word.isdigit():
            raise TypeSyntaxError("a whole number is missing", self.at)
        return int(word)

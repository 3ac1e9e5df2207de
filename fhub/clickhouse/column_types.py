"""ClickHouse's types by their names, and the Arrow type that each arrives as.

`received("Nullable(UInt8)")` is an `int?`. What Arrow has no exact type for, or ClickHouse sends as bare
numbers, is cast by the server: `wire` is the type that it is cast to.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pyarrow as pa

from heddle.core.record import record
from heddle.core.types import TIMESTAMP, type_name

_INTEGERS: Final = {
    **{f"Int{bits}": pa.int64() for bits in (8, 16, 32, 64)},
    **{f"UInt{bits}": pa.int64() for bits in (8, 16, 32, 64)},
}
_PLAIN: Final = {
    **_INTEGERS,
    "Float32": pa.float64(),
    "Float64": pa.float64(),
    "String": pa.string(),
    "Bool": pa.bool_(),
    "Date": pa.date32(),
    "Date32": pa.date32(),
    "FixedString": pa.binary(),
}
_TEXTS: Final = frozenset({"UUID", "IPv4", "IPv6", "Enum8", "Enum16", "JSON", "Object"})
"""Their text says all of them."""
_WIDE: Final = frozenset({"Int128", "Int256", "UInt128", "UInt256"})
_GEO: Final = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "Polygon": "Array(Ring)",
    "MultiLineString": "Array(LineString)",
    "MultiPolygon": "Array(Polygon)",
}
_TIMESTAMP_WIRE: Final = "DateTime64(6, 'UTC')"


@record(frozen=True, slots=True)
class Parts:
    """A type's name and the texts of its arguments: `Map(String, UInt8)`."""

    name: str
    arguments: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class Received:
    """`cast`: the server is asked for `wire`, and with `accurate` refuses what does not fit it. `note` says
    what a reader of the column should know."""

    wire: str
    arrow: pa.DataType
    nullable: bool = False
    cast: bool = False
    note: str = ""
    accurate: bool = False

    @property
    def wire_type(self) -> str:
        return f"Nullable({self.wire})" if self.nullable else self.wire


@record(frozen=True, slots=True)
class Element:
    """An element of a tuple."""

    name: str
    type: str


def parts_of(text: str) -> Parts:
    name, opened, rest = text.strip().partition("(")
    return Parts(name.strip(), _split(rest.rstrip()[:-1], ",") if opened else ())


def bare(text: str) -> tuple[str, bool]:
    """The type without `Nullable` and `LowCardinality`, and whether it is nullable."""
    nullable = False
    parts = parts_of(text)
    while parts.name in ("Nullable", "LowCardinality", "SimpleAggregateFunction"):
        nullable = nullable or parts.name == "Nullable"
        text = parts.arguments[-1]
        parts = parts_of(text)
    return text.strip(), nullable


def elements_of(parts: Parts) -> tuple[Element, ...]:
    """The elements of a Tuple or Nested; those without a name are called by their number, from 1."""
    found = []
    for number, argument in enumerate(parts.arguments, 1):
        words = _split(argument.strip(), " ")
        named = len(words) > 1
        name = _unquoted(words[0]) if named else str(number)
        found.append(Element(name, " ".join(words[1:]) if named else argument.strip()))
    return tuple(found)


def decimal_of(parts: Parts) -> pa.DataType:
    precision, scale = (int(argument) for argument in parts.arguments)
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def received(text: str) -> Received:
    """What a column of this type arrives as."""
    plain, nullable = bare(text)
    found = _received(plain)
    if not nullable:
        return found
    return Received(found.wire, found.arrow, True, found.cast, found.note)


def received_as(found: Received, wanted: pa.DataType) -> Received | None:
    """The column as the type that a program declares for it; None when ClickHouse cannot make it so."""
    if wanted.equals(found.arrow):
        return found
    if wanted.equals(pa.binary()) and found.wire == "String":
        return Received(found.wire, wanted, found.nullable, found.cast)
    wire = declared_wire(wanted)
    return None if wire is None else Received(wire, wanted, found.nullable, True, accurate=True)


def declared_wire(type_: pa.DataType) -> str | None:
    """ClickHouse's type for one of Heddle's scalar types."""
    if pa.types.is_decimal(type_):
        return f"Decimal({type_.precision}, {type_.scale})"
    if pa.types.is_integer(type_):
        return f"{'Int' if pa.types.is_signed_integer(type_) else 'UInt'}{type_.bit_width}"
    if pa.types.is_floating(type_) and type_.bit_width > 16:
        return f"Float{type_.bit_width}"
    if pa.types.is_timestamp(type_) and type_.tz is not None:
        digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[type_.unit]
        return f"DateTime64({digits}, 'UTC')"
    return _SCALAR_WIRES.get(type_name(type_))


_SCALAR_WIRES: Final = {"string": "String", "binary": "String", "bool": "Bool", "date": "Date32"}


def _received(text: str) -> Received:
    parts = parts_of(text)
    name = parts.name
    if name in _PLAIN:
        return Received(text, _PLAIN[name])
    if name in _NESTED:
        return _NESTED[name](parts)
    if name in _GEO:
        return _received(_GEO[name])
    if name in _TEXTS:
        return Received("String", pa.string(), cast=True)
    if name in _WIDE:
        note = f"{name} arrives as text, since an int has 64 bits"
        return Received("String", pa.string(), cast=True, note=note)
    if name == "Decimal":
        return Received(text, decimal_of(parts))
    if name == "DateTime":
        return Received(_TIMESTAMP_WIRE, TIMESTAMP, cast=True)
    if name == "DateTime64":
        return Received(text, TIMESTAMP)
    if name == "BFloat16":
        return Received("Float32", pa.float64(), cast=True)
    if name.startswith("Interval"):
        return Received("Int64", pa.int64(), cast=True)
    if name == "AggregateFunction":
        note = "the state of an aggregate arrives as binary; finalizeAggregation gives its value"
        return Received("String", pa.binary(), cast=True, note=note)
    if name in ("Nothing", "Dynamic", "Variant"):
        note = "" if name == "Nothing" else f"{name} arrives as text"
        return Received("String", pa.string(), nullable=True, cast=True, note=note)
    return Received("String", pa.string(), cast=True, note=f"{name} arrives as text")


def _array(parts: Parts) -> Received:
    return _list_of(received(parts.arguments[0]))


def _tuple(parts: Parts) -> Received:
    if not parts.arguments:
        return Received("String", pa.string(), cast=True)
    inside = [(element.name, received(element.type)) for element in elements_of(parts)]
    wire = ", ".join(f"{identifier(name)} {found.wire_type}" for name, found in inside)
    fields = [pa.field(name, found.arrow, found.nullable) for name, found in inside]
    return Received(f"Tuple({wire})", pa.struct(fields), cast=_any_cast(inside), note=_first_note(inside))


def _map(parts: Parts) -> Received:
    """Heddle has no maps: a list of keys with their values."""
    key, value = parts.arguments
    found = _list_of(_tuple(Parts("Tuple", (f"key {key.strip()}", f"value {value.strip()}"))))
    return Received(found.wire, found.arrow, cast=True, note=found.note)


def _nested(parts: Parts) -> Received:
    return _list_of(_tuple(parts))


def _list_of(inside: Received) -> Received:
    arrow = pa.list_(pa.field("item", inside.arrow, nullable=inside.nullable))
    return Received(f"Array({inside.wire_type})", arrow, cast=inside.cast, note=inside.note)


_NESTED: Final[dict[str, Callable[[Parts], Received]]] = {
    "Array": _array,
    "Tuple": _tuple,
    "Map": _map,
    "Nested": _nested,
}


def _any_cast(inside: list[tuple[str, Received]]) -> bool:
    return any(found.cast for _, found in inside)


def _first_note(inside: list[tuple[str, Received]]) -> str:
    return next((found.note for _, found in inside if found.note), "")


def identifier(name: str) -> str:
    """A name as ClickHouse reads it, whatever it holds."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def literal(text: str) -> str:
    """A text of our own, such as a type's name, as a literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _unquoted(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if name[:1] in ("`", '"') else name


def _split(text: str, separator: str) -> tuple[str, ...]:
    """The parts between separators that stand outside of parentheses and quotes. A blank separates however
    long it is."""
    found: list[str] = []
    start = depth = 0
    for match in re.finditer(r"'(?:\\.|''|[^'\\])*'|`(?:\\.|[^`\\])*`|\"(?:\\.|[^\"\\])*\"|[(),]|\s+", text):
        mark = match.group()
        if mark == "(":
            depth += 1
        elif mark == ")":
            depth -= 1
        elif depth == 0 and (mark == separator or (separator == " " and mark.isspace())):
            found.append(text[start : match.start()])
            start = match.end()
    return (*found, text[start:])

"""JSON messages as rows: block by block is one by one, and one by one is what the rules say."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhub.kafka.decoding import Decoded
from fhub.kafka.json_rows import JsonDecoder, schema_with_marks

UTC = dt.UTC
TRANSACTIONS = pa.schema(
    [
        pa.field("user_id", pa.int64(), nullable=False),
        pa.field("amount", pa.float64(), nullable=False),
        pa.field("currency", pa.string()),
        pa.field("at", pa.timestamp("us", "UTC")),
    ]
)
GOOD = b'{"user_id": 17, "amount": 12500.5, "currency": "USD", "at": "2026-01-02T03:04:05Z", "more": [1]}'


def decoded(values: list[bytes | None], schema: pa.Schema = TRANSACTIONS) -> tuple[list[Any], dict[int, str]]:
    result = JsonDecoder(schema).decode(values)
    assert result.rows.schema.equals(schema) or any(pa.types.is_null(f.type) for f in schema)
    result.rows.validate(full=True)
    assert result.rows.num_rows + len(result.bad) == len(values)
    assert [each.index for each in result.bad] == sorted(each.index for each in result.bad)
    return result.rows.to_pylist(), {each.index: each.reason for each in result.bad}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "it has no value (a tombstone)"),
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"not JSON", "it is not JSON: Expecting value"),
        (GOOD[:-1], "it is not JSON: Expecting ',' delimiter"),
        (GOOD + b" x", "it is not JSON: Extra data"),
        (GOOD + GOOD, "it is not JSON: Extra data"),
        (b"null", "null where an object is wanted"),
        (b"[" + GOOD + b"]", "where an object is wanted"),
        (b'{"amount": 1}', "it lacks `user_id`"),
        (b"{}", "it lacks `user_id`, `amount`"),
        (b'{"user_id": null, "amount": 1}', "`user_id` is null"),
        (b'{"user_id": "12", "amount": 1}', '`user_id` is "12" where int is wanted'),
        (b'{"user_id": 1.5, "amount": 1}', "`user_id` is 1.5 where int is wanted"),
        (b'{"user_id": true, "amount": 1}', "`user_id` is true where int is wanted"),
        (b'{"user_id": 9223372036854775808, "amount": 1}', "where int is wanted"),
        (b'{"user_id": 1, "amount": NaN}', "it is not JSON: NaN is no JSON"),
        (b'{"user_id": 1, "amount": 1, "x": Infinity}', "it is not JSON: Infinity is no JSON"),
        (b'{"user_id": 1, "amount": 1, "x": -Inf}', "it is not JSON"),
        (b'{"user_id": 1, "amount": 1e400}', "where float is wanted"),
        (b'{"user_id": 1, "amount": 1, "currency": 5}', "`currency` is 5 where string is wanted"),
        (b'{"user_id": 1, "amount": 1, "currency": "\\ud800"}', "where string is wanted"),
        (b'{"user_id": 1, "amount": 1, "at": "yesterday"}', "where timestamp is wanted"),
        (b'{"user_id": 1, "amount": 1, "x": "\xff"}', "it is not UTF-8"),
        (b'{"user_id": 1, "amount": 1, "x": "\n"}', "it is not JSON: Invalid control character at"),
        (b"\xef\xbb\xbf" + GOOD, "it is not JSON"),
        (GOOD.decode().encode("utf-16"), "it is not UTF-8"),
        (b'{"user_id": 1, "amount": 1, "x": ' + b"[" * 9999 + b"}", "it is not JSON"),
    ],
)
def test_a_bad_message_says_why_and_the_others_pass(value: bytes | None, reason: str) -> None:
    values = [*[GOOD] * 20, value, *[GOOD] * 20]
    rows, bad = decoded(values)
    assert list(bad) == [20]
    assert reason in bad[20]
    assert (
        rows
        == [
            {
                "user_id": 17,
                "amount": 12500.5,
                "currency": "USD",
                "at": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            }
        ]
        * 40
    )


@pytest.mark.parametrize(
    "value",
    [
        b' {"user_id": 1, "amount": 2}\r\n',
        b'{\n  "user_id": 1,\n  "amount": 2\n}',
        b'{"user_id": 1, "amount": 2e0}',
        b'{"\\u0075ser_id": 1, "amount": 2.0}',
        b'{"user_id": 0, "user_id": 1, "amount": 2}',
        b'{"user_id": 1.0, "amount": 2}',
        b'{"user_id": 1, "amount": 2, "x": ' + b"[" * 9999 + b"]" * 9999 + b"}",
        b'{"user_id": 1, "amount": 2, "x": ' + b"9" * 9999 + b"}",
        b'{"user_id": 1, "amount": 2, "x": "NaN: {}\\n{"}',
        b'{"user_id": 1, "amount": 2, "x": {"user_id": 5}}',
    ],
)
def test_other_forms_of_the_same_message(value: bytes) -> None:
    row = {"user_id": 1, "amount": 2.0, "currency": None, "at": None}
    for values in ([value], [value] * 3, [*[GOOD] * 30, value], [b"x", *[value] * 20]):
        rows, bad = decoded(list(values))
        assert rows[-1] == row
        assert list(bad) == [i for i, each in enumerate(values) if each == b"x"]


def test_every_type() -> None:
    texts = {
        "i": "int",
        "f": "float",
        "s": "string",
        "b": "bool",
        "at": "timestamp",
        "day": "date",
        "clock": "time",
        "took": "duration",
        "raw": "binary",
        "d": "decimal(10,2)",
        "l": "list<int?>",
        "n": "{x: int, y: list<{z: date?}>?}",
        "j": "json",
    }
    from fhub.cells import schema_of

    schema = schema_with_marks(texts, schema_of(texts))
    value = (
        b'{"i": -1, "f": 2, "s": "\\u0000\xc3\xa9", "b": true, "at": "2026-01-02T05:04:05.25+02:00", '
        b'"day": "2026-01-02", "clock": "01:02:03.5", "took": "PT1.5S", "raw": "AP8=", "d": 12.30, '
        b'"l": [1, null], "n": {"x": 1, "y": [{"z": "2026-01-02"}, {"z": null}]}, "j": {"a": [1.50, "x"]}}'
    )
    expected = {
        "i": -1,
        "f": 2.0,
        "s": "\0é",
        "b": True,
        "at": dt.datetime(2026, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC),
        "day": dt.date(2026, 1, 2),
        "clock": dt.time(1, 2, 3, 500_000),
        "took": dt.timedelta(seconds=1.5),
        "raw": b"\0\xff",
        "d": Decimal("12.30"),
        "l": [1, None],
        "n": {"x": 1, "y": [{"z": dt.date(2026, 1, 2)}, {"z": None}]},
        "j": '{"a": [1.50, "x"]}',
    }
    result = JsonDecoder(schema).decode([value] * 3)
    assert (result.rows.to_pylist(), result.bad) == ([expected] * 3, ())
    for name, text in texts.items():
        alone = {name: text}
        one = JsonDecoder(schema_with_marks(alone, schema_of(alone))).decode([value] * 3)
        assert (one.rows.to_pylist(), one.bad) == ([{name: expected[name]}] * 3, ())
        assert decoded([b"{}"], schema_of(alone))[1] == {0: f"it lacks `{name}`"}


def test_nulls_within_values() -> None:
    schema = pa.schema([("l", pa.list_(pa.field("item", pa.int64(), nullable=False)))])
    assert decoded([b'{"l": [1]}', b'{"l": [1, null]}', b'{"l": null}'], schema)[1].keys() == {1}
    inner = pa.struct([pa.field("x", pa.int64(), nullable=False)])
    schema = pa.schema([("s", inner)])
    assert decoded([b'{"s": {"x": 1}}', b'{"s": {}}', b'{"s": null}'], schema)[1].keys() == {1}


def test_narrow_types_refuse_what_they_cannot_hold() -> None:
    schema = pa.schema([("a", pa.int8())])
    rows, bad = decoded([b'{"a": 127}', b'{"a": 128}', b'{"a": -128}'], schema)
    assert (rows, list(bad)) == ([{"a": 127}, {"a": -128}], [1])


def test_a_column_of_unknown_type_is_text() -> None:
    schema = pa.schema([("a", pa.null()), ("b", pa.int64())])
    texts = ['"x"', "5", "1.50", '{"c": [null]}', "null", "true"]
    values: list[bytes | None] = [b'{"a": %s, "b": 1}' % text.encode() for text in texts]
    assert [row["a"] for row in decoded(values, schema)[0]] == [
        "x",
        "5",
        "1.50",
        '{"c": [null]}',
        None,
        "true",
    ]


def test_without_columns_there_are_still_rows() -> None:
    result = JsonDecoder(pa.schema([])).decode([b'{"a": 1}', b"{", b"{}"])
    assert (result.rows.num_rows, [each.index for each in result.bad]) == (2, [1])


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**66), 2**66),
    st.floats(allow_nan=False),
    st.text(max_size=4),
    st.sampled_from(["12", "2026-01-02T03:04:05Z", "2026-01-02", "2026-01-02 03:04:05.5+01:00", "NaN"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
)
COLUMNS = pa.schema(
    [
        pa.field("i", pa.int64()),
        pa.field("f", pa.float64(), nullable=False),
        pa.field("s", pa.string()),
        pa.field("b", pa.bool_()),
        pa.field("l", pa.list_(pa.int64())),
    ]
)
OBJECTS = st.dictionaries(st.sampled_from([*COLUMNS.names, "x"]), VALUES) | st.fixed_dictionaries(
    {"f": st.floats(allow_nan=False, allow_infinity=False)},
    optional={"i": st.integers(-(2**63), 2**63 - 1), "s": st.text(max_size=9), "b": st.booleans()},
)


def damaged(text: str) -> st.SearchStrategy[str]:
    places = st.integers(0, len(text))
    junk = st.sampled_from(["", "{", "}", "\n", "\r", "\0", '"', ",", "NaN", "null", "{}", "\\", " ", "}\n{"])
    return st.one_of(
        st.just(text),
        st.builds(lambda at, what: text[:at] + what + text[at:], places, junk),
        places.map(lambda at: text[:at]),
    )


MESSAGES = st.lists(
    st.none() | st.binary(max_size=4) | (OBJECTS | VALUES).map(json.dumps).flatmap(damaged).map(str.encode),
    max_size=40,
)


def fits(value: Any, type_: pa.DataType) -> bool:
    if value is None:
        return True
    if pa.types.is_int64(type_):
        whole = isinstance(value, int) or (isinstance(value, Decimal) and value == value.to_integral_value())
        return whole and not isinstance(value, bool) and -(2**63) <= value < 2**63
    if pa.types.is_float64(type_):
        number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        return number and math.isfinite(float(value))
    if pa.types.is_string(type_):
        return isinstance(value, str) and value.encode(errors="replace") == value.encode(errors="ignore")
    if pa.types.is_boolean(type_):
        return isinstance(value, bool)
    return isinstance(value, list) and all(fits(item, type_.value_type) for item in value)


def no_constant(name: str) -> Any:
    raise ValueError(name)


def by_the_rules(value: bytes | None) -> dict[str, Any] | None:
    """The row of a message, or None for a bad one."""
    if value is None:
        return None
    try:
        found = json.loads(value.decode(), parse_constant=no_constant, parse_float=Decimal)
    except ValueError:
        return None
    if not isinstance(found, dict) or not all(fits(found.get(f.name), f.type) for f in COLUMNS):
        return None
    if any(not f.nullable and found.get(f.name) is None for f in COLUMNS):
        return None
    row = {name: found.get(name) for name in COLUMNS.names}
    return {**row, "f": float(row["f"]), "i": None if row["i"] is None else int(row["i"])}


@given(MESSAGES)
@settings(max_examples=150)
def test_a_block_is_read_as_its_messages_are_by_the_rules(values: list[bytes | None]) -> None:
    expected = [by_the_rules(value) for value in values]
    rows, bad = decoded(values, COLUMNS)
    assert rows == [row for row in expected if row is not None]
    assert list(bad) == [index for index, row in enumerate(expected) if row is None]
    one_by_one: list[Decoded] = [JsonDecoder(COLUMNS).decode([value]) for value in values]
    assert rows == [row for one in one_by_one for row in one.rows.to_pylist()]
    assert bad == {i: one.bad[0].reason for i, one in enumerate(one_by_one) if one.bad}


MOMENTS = st.from_regex(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9](:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,9})?)?)?"
    r"(Z|[+-][01][0-9]:?[0-5][0-9]|[+-][01][0-9])?)?",
    fullmatch=True,
)
NUMBERS = st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
TYPES = {"at": pa.timestamp("us", "UTC"), "day": pa.date32(), "d": pa.decimal128(10, 2), "f": pa.float32()}


@given(st.sampled_from(list(TYPES)), st.lists(MOMENTS | NUMBERS | MOMENTS.map(lambda s: s[:10]), max_size=4))
@settings(max_examples=100)
def test_a_block_of_times_and_numbers_is_read_as_its_messages(name: str, texts: list[str]) -> None:
    schema = pa.schema([(name, TYPES[name])])
    values: list[bytes | None] = []
    for text in texts:
        values += [json.dumps({name: text}).encode(), b'{"%s": %s}' % (name.encode(), text.encode())]
    for value in values:
        together, alone = decoded([value] * 2, schema), JsonDecoder(schema)._one_by_one([value, value])
        assert together[0] == alone.rows.to_pylist()
    rows, bad = decoded(values, schema)
    assert len(rows) == sum(len(decoded([value], schema)[0]) for value in values)
    assert len(rows) + len(bad) == len(values)

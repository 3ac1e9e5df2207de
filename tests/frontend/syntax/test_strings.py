"""What strings and numbers mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heddle.frontend.strings import BadSpelling, decode_number, decode_string


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('""', ""),
        (r'"a\"b\\c\n\t\r\0"', 'a"b\\c\n\t\r\0'),
        (r'"\u00e9\u6f22"', "é漢"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ('"""one"""', "one"),
        ('"""\n    a\n      b\n\n    c\n    """', "a\n  b\n\nc"),
        ('"""a\n  b\n  c"""', "a\nb\nc"),
        ('"""\r\n  a\r\n  b\r\n"""', "a\nb"),
        ('"""\n  say "hi" \\"""\n"""', 'say "hi" """'),
        (r'"""\ttab"""', "\ttab"),
    ],
)
def test_strings(text: str, value: str) -> None:
    assert decode_string(text) == (value, ())


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (r'"\q"', [(1, 3)]),
        (r'"ok \d and \w"', [(4, 6), (11, 13)]),
        (r'"\ud800"', [(1, 7)]),
        (r'"\u12"', [(1, 3)]),
    ],
)
def test_escapes_without_meaning(text: str, places: list[tuple[int, int]]) -> None:
    _, bad = decode_string(text)
    assert [(spelling.start, spelling.end) for spelling in bad] == places


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-1", -1),
        ("+2", 2),
        ("1_000", 1000),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e5", 1e5),
        ("-2.5E-3", -0.0025),
        ("1_0.2_5", 10.25),
    ],
)
def test_numbers(text: str, value: float) -> None:
    number = decode_number(text)
    assert number == value
    assert type(number) is type(value)


@pytest.mark.parametrize(
    "text", ["1x", "1__0", "1_", "1.2.3", "1e", "1e+", "9223372036854775808", "1e999", "9" * 5000]
)
def test_what_is_no_number(text: str) -> None:
    assert isinstance(decode_number(text), BadSpelling)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_integer_of_64_bits(value: int) -> None:
    assert decode_number(f"{value:_}") == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_float(value: float) -> None:
    assert decode_number(repr(value)) == value

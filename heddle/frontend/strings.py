"""What strings and numbers mean: their spelling in a program becomes a Python value.

A spelling that means nothing gives a `BadSpelling`, which says what is wrong and where in the spelling.
"""

from __future__ import annotations

import math
import re

from heddle.core.record import record

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_ESCAPE = r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.)|\Z)"
_SIMPLE_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_WRITTEN = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"})
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_INTEGER = re.compile(rf"[+-]?{_DIGITS}\Z")
_FLOAT = rf"[+-]?(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:[eE][+-]?[0-9]+)?\Z"
_DIGITS_MAX = 400


@record(frozen=True, slots=True)
class BadSpelling:
    """`start` and `end` count from the start of the spelling; `written` is how it could be written."""

    start: int
    end: int
    message: str
    help: str
    written: str | None = None


def encode_string(value: str) -> str:
    """The value as a program writes it, with quotes."""
    return f'"{value.translate(_WRITTEN)}"'


def decode_string(text: str) -> tuple[str, tuple[BadSpelling, ...]]:
    """The value of a string written as `text`, with its quotes; escapes without meaning stay as written."""
    body = _dedent(text[3:-3]) if text.startswith('"""') else text[1:-1]
    if "\\" not in body:
        return body, ()
    bad = tuple(_bad_escape(m) for m in re.finditer(_ESCAPE, text, re.S) if _decode_escape(m) is None)
    return re.sub(_ESCAPE, lambda m: _decode_escape(m) or m[0], body, flags=re.S), bad


def _decode_escape(found: re.Match[str]) -> str | None:
    high, low, unit, simple = found.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    if unit:
        point = int(unit, 16)
        return None if 0xD800 <= point <= 0xDFFF else chr(point)
    return _SIMPLE_ESCAPES.get(simple) if simple else None


def _bad_escape(found: re.Match[str]) -> BadSpelling:
    written, better = found[0], None
    if found[3]:
        message, help = f"`{written}` is half of a character", "a character beyond U+FFFF takes two `\\u`"
    elif written == "\\u":
        message, help = "`\\u` takes four hexadecimal digits", "write it like `\\u00e9`"
    else:
        message = f"`{written}` is no escape" if written.isprintable() else "a `\\` ends this line"
        better = "\\" + written if written.isprintable() else None
        help = 'the escapes are `\\"` `\\\\` `\\n` `\\t` `\\r` `\\0` `\\uXXXX`; a backslash itself is `\\\\`'
    return BadSpelling(found.start(), found.end(), message, help, better)


def _dedent(body: str) -> str:
    """Take away the line breaks next to the quotes and the indentation that all lines share."""
    lines = body.replace("\r\n", "\n").split("\n")
    if len(lines) == 1:
        return body
    first, rest = lines[0], lines[1:]
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    rest = [line[margin:] if line.strip() else "" for line in rest]
    if not lines[-1].strip():
        rest.pop()
    return "\n".join(rest if not first.strip() else [first, *rest])


def decode_number(text: str) -> int | float | BadSpelling:
    """The value of a number: an int of 64 bits, or a finite float."""

    shown = text if len(text) <= 40 else text[:40] + "…"
    too_large = f"`{shown}` is too large for"
    if _INTEGER.match(text):
        value = int(text) if len(text) <= _DIGITS_MAX else INT64_MAX + 1
        if INT64_MIN <= value <= INT64_MAX:
            return value
        help = "an integer has 64 bits; write it as a string, or with `.0` as a float"
        return BadSpelling(0, len(text), f"{too_large} an integer", help)
    if re.match(_FLOAT, text):
        number = float(text)
        if math.isfinite(number):
            return number
        return BadSpelling(0, len(text), f"{too_large} a number", "a float goes up to about 1.8e308")
    message = f"`{shown}` is not a number"
    if text.strip("0123456789_") == "":
        return BadSpelling(0, len(text), message, "an `_` stands between two digits")
    return BadSpelling(0, len(text), message, f'text stands in quotes: `"{shown}"`', f'"{text}"')

"""Why a text is not TOML: tomllib's message becomes a diagnostic at its place, in our words."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from heddle.diagnostics import Diagnostic, Source, Span

_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_PAIR_HELP = 'write it like `name = "value"`'
_TOML_PROBLEMS = {
    "Invalid statement": ("a key or a [table] is expected here", _PAIR_HELP),
    "Invalid initial character for a key part": ("a key is expected here", _PAIR_HELP),
    "Expected '=' after a key": ("`=` is expected after a key", _PAIR_HELP),
    "Expected ']": ("`]` is missing after the table's name", "write it like `[project]`"),
    "Expected newline or end of document": ("the line should end here", "give each key a line of its own"),
    "Expected": ("this string is never closed", "close it with the quotes that opened it"),
    "Unterminated string": ("this string is never closed", "close it with the quotes that opened it"),
    "Unclosed array": ("this array is never closed", "close it with `]`"),
    "Unclosed inline table": ("this inline table is never closed", "close it with `}`"),
    "Invalid value": ("this is not a value", 'strings stand in quotes: `name = "value"`'),
    "Invalid date": ("there is no such date or time", "put it in quotes if it is a string"),
    "Cannot overwrite a value": ("this key is given twice", "keep one of the two"),
    "Duplicate inline table key": ("this key is given twice", "keep one of the two"),
    "Cannot declare": ("this table is given twice", "keep one of the two, with the keys of both"),
    "Cannot redefine": ("this table is given twice", "keep one of the two, with the keys of both"),
    "Cannot mutate": ("this table is closed already", "give all its keys in one place"),
    "Found invalid character": ("a control character stands here", "remove it, or write it as an escape"),
    "Illegal character": ("a control character or line break stands in this string", "write it as an escape"),
    "Unescaped '\\'": ("`\\` starts no known escape here", "write `\\\\`, or use single quotes: 'C:\\data'"),
    "Escaped character": ("this escape names no character", "write the character itself"),
    "Invalid hex value": ("this escape names no character", "write the character itself"),
}
"""What tomllib's messages start with, the longer before the shorter, and how we say it."""


def toml_problem(source: Source, error: tomllib.TOMLDecodeError) -> Diagnostic:
    raw = str(error)
    place = _TOML_PLACE.search(raw)
    if place and place[1]:
        lines = source.text.split("\n")
        start = sum(len(line) + 1 for line in lines[: int(place[1]) - 1]) + int(place[2]) - 1
    else:
        start = len(source.text)
    start = min(start, len(source.text))
    span = Span(start, min(start + 1, len(source.text)))
    otherwise = ("the text cannot be read from here on", _PAIR_HELP)
    what, help = next((ours for theirs, ours in _TOML_PROBLEMS.items() if raw.startswith(theirs)), otherwise)
    name = Path(source.path).name
    return Diagnostic("HD0720", "error", f"{name} is not valid TOML: {what}", source, span, help)

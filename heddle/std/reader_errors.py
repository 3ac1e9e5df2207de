"""What goes wrong when files are read, in Heddle's words.

`ReaderError` is raised while files are found and described. What DataFusion raises while it reads rows
arrives as text: `explain_error` translates the texts that come from readers, and only those.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final, Literal

ReaderProblem = Literal["missing", "empty", "invalid", "config", "unreachable"]
Explanation = tuple[str, str | None]

_STORE: Final = re.compile(r"Object Store error: (?P<what>.*)")
_PREFIX: Final = "cannot read `"
_HELP: Final = "\nhelp: "


class ReaderError(Exception):
    """`place` is the path as the program wrote it. The text is the message with the help below it."""

    def __init__(self, kind: ReaderProblem, place: str, reason: str, help: str | None = None) -> None:
        self.kind = kind
        self.message = f"{_PREFIX}{place}`: {reason}"
        self.help = help
        super().__init__(self.message + (f"{_HELP}{help}" if help else ""))


def explain_error(text: str) -> Explanation | None:
    """(message, help) for the text of an error that a reader caused; None for any other text."""
    if text.startswith(_PREFIX):
        message, _, help = text.partition(_HELP)
        return message, help or None
    for pattern, translate in _TRANSLATIONS:
        if found := pattern.search(text):
            return translate(found, _file_in(text))
    return None


def reader_error(place: str, text: str) -> ReaderError:
    """The error for a text that DataFusion raised while it described `place`."""
    explained = explain_error(text)
    if explained is None:
        last = text.strip().splitlines()[-1] if text.strip() else "no reason was given"
        return ReaderError("invalid", place, last.rpartition(" error: ")[2])
    message, help = explained
    if "No files found" in text:
        return ReaderError("missing", place, message, help)
    away = "://" in place and _STORE.search(text)
    return ReaderError("unreachable" if away else "invalid", place, message, help)


def _file_in(text: str) -> str:
    """The file that a text names, as a prefix for the message."""
    found = re.search(r"processing \w+ file (?P<path>\S+)", text)
    if found is None:
        return ""
    path = "/" + found["path"].lstrip("/")
    relative = os.path.relpath(path)
    return f"{path if relative.startswith('..') else relative}: "


Translation = Callable[[re.Match[str], str], Explanation]


def _wrong_type(m: re.Match[str], file: str) -> Explanation:
    column = int(m["column"]) + 1
    return (
        f"{file}'{m['value']}' in column {column} is not {_type(m['type'])}, in the row `{m['row']}`",
        "the column types come from the first rows: name the type in `schema`, or raise `infer_rows`",
    )


def _fields(m: re.Match[str], file: str) -> Explanation:
    return (
        f"{file}a row has {m['found']} values where the header has {m['wanted']}",
        "a value with a delimiter in it needs quotes; the `delimiter` setting names another one",
    )


def _unequal(m: re.Match[str], file: str) -> Explanation:
    return (
        f"{file}line {m['line']} has {m['found']} values where the header has {m['wanted']}",
        "a value with a delimiter in it needs quotes; the `delimiter` setting names another one",
    )


def _json_value(m: re.Match[str], file: str) -> Explanation:
    return (
        f"{file}`{m['field']}` holds {m['value']}, which is not {_type(m['type'])}",
        "the types come from the first rows: name the type in `schema`, or raise `infer_rows`",
    )


def _json_syntax(m: re.Match[str], file: str) -> Explanation:
    what = "a line is not a JSON object"
    return f"{file}{what} ({m['what'].strip()})", "JSON lines have one object on each line"


def _parquet(m: re.Match[str], file: str) -> Explanation:
    what = (
        "it has no Parquet footer"
        if "footer" in m["what"] or "magic" in m["what"]
        else "its pages are damaged"
    )
    return (
        f"{file}this is not a whole Parquet file: {what}",
        "write it again, or check that it was copied whole",
    )


def _merge(m: re.Match[str], file: str) -> Explanation:
    a, b = _type(m["a"]), _type(m["b"])
    return (
        f"{file}the files do not agree: `{m['field']}` is {a} in one and {b} in another",
        f'name its type: schema: {{ {m["field"]}: "{b}" }}',
    )


def _store(m: re.Match[str], file: str) -> Explanation:
    return (
        f"{file}the object store did not answer as expected: {m['what'].strip()[:200]}",
        "check the address, and the credentials: those of the resource in the slot `store`, without one "
        "those in the environment (AWS_…, GOOGLE_…, AZURE_…)",
    )


_TRANSLATIONS: Final[tuple[tuple[re.Pattern[str], Translation], ...]] = (
    (
        re.compile(
            r"Error while parsing value '(?P<value>.*?)' as type '(?P<type>.+?)' for column (?P<column>\d+) "
            r"at line \d+. Row data: '\[(?P<row>.*)\]'",
            re.DOTALL,
        ),
        _wrong_type,
    ),
    (
        re.compile(r"Expected (?P<wanted>\d+) records?, found (?P<found>\d+) records? at line (?P<line>\d+)"),
        _unequal,
    ),
    (
        re.compile(
            r"incorrect number of fields for line \d+, expected (?P<wanted>\d+) "
            r"got (?P<found>more than \d+|\d+)"
        ),
        _fields,
    ),
    (
        re.compile(r"Csv error: .*?(?:UTF-8|utf-8).*?at line (?P<line>\d+)", re.DOTALL),
        lambda m, file: (f"{file}line {m['line']} is not UTF-8 text", "convert the file to UTF-8"),
    ),
    (
        re.compile(r"Csv error: .*?(?:UTF-8|utf-8)", re.DOTALL),
        lambda m, file: (f"{file}it is not UTF-8 text", "convert the file to UTF-8"),
    ),
    (
        re.compile(
            r"whilst decoding field '(?P<field>.*?)': failed to parse (?P<value>.+?) as (?P<type>[\w() ,]+)"
        ),
        _json_value,
    ),
    (
        re.compile(r"whilst decoding field '(?P<field>.*?)': expected (?P<type>[\w ]+) got (?P<value>.+)"),
        _json_value,
    ),
    (re.compile(r"Json error: (?P<what>.*)"), _json_syntax),
    (re.compile(r"Parquet error: (?P<what>.*)"), _parquet),
    (
        re.compile(r"Failed to parse Arrow file(?P<what>.*)"),
        lambda m, file: (
            f"{file}this is not an Arrow IPC file or stream",
            "write it again, or check that it was copied whole",
        ),
    ),
    (
        re.compile(
            r"Fail to merge schema field '(?P<field>.*?)' because the from data_type = (?P<a>.+?) "
            r"does not equal (?P<b>\S+)"
        ),
        _merge,
    ),
    (
        re.compile(
            r"Invalid gzip header|Unknown frame descriptor|\b(?:bz2|xz|lzma)\b|stream is corrupt",
            re.IGNORECASE,
        ),
        lambda m, file: (
            f"{file}it is not compressed in the way that is expected",
            "the `compression` setting names another way; `auto` goes by the file's ending",
        ),
    ),
    (
        re.compile(r"Permission denied"),
        lambda m, file: (f"{file}permission denied", "check who may read the file"),
    ),
    (
        re.compile(r"No files found at (?P<what>\S+)\."),
        lambda m, file: (
            "there is no such object, or nothing below that address",
            "an address that stands for a folder ends in `/`",
        ),
    ),
    (_STORE, _store),
)

_TYPE_NAMES: Final = {
    "Int64": "int",
    "Int32": "int",
    "Float64": "float",
    "Utf8": "string",
    "Utf8View": "string",
    "Boolean": "bool",
    "Date32": "date",
}


def _type(name: str) -> str:
    """Heddle's name for a type that Arrow's Rust texts name."""
    name = name.strip()
    if name.startswith("Timestamp"):
        return "timestamp"
    if name.startswith("Decimal"):
        return "decimal" + name[name.find("(") :].replace(" ", "") if "(" in name else "decimal"
    return _TYPE_NAMES.get(name, name)

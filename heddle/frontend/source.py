"""Reading a program's file: bytes become a `Source`, or the diagnostic that says why they are no text.

The only part of the frontend that touches a file. A missing or unreadable file raises `OSError`.
"""

from __future__ import annotations

from pathlib import Path

from heddle.diagnostics import Diagnostic, Source, Span

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_source(path: str | Path) -> Source | Diagnostic:
    return decode_source(str(path), Path(path).read_bytes())


def decode_source(path: str, data: bytes) -> Source | Diagnostic:
    """The text of a program; a byte order mark is taken away, line breaks stay as they are."""
    if data.startswith(_UTF16_MARKS):
        return _not_text(path, data, 0, "it is written in UTF-16", "save it as UTF-8")
    if (at := data.find(b"\0")) >= 0:
        return _not_text(path, data, at, "it holds a NUL byte", "is this a program? Save it as UTF-8 text")
    try:
        return Source(path, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        mark = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        at = error.start + mark
        return _not_text(path, data, at, f"the byte 0x{data[at]:02X} has no meaning here", "save it as UTF-8")


def _not_text(path: str, data: bytes, at: int, why: str, help: str) -> Diagnostic:
    before = data[:at].decode("utf-8-sig", "replace")
    source = Source(path, before + data[at:].decode("utf-8", "replace"))
    message = f"the program is not UTF-8 text: {why}"
    return Diagnostic("HD0101", "error", message, source, Span(len(before), len(before) + 1), help)

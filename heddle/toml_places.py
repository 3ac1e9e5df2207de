"""Where the keys of a TOML text stand.

`tomllib` gives values without places. `key_places` reads a text that `tomllib` has accepted and maps
the path of each key to the spans of the key and of its value, so that a diagnostic can point at them.
"""

from __future__ import annotations

import re
import tomllib
from typing import TypeAlias

from heddle.core.record import record
from heddle.diagnostics import Span

KeyPath: TypeAlias = tuple[str, ...]

_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?""""{0,2}|\'\'\'.*?\'\'\'\'{0,2}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'''', re.DOTALL
)
_SCALAR = re.compile(r"[^\s,\]}#](?:[^\n,\]}#]*[^\s,\]}#])?")


@record(frozen=True, slots=True)
class KeyPlace:
    """`value` is the key's own span when the key is a table's header."""

    key: Span
    value: Span


def key_places(text: str) -> dict[KeyPath, KeyPlace]:
    """The first place of each key. Keys inside arrays are not listed."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.found


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[KeyPath, KeyPlace] = {}

    def document(self) -> None:
        table: KeyPath = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_BLANK)

    def header(self) -> KeyPath:
        brackets = "[[" if self.text.startswith("[[", self.at) else "["
        self.at += len(brackets)
        path = self.key(())
        for prefix, span in path:
            self.found.setdefault(prefix, KeyPlace(span, span))
        self.at += len(brackets)
        return path[-1][0]

    def pair(self, table: KeyPath) -> None:
        path = self.key(table)
        self.at += 1
        self.skip(_BLANK)
        start = self.at
        self.value(path[-1][0])
        value = Span(start, self.at)
        for prefix, span in path:
            self.found.setdefault(prefix, KeyPlace(span, value))

    def key(self, table: KeyPath) -> list[tuple[KeyPath, Span]]:
        """A dotted key: each of its prefixes with the span of its last part. Ends before `=` or `]`."""
        parts: list[tuple[KeyPath, Span]] = []
        while True:
            self.skip(_BLANK)
            start = self.at
            name = _decoded(self.skip(_KEY))
            table = (*table, name)
            parts.append((table, Span(start, self.at)))
            self.skip(_BLANK)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def value(self, path: KeyPath | None) -> None:
        """`path` is None inside an array, whose keys have no place of their own."""
        match self.text[self.at]:
            case '"' | "'":
                self.skip(_STRING)
            case "[":
                self.items("]", None)
            case "{":
                self.items("}", path)
            case _:
                self.skip(_SCALAR)

    def items(self, closer: str, path: KeyPath | None) -> None:
        self.at += 1
        self.skip(_BLANK)
        while self.text[self.at] != closer:
            if closer == "]":
                self.value(None)
            elif path is None:
                self.key(())
                self.at += 1
                self.skip(_BLANK)
                self.value(None)
            else:
                self.pair(path)
            self.skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self.skip(_BLANK)
        self.at += 1

    def skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        assert found is not None, "tomllib has accepted this text"
        self.at = found.end()
        return found[0]


def _decoded(key: str) -> str:
    if key[0] not in "\"'":
        return key
    decoded = tomllib.loads(f"key = {key}")["key"]
    assert isinstance(decoded, str)
    return decoded

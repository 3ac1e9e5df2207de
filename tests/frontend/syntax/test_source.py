"""Reading a program's bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from heddle.diagnostics import Diagnostic, Position, Source
from heddle.frontend.source import decode_source, read_source
from tests.frontend.syntax.trees import errors, parse_text


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "program.he"
    path.write_bytes(b'\xef\xbb\xbfimport "std/io" io\r\n// caf\xc3\xa9\r\n')
    assert read_source(path) == Source(str(path), 'import "std/io" io\r\n// café\r\n')


@pytest.mark.parametrize(
    ("data", "position", "words"),
    [
        (b"// ok\n// caf\xe9\n", Position(2, 7), "0xE9"),
        (b"\xef\xbb\xbf// ok\n\xff", Position(2, 1), "0xFF"),
        (b"workflow W {\n  \0 }", Position(2, 3), "NUL"),
        (b"\xff\xfew\0", Position(1, 1), "UTF-16"),
    ],
)
def test_what_is_no_text(data: bytes, position: Position, words: str) -> None:
    found = decode_source("program.he", data)
    assert isinstance(found, Diagnostic)
    assert found.code == "HD0101"
    assert found.source.position(found.span.start) == position
    assert words in found.message


@pytest.mark.parametrize("mark", ["\0", "\ufffd"])
def test_a_damaged_text_is_reported_once(mark: str) -> None:
    result = parse_text(f'step a = b.c {{ d: "{mark}" }}\n{mark}{mark} step e = {mark}')
    assert [d.code for d in errors(result) if d.code == "HD0101"] == ["HD0101"]

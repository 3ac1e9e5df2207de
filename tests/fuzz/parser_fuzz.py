"""Fuzzing of the parser and the formatter with atheris (`make fuzz`).

    python tests/fuzz/parser_fuzz.py -max_total_time=60 [CORPUS]

Any bytes must parse without an exception, with tokens in order and findings inside the text; formatting
must be stable and keep every comment and every item.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["heddle.frontend"]):
    from heddle.diagnostics import Diagnostic, Source
    from heddle.frontend.formatter import format_source
    from heddle.frontend.parser import ParseResult, parse
    from heddle.frontend.source import decode_source
    from heddle.frontend.tokens import tokenize


def check_text(source: Source) -> None:
    text = source.text
    tokens, _, _ = tokenize(source)
    assert tokens[-1].kind == "end"
    assert all(a.end <= b.start for a, b in pairwise(tokens))
    before = parse(source)
    assert all(0 <= d.span.start <= d.span.end <= len(text) for d in before.diagnostics)
    formatted = format_source(text)
    assert format_source(formatted) == formatted
    after = parse(Source(source.path, formatted))
    assert _comments(after) == _comments(before)
    assert len(after.program.items) == len(before.program.items)


def _comments(result: ParseResult) -> list[str]:
    return sorted(comment.text.replace("\r\n", "\n") for comment in result.program.comments)


def check_bytes(data: bytes) -> None:
    source = decode_source("fuzz.he", data)
    check_text(source.source if isinstance(source, Diagnostic) else source)


if __name__ == "__main__":
    atheris.Setup(sys.argv, check_bytes)
    atheris.Fuzz()

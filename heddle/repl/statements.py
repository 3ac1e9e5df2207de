"""Text -> statements and commands, in order. A statement ends with `;`, a command (`\\d orders`) with its
line."""

from __future__ import annotations

from typing import Literal

from heddle.core.record import record
from heddle.database.model import Language
from heddle.repl.lexer import tokens


@record(frozen=True, slots=True)
class Piece:
    """`text` is without the `;`, `start` its offset in the whole. `complete`: it has its end."""

    kind: Literal["statement", "command"]
    text: str
    start: int
    complete: bool


def next_piece(text: str, start: int, language: Language) -> tuple[Piece | None, int]:
    """The first piece from `start` on that says something, and where the next one begins. None at the end:
    empty statements and comments say nothing."""
    while start < len(text):
        piece, start = _read(text, start, language)
        if piece is not None:
            return piece, start
    return None, start


def is_complete(text: str, language: Language) -> bool:
    """Whether it can be run as it is: all its statements have their ends."""
    start = 0
    while start < len(text):
        piece, start = _read(text, start, language)
        if piece is not None and not piece.complete:
            return False
    return True


def _read(text: str, start: int, language: Language) -> tuple[Piece | None, int]:
    said: int | None = None
    last = start
    for token in tokens(text, language, start):
        if token.kind == "end":
            piece = Piece("statement", text[said:last], said, complete=True) if said is not None else None
            return piece, token.end
        if said is None and token.text == "\\":
            line = text[token.start :].split("\n", 1)[0]
            return Piece("command", line.strip(), token.start, complete=True), token.start + len(line) + 1
        if token.open or token.kind not in ("space", "comment"):
            said = token.start if said is None else said
            last = token.end
    return (Piece("statement", text[said:last], said, complete=False) if said is not None else None), len(
        text
    )

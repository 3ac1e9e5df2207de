"""What can stand where the cursor is: `complete` takes a text, the place in it and the vocabulary, and gives
candidates, the likeliest first. It knows nothing of the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from heddle.database.model import Language
from heddle.repl.commands import COMMANDS
from heddle.repl.formats import FORMATS
from heddle.repl.lexer import tokens
from heddle.repl.statement_completion import Candidate, Word, in_statement, table_names
from heddle.repl.statements import next_piece
from heddle.repl.vocabulary import Vocabulary


def complete(text: str, cursor: int, words: Vocabulary) -> list[Candidate]:
    start, piece = _piece(text, cursor, words.language)
    if not piece.startswith("\\"):
        return list(in_statement(piece, cursor - start, start, words))
    name, space, rest = piece[1 : cursor - start].partition(" ")
    if not space:
        return list(_names(name, start))
    behind = piece[cursor - start :]
    return list(_argument(name, rest, behind, cursor, words))


def _piece(text: str, cursor: int, language: Language) -> tuple[int, str]:
    """The statement or command that the cursor is in or behind, and where it begins."""
    start = 0
    while True:
        piece, following = next_piece(text, start, language)
        if piece is None or cursor < piece.start:
            return cursor, ""
        ends = piece.start + len(piece.text) if piece.complete else len(text)
        if cursor <= ends or (piece.kind == "command" and cursor < following):
            return piece.start, text[piece.start : following]
        start = following


def _names(begun: str, start: int) -> Iterator[Candidate]:
    for name, summary in {c.name: c.summary for c in COMMANDS}.items():
        if name.startswith(begun):
            yield Candidate(f"\\{name}", start, "command", f"\\{name}", summary)


def _argument(name: str, rest: str, behind: str, cursor: int, words: Vocabulary) -> Iterator[Candidate]:
    """`rest` stands between the name and the cursor, `behind` after that."""
    takes = next((c.takes for c in COMMANDS if c.name == name), "nothing")
    last = rest.rpartition(" ")[2]
    start = cursor - len(last)
    match takes:
        case "file":
            yield from _files(last, start)
        case "format":
            yield from _values(FORMATS, last, start)
        case "toggle":
            yield from _values(("on", "off"), last, start)
        case "language":
            yield from _values(("sql", "prql", "duckdb"), last, start)
        case "parameter":
            yield from _values(words.parameters, last, start)
        case "statement":
            yield from in_statement(rest + behind, len(rest), cursor - len(rest), words)
        case "table":
            word = Word.at(rest, len(rest), words.language)
            yield from table_names(word, cursor - len(rest), words.tables)
        case "copy":
            yield from _copied(rest, behind, cursor, words)
        case "nothing" | "text":
            return


def _copied(rest: str, behind: str, cursor: int, words: Vocabulary) -> Iterator[Candidate]:
    """A table or a query, then `to` or `from`, then a file."""
    said = [token for token in tokens(rest, words.language) if token.kind not in ("space", "comment")]
    last = rest.rpartition(" ")[2]
    start = cursor - len(last)
    if sum((token.text == "(") - (token.text == ")") for token in said):
        yield from in_statement(rest + behind, len(rest), cursor - len(rest), words)
    elif any(token.word in ("TO", "FROM") and token.end < len(rest) for token in said):
        yield from _files(last, start)
    elif said and said[0].end < len(rest) - len(last):
        yield from _values(("to", "from"), last, start)
    else:
        word = Word.at(rest, len(rest), words.language)
        yield from table_names(word, cursor - len(rest), words.tables)


def _values(values: Iterable[str], begun: str, start: int) -> Iterator[Candidate]:
    for value in values:
        if value.startswith(begun.lower()):
            yield Candidate(value, start, "value", value)


def _files(begun: str, start: int) -> Iterator[Candidate]:
    folder, slash, name = begun.rpartition("/")
    try:
        inside = sorted(Path(folder + slash or ".").expanduser().iterdir())
    except OSError:
        return
    for path in inside:
        if path.name.startswith(name) and (name.startswith(".") or not path.name.startswith(".")):
            shown = path.name + ("/" if path.is_dir() else "")
            yield Candidate(f"{folder}{slash}{shown}", start, "file", shown)

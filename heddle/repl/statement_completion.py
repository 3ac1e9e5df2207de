"""What can stand at a place of a statement: tables behind `from`, columns of what the statement reads
elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

import pyarrow as pa

from heddle.core.record import record
from heddle.core.types import type_name
from heddle.database.model import Language, TableInfo
from heddle.repl.lexer import Token, tokens
from heddle.repl.names import quoted_as, unquoted, written
from heddle.repl.scope import BEFORE_TABLES, Reference, meant, references
from heddle.repl.vocabulary import Vocabulary, functions, keywords

Kind: TypeAlias = Literal[
    "table", "schema", "column", "function", "parameter", "keyword", "command", "file", "value"
]

_SQL_STARTS: Final = "SELECT WITH EXPLAIN INSERT UPDATE DELETE CREATE DROP VALUES"
_STARTS: Final[dict[Language, tuple[str, ...]]] = {
    "sql": tuple(_SQL_STARTS.split()),
    "duckdb": ("FROM", *_SQL_STARTS.split()),
    "prql": ("from", "let", "prql"),
}
_NO_TABLES: Final = frozenset(
    {"SELECT", "WHERE", "BY", "ON", "HAVING", "SET", "AND", "OR", "USING", "VALUES"}
)


@record(frozen=True, slots=True)
class Candidate:
    """`text` replaces what stands from `start` to the cursor. `shown` and `about` are for a person."""

    text: str
    start: int
    kind: Kind
    shown: str
    about: str = ""


@record(frozen=True, slots=True)
class Word:
    """What is typed before the cursor: `path.begun`, where `start` is that of the last part. `quote` is what
    it begins with, if anything."""

    path: tuple[str, ...]
    begun: str
    quote: str
    start: int
    language: Language

    @staticmethod
    def at(statement: str, cursor: int, language: Language) -> Word:
        said = [t for t in tokens(statement[:cursor], language) if t.kind != "comment"]
        begun, quote, start = "", "", cursor
        if said and said[-1].kind in ("name", "quoted_name") and said[-1].end == cursor:
            last = said.pop()
            quote = last.text[0] if last.kind == "quoted_name" else ""
            begun, start = (last.text[1:] if last.open else unquoted(last.text)), last.start
        path: list[str] = []
        while len(said) > 1 and said[-1].text == "." and said[-2].kind in ("name", "quoted_name"):
            path.insert(0, unquoted(said[-2].text))
            del said[-2:]
        return Word(tuple(path), begun, quote, start, language)

    def fits(self, name: str) -> bool:
        return name.lower().startswith(self.begun.lower())

    def spelled(self, name: str) -> str:
        return quoted_as(name, self.quote) if self.quote else written(name, self.language)


def in_statement(statement: str, cursor: int, offset: int, words: Vocabulary) -> Iterator[Candidate]:
    """`offset` is where the statement begins in the whole text."""
    said = list(tokens(statement[:cursor], words.language))
    if said and _inside(said[-1]):
        return
    if said and said[-1].text.startswith("$"):
        for name in words.parameters:
            if f"${name}".startswith(said[-1].text):
                yield Candidate(f"${name}", offset + said[-1].start, "parameter", f"${name}")
        return
    word = Word.at(statement, cursor, words.language)
    before = [t for t in said if t.kind not in ("space", "comment") and t.end <= word.start]
    del before[len(before) - 2 * len(word.path) :]
    if not before and not word.path:
        yield from _keywords(_STARTS[words.language], word, offset)
        return
    if _wants_table(before):
        yield from table_names(word, offset, words.tables)
        return
    yield from _table_parameters(before, word, offset, words.tables)
    read = references(statement, cursor, words.language)
    if word.path:
        yield from _columns_below(word, offset, words.tables, read)
        return
    yield from _columns(word, offset, words.tables, read)
    if not word.quote:
        yield from _functions(word, offset)
        yield from _keywords(keywords(words.language), word, offset)


def table_names(word: Word, offset: int, tables: Iterable[TableInfo]) -> Iterator[Candidate]:
    """Tables and schemas; those of the system only behind the name of their schema."""
    below = tuple(part.lower() for part in word.path)
    schemas: dict[str, None] = {}
    for info in tables:
        around = (info.name.catalog.lower(), info.name.schema.lower())
        if not below or below == around[:1]:
            schemas[info.name.schema] = None
        if below and around[-len(below) :] != below:
            continue
        if (below or info.kind != "SYSTEM TABLE") and word.fits(info.name.name):
            about = info.kind.lower() if below else f"{info.kind.lower()} of {info.name.schema}"
            yield _name(info.name.name, word, offset, "table", about)
    for schema in schemas:
        if word.fits(schema):
            yield _name(schema, word, offset, "schema", "schema")


def _inside(token: Token) -> bool:
    """Whether the cursor behind the last token is still in it: in a string or a comment."""
    if token.kind == "comment":
        return token.open or not token.text.endswith("*/")
    return token.kind == "string" and token.open


def _wants_table(before: list[Token]) -> bool:
    """Behind a word that a table follows, and behind commas in a list of tables."""
    for index in range(len(before) - 1, -1, -1):
        token = before[index]
        if token.word in BEFORE_TABLES:
            between = [each.text for each in before[index + 1 :]]
            has_option = len(between) == 3 and between[1] == ":"  # `join side:left orders`
            return not between or between[-1] == "," or has_option
        is_name = token.kind in ("name", "quoted_name") and token.word not in _NO_TABLES
        if not is_name and token.text not in (",", ".", ":"):
            return False
    return False


def _columns(
    word: Word, offset: int, tables: tuple[TableInfo, ...], read: list[Reference]
) -> Iterator[Candidate]:
    """The columns of what the statement reads, and the names by which it is called; without a table in the
    statement those of all."""
    named = [info for r in read if (info := meant(r.parts, tables)) is not None]
    seen: set[str] = set()
    for info in named if read else [i for i in tables if i.kind != "SYSTEM TABLE"]:
        for field in info.schema:
            if field.name not in seen and word.fits(field.name):
                seen.add(field.name)
                yield _name(
                    field.name, word, offset, "column", f"{_typed(field.type)} of {info.name.name}".strip()
                )
    for reference in read:
        if reference.alias not in seen and word.fits(reference.alias):
            seen.add(reference.alias)
            yield _name(reference.alias, word, offset, "table", "in this statement")


def _columns_below(
    word: Word, offset: int, tables: tuple[TableInfo, ...], read: list[Reference]
) -> Iterator[Candidate]:
    """Behind the name of a table: its columns."""
    called = {reference.alias.lower(): reference.parts for reference in read}
    parts = called.get(word.path[0].lower(), word.path) if len(word.path) == 1 else word.path
    info = meant(parts, tables)
    if info is None:
        yield from table_names(word, offset, tables)
        return
    for field in info.schema:
        if word.fits(field.name):
            yield _name(field.name, word, offset, "column", _typed(field.type))


def _table_parameters(
    before: list[Token], word: Word, offset: int, tables: tuple[TableInfo, ...]
) -> Iterator[Candidate]:
    """Between the parentheses behind a table's name: what the table takes."""
    if word.path or not before or before[-1].text not in ("(", ","):
        return
    depth, at = 0, len(before) - 1
    while at >= 0 and not (before[at].text == "(" and depth == 0):
        depth += (before[at].text == ")") - (before[at].text == "(")
        at -= 1
    parts: list[str] = []
    while at > 0 and before[at - 1].kind in ("name", "quoted_name"):
        parts.insert(0, unquoted(before[at - 1].text))
        at -= 2
        if at < 0 or before[at].text != ".":
            break
    info = meant(parts, tables)
    for parameter in info.parameters if info is not None else ():
        if word.fits(parameter.name):
            text = f"{word.spelled(parameter.name)} => "
            about = f"{type_name(parameter.type)} parameter"
            yield Candidate(text, offset + word.start, "parameter", parameter.name, about)


def _typed(type_: pa.DataType) -> str:
    return "" if pa.types.is_null(type_) else type_name(type_)


def _functions(word: Word, offset: int) -> Iterator[Candidate]:
    if not word.begun:
        return
    for name in functions(word.language):
        if word.fits(name):
            text = f"{name}(" if word.language != "prql" else name
            yield Candidate(text, offset + word.start, "function", name, "function")


def _keywords(among: Iterable[str], word: Word, offset: int) -> Iterator[Candidate]:
    """In the letters that were begun: capital ones after capital ones."""
    for keyword in among:
        if word.fits(keyword):
            text = keyword if word.begun.isupper() and word.language != "prql" else keyword.lower()
            yield Candidate(text, offset + word.start, "keyword", text)


def _name(name: str, word: Word, offset: int, kind: Kind, about: str) -> Candidate:
    return Candidate(word.spelled(name), offset + word.start, kind, name, about)

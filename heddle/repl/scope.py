"""Which tables a statement reads where the cursor stands, and under which names: what `x.` can mean there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from heddle.core.record import record
from heddle.database.model import Language, TableInfo, TableName
from heddle.repl.lexer import Token, tokens
from heddle.repl.names import RESERVED, unquoted

BEFORE_TABLES = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "APPEND", "DESCRIBE"})
_AFTER_TABLES = frozenset({"ANTI", "SEMI", "FILTER", "DERIVE", "SORT", "TAKE", "AGGREGATE", "SIDE"})
"""Words that are no alias, beside the reserved ones."""


@record(frozen=True, slots=True)
class Reference:
    """A table under the name by which its columns are called; `parts` are its name as it is written."""

    parts: tuple[str, ...]
    alias: str


def references(text: str, cursor: int, language: Language) -> list[Reference]:
    """Those of the block of parentheses that the cursor is in, then those of the blocks around it. What is
    behind the cursor counts too: columns are often typed before the tables."""
    said = [t for t in tokens(text, language) if t.kind not in ("space", "comment", "string")]
    blocks = list(_blocks(said))
    here = _block_at(said, blocks, cursor)
    found: list[tuple[int, Reference]] = []
    for index, token in enumerate(said):
        if token.word in BEFORE_TABLES and here[: len(blocks[index])] == blocks[index]:
            found += [(len(blocks[index]), named) for named in _named(said, blocks, index + 1)]
    return [reference for _, reference in sorted(found, key=lambda each: -each[0])]


def meant(reference: Iterable[str], tables: Iterable[TableInfo]) -> TableInfo | None:
    """The table of that name, or of one that ends with it; also in other letters."""
    parts = tuple(part.lower() for part in reference)
    return next((info for info in tables if parts and _lower(info.name)[-len(parts) :] == parts), None)


def _lower(name: TableName) -> tuple[str, ...]:
    return name.catalog.lower(), name.schema.lower(), name.name.lower()


def _blocks(said: list[Token]) -> Iterator[tuple[int, ...]]:
    """For each token the starts of the parentheses that it is in, from the outermost on. A parenthesis
    belongs to what is around it."""
    open_: list[int] = []
    for token in said:
        if token.text == ")" and open_:
            open_.pop()
        yield tuple(open_)
        if token.text == "(":
            open_.append(token.start)


def _block_at(said: list[Token], blocks: list[tuple[int, ...]], cursor: int) -> tuple[int, ...]:
    block: tuple[int, ...] = ()
    for token, own in zip(said, blocks, strict=True):
        if token.start >= cursor:
            break
        block = (*own, token.start) if token.text == "(" else own
    return block


def _named(said: list[Token], blocks: list[tuple[int, ...]], at: int) -> Iterator[Reference]:
    """The tables from there on: names with dots, each perhaps with an alias, separated by commas."""
    while at < len(said):
        if said[at].text == "(":
            at = _behind_block(said, blocks, at)
            parts: tuple[str, ...] = ()
        else:
            parts, at = _dotted(said, at)
            if not parts:
                return
            if at < len(said) and said[at].text == "(":
                at = _behind_block(said, blocks, at)
        if at < len(said) and said[at].word == "AS":
            at += 1
        alias = parts[-1] if parts else ""
        if at < len(said) and _is_alias(said[at]):
            alias = unquoted(said[at].text)
            at += 1
        if parts:
            yield Reference(parts, alias)
        if at >= len(said) or said[at].text != ",":
            return
        at += 1


def _behind_block(said: list[Token], blocks: list[tuple[int, ...]], at: int) -> int:
    """Behind the parenthesis that is opened there."""
    inside = (*blocks[at], said[at].start)
    at += 1
    while at < len(said) and blocks[at][: len(inside)] == inside:
        at += 1
    return at + 1


def _dotted(said: list[Token], at: int) -> tuple[tuple[str, ...], int]:
    parts: list[str] = []
    while at < len(said) and said[at].kind in ("name", "quoted_name"):
        if said[at].word in RESERVED:
            break
        parts.append(unquoted(said[at].text))
        at += 1
        if at >= len(said) or said[at].text != ".":
            break
        at += 1
    return tuple(parts), at


def _is_alias(token: Token) -> bool:
    if token.kind == "quoted_name":
        return True
    return token.kind == "name" and token.word not in RESERVED and token.word not in _AFTER_TABLES

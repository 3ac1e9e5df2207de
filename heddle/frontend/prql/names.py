"""The names in a query that stand for relations, found without compiling it.

`relation_names` reads words, so that it also works on texts that are legal only after normalisation.
"""

from __future__ import annotations

from typing import Final

from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.prql.words import CLOSE, TRANSFORMS, Word, scan

READERS: Final = frozenset(("from", "join", "append", "intersect", "remove"))
"""Transforms whose first argument is a relation."""

_DECLARES: Final = frozenset(("let", "prql", "module", "import", "type"))


def relation_names(query: ast.Query) -> tuple[tuple[str, Span], ...]:
    """Each name in relation position (`orders`, `Other.out`, `input`) with its span in the program."""
    words = scan(query.text)
    own = local_names(words)
    found: list[tuple[str, Span]] = []
    for i, word in enumerate(words):
        if not (word.is_name(*READERS) and starts_transform(words, i)):
            continue
        start = relation_argument(words, i)
        if start is not None:
            found.append(_name_at(words, start, query.body.start))
    head = bare_head(words)
    if head is not None:
        found.insert(0, _name_at(words, head, query.body.start))
    return tuple((name, span) for name, span in found if name not in own)


def local_names(words: list[Word]) -> frozenset[str]:
    """What the query itself declares: its `let`s and the parameters of its functions."""
    own: set[str] = set()
    i = 0
    while i < len(words):
        if words[i].is_name("let") and i + 1 < len(words):
            own.add(words[i + 1].name)
            i += 2
            while i < len(words) and words[i].is_mark("="):
                i += 1
            first = i
            while i < len(words) and (words[i].kind in ("name", "number", "string") or words[i].is_mark(":")):
                i += 1
            if i < len(words) and words[i].is_mark("->"):
                own.update(w.name for w in words[first:i] if w.kind == "name")
        i += 1
    return frozenset(own)


def starts_transform(words: list[Word], i: int) -> bool:
    """Whether the word stands where a transform's name stands, perhaps on one line with the one before."""
    if i == 0:
        return True
    before = words[i - 1]
    if i + 1 >= len(words) or words[i + 1].is_mark("=", ",", ".", ":"):
        return False
    if before.kind == "line" or before.is_mark("|", "(", "->", "="):
        return True
    ends_operand = before.kind in ("name", "number", "string", "fstring") or before.text in CLOSE
    return ends_operand and not before.is_mark(".")


def relation_argument(words: list[Word], i: int) -> int | None:
    """The index of the relation's name behind the reader at `i`: `join side:left t=orders` -> `orders`."""
    i += 1
    while i < len(words) and words[i].kind == "name":
        after = words[i + 1] if i + 1 < len(words) else None
        if after is not None and after.is_mark(":"):
            i += 3
        elif after is not None and after.is_mark("="):
            i += 2
        else:
            return i
    return None


def bare_head(words: list[Word]) -> int | None:
    """The index of a name that stands alone where the query's first transform should: `(orders | take 3)`."""
    i = next((i for i, w in enumerate(words) if w.kind != "line"), None)
    if i is None or words[i].kind != "name" or words[i].text in TRANSFORMS | _DECLARES:
        return None
    end = dotted_end(words, i)
    if end >= len(words) or words[end].kind == "line" or words[end].is_mark("|"):
        return i
    return i if words[end].text in TRANSFORMS else None


def dotted_end(words: list[Word], i: int) -> int:
    """The index behind the dotted name that starts at `i`; no blank stands in one."""
    i += 1
    while i + 1 < len(words) and words[i].is_mark(".") and words[i + 1].kind == "name":
        if words[i - 1].end != words[i].start or words[i].end != words[i + 1].start:
            break
        i += 2
    return i


def _name_at(words: list[Word], i: int, base: int) -> tuple[str, Span]:
    end = dotted_end(words, i)
    name = ".".join(w.name for w in words[i:end:2])
    return name, Span(base + words[i].start, base + words[end - 1].end)

"""Fenced code blocks of a Markdown page, as values that can be run, compared and written back.

An info string such as `python file=steps.py` is a language and settings. `blocks` reads a page,
`replace_texts` gives the page with some blocks' texts replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """`section` is the nearest heading above it, `start` and `end` are the text's offsets in the page."""

    language: str
    settings: Mapping[str, str]
    text: str
    section: str
    line: int
    start: int
    end: int
    flags: frozenset[str]


def blocks(page: str) -> list[Block]:
    return [_block(page, match) for match in _FENCE.finditer(page)]


def replace_texts(page: str, texts: list[tuple[Block, str]]) -> str:
    """The page with the given blocks' texts replaced; a text ends with a line break or is empty."""
    for block, text in sorted(texts, key=lambda pair: -pair[0].start):
        page = page[: block.start] + text + page[block.end :]
    return page


def _block(page: str, match: re.Match[str]) -> Block:
    words = match["info"].split()
    settings = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    above = re.findall(r"^#+ (.+)$", _FENCE.sub("", page[: match.start()]), re.MULTILINE)
    return Block(
        language=words[0] if words else "",
        settings=settings,
        text=match["text"],
        section=above[-1].strip() if above else "",
        line=page.count("\n", 0, match.start()) + 1,
        start=match.start("text"),
        end=match.end("text"),
        flags=frozenset(word for word in words[1:] if "=" not in word),
    )

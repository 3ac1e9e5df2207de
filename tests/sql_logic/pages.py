"""The battery's pages as blocks of cases.

A page has fenced blocks; each line of one is a case. `queries` are whole pipelines. `expressions over=TABLE`
are values over a table's columns; those of a block that both engines agree on are computed in one query.

    (nothing more)    both engines give the same rows, types included
    ordered           in the same order as well
    differs=NAME      the engines differ in a way that `docs/reference/engines.md` accepts under this name
    close             … though in no more than the last digits of floats
    only=NAME         a fragment with this stays on DataFusion, as that page says under this name
    fails             no engine gives rows
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.markdown import Block, blocks

PAGES = sorted(Path(__file__).parent.glob("*.md"))
KINDS = frozenset(("queries", "expressions"))


@dataclass(frozen=True, slots=True)
class Cases:
    """A block: `queries` are the pipelines to run."""

    name: str
    queries: tuple[str, ...]
    differs: str | None
    only: str | None
    fails: bool
    ordered: bool
    close: bool


def all_cases() -> Iterator[Cases]:
    for page in PAGES:
        for block in blocks(page.read_text()):
            if block.language in KINDS:
                yield _cases(page, block)


def named_in_pages(kind: str) -> frozenset[str]:
    """The names that blocks of a kind, `differs` or `only`, have."""
    return frozenset(name for cases in all_cases() if (name := getattr(cases, kind)) is not None)


def names_with_reasons(page: str, section: str) -> dict[str, str]:
    """The first two columns of the table below a heading, the names with hyphens for spaces."""
    _, _, below = page.partition(f"\n## {section}\n")
    rows = re.findall(r"^\| (.+?) \| (.+?) \|", below.partition("\n## ")[0], re.MULTILINE)
    return {name.lower().replace(" ", "-"): reason for name, reason in rows[1:]}


def _cases(page: Path, block: Block) -> Cases:
    lines = tuple(line for line in block.text.splitlines() if line.strip())
    return Cases(
        name=f"{page.stem}:{block.line}",
        queries=lines if block.language == "queries" else _of_expressions(block, lines),
        differs=block.settings.get("differs"),
        only=block.settings.get("only"),
        fails="fails" in block.flags,
        ordered="ordered" in block.flags,
        close="close" in block.flags,
    )


def _of_expressions(block: Block, lines: tuple[str, ...]) -> tuple[str, ...]:
    values = [f"x{i} = {line}" for i, line in enumerate(lines, start=1)]
    return (f"from {block.settings['over']} | select {{id, {', '.join(values)}}}",)

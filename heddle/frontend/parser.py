"""The parser: a source becomes a syntax tree and diagnostics.

Recursive descent over the tokens of `tokens.py`. It reads any text to its end, reports every independent
mistake once, and leaves out of the tree what it could not read (`Program.broken`).
"""

from __future__ import annotations

import re

from heddle.core.collector import collector_paused
from heddle.core.record import record
from heddle.diagnostics import Diagnostic, Fix, Source, Span, did_you_mean, has_errors
from heddle.frontend import ast
from heddle.frontend.cursor import ITEM_KEYWORDS, Cursor, describe
from heddle.frontend.layout import check_indentation
from heddle.frontend.parser_items import parse_item
from heddle.frontend.tokens import Token, tokenize

_LARGE_CHARACTERS = 100_000

_NEXT_LINE = re.compile(r"[ \t\r]*+\n[ \t]*+")


@record(frozen=True, slots=True)
class ParseResult:
    """`verbatim` are the top-level regions with syntax errors, which the formatter keeps as they are."""

    program: ast.Program
    diagnostics: tuple[Diagnostic, ...]
    verbatim: tuple[Span, ...] = ()


@record(frozen=True, slots=True)
class _Region:
    """What an item, or the rubble between two items, takes of the text."""

    span: Span
    failed: bool


def parse(source: Source, *, strict_layout: bool = False) -> ParseResult:
    with collector_paused(keeping=len(source.text) >= _LARGE_CHARACTERS):
        return _parse(source, strict_layout=strict_layout)


def _parse(source: Source, *, strict_layout: bool) -> ParseResult:
    tokens, comments, lexical = tokenize(source)
    cursor = Cursor(source, tokens, strict_layout=strict_layout)
    items, regions = _parse_items(cursor, find_docs(source.text, comments))
    indentation = check_indentation(source, tokens, comments, strict_layout=strict_layout)
    found = sorted([*lexical, *cursor.diagnostics, *indentation], key=lambda d: (d.span.start, d.span.end))
    program = ast.Program(source, tuple(items), tuple(comments), tuple(cursor.broken))
    verbatim = _verbatim(regions, found, source.text, tokens[-1]) if has_errors(found) else ()
    return ParseResult(program, tuple(found), verbatim)


def find_docs(text: str, comments: list[ast.Comment]) -> dict[int, str]:
    """For each offset with a block of `//` comments directly above it, the words of the block."""
    docs: dict[int, str] = {}
    block: list[str] = []
    expected = -1
    for comment in comments:
        if comment.kind != "line" or not comment.own_line:
            block = []
            continue
        if comment.span.start != expected:
            block = []
        block.append(comment.text[2:].removeprefix(" "))
        found = _NEXT_LINE.match(text, comment.span.end)
        if found is not None:
            expected = found.end()
            docs[expected] = "\n".join(block)
    return docs


def _parse_items(c: Cursor, docs: dict[int, str]) -> tuple[list[ast.Item], list[_Region]]:
    items: list[ast.Item] = []
    regions: list[_Region] = []
    while c.token.kind != "end":
        c.stop_when_full()
        start, errors = c.token.start, c.error_count
        keyword = _item_keyword(c)
        item = None
        if keyword is None:
            _skip_rubble(c)
        else:
            item = parse_item(c, keyword, docs)
        if item is not None:
            items.append(item)
        failed = item is None or c.error_count > errors
        regions.append(_Region(Span(start, c.last_end), failed))
    return items, regions


def _item_keyword(c: Cursor) -> str | None:
    """The keyword that starts an item here, also when it is misspelt; that is reported."""
    token = c.token
    if token.kind != "name":
        return None
    if token.text in ITEM_KEYWORDS:
        return token.text
    after = c.ahead()
    if after.after_break or after.kind not in ("name", "string", "{"):
        return None
    meant = did_you_mean(token.text.lower(), ITEM_KEYWORDS)
    if meant is None:
        return None
    fix = Fix(f"write `{meant}`", ((token.span, meant),))
    c.report("HD0113", f"`{token.text}` is no kind of item", token.span, f"did you mean `{meant}`?", fix)
    return meant


def _skip_rubble(c: Cursor) -> None:
    """Report what is no item, once, and go to the next one."""
    token = c.token
    _report_rubble(c, token)
    first = c.pos
    depth = 0
    while c.token.kind != "end" and not (c.pos > first and c.at_item()):
        if c.pos > first and depth == 0 and c.token.after_break and _item_shape(c):
            return
        if c.token.kind == "{":
            depth += 1
        elif c.token.kind == "}":
            depth = max(0, depth - 1)
        c.advance()


def _item_shape(c: Cursor) -> bool:
    """`word Name {` or `word name =`: an item, if with a misspelt keyword."""
    return c.token.kind == "name" and c.ahead().kind == "name" and c.ahead(2).kind in ("{", "=", "?")


def _report_rubble(c: Cursor, token: Token) -> None:
    if token.kind in ("}", "]", ")"):
        fix = Fix("remove it", ((token.span, ""),))
        c.report(
            "HD0110",
            f"`{token.kind}` closes nothing",
            token.span,
            "remove it, or add what it should close",
            fix,
        )
        return
    after = c.ahead()
    pipeline = token.kind in ("query", "broken query", "[", "<", "*", "|", ">")
    pipeline = pipeline or (token.kind == "name" and after.kind in ("|", ">", "."))
    if pipeline:
        message = "a pipeline cannot stand outside of a workflow or handler"
        help = "put it in a block: `workflow Name { … }`"
    else:
        message = f"an item is expected here, not {describe(token)}"
        help = "a program is made of `import`, `resource`, `step`, `handler`, `workflow`, `policy` and `test`"
    c.report("HD0113", message, token.span, help)


def _verbatim(
    regions: list[_Region], diagnostics: list[Diagnostic], text: str, last: Token
) -> tuple[Span, ...]:
    """The regions with errors. What the lexer skipped behind an item belongs to the item's region."""
    places = [d.span for d in diagnostics if d.severity == "error"]
    verbatim: list[Span] = []
    if not regions or (places and places[0].start < regions[0].span.start):
        regions = [_Region(Span(places[0].start, places[0].end), failed=True), *regions]
    starts = [region.span.start for region in regions] + [len(text) + 1]
    at = 0
    for region, following in zip(regions, starts[1:], strict=True):
        end, failed = region.span.end, region.failed
        while at < len(places) and places[at].start < following:
            end, failed = max(end, min(places[at].end, following)), True
            at += 1
        if last.text == "cut" and following > len(text):
            end, failed = len(text), True
        if failed:
            verbatim.append(Span(region.span.start, end))
    return tuple(verbatim)

"""The lexer: a text becomes tokens, comments and diagnostics.

A query `( … )` is one token, closed by PRQL's own rules. Every token tells whether a line break stands
before it. Any text gives tokens, in time linear in its length; the last token is always `end`.
"""

from __future__ import annotations

import re

from heddle.core.record import record
from heddle.diagnostics import Diagnostic, Fix, Source, Span
from heddle.frontend.ast import Comment
from heddle.frontend.query_text import NESTING_MAX, QueryScan, resume_after, scan_query, unclosed_quote

ERRORS_MAX = 1000
"""Beyond so many mistakes a file is no program; the lexer and the parser each stop reading there."""

# How far recovery looks ahead, and how often the text may be read in vain for a query's end: both keep
# the time linear whatever stands in the file.
_LOOK_AHEAD_MAX = 4000
_RESCANS_MAX = 1

_TOKEN = re.compile(
    r"""
    ([ \t\r\n\f]*+)
    (?:
        (?P<name>[^\W\d][\w-]*+)
      | (?P<number>[+-]?\.?[0-9](?:[eE][+-]|[\w.-])*+)
      | (?P<punct>[{}\[\]<>|?!=:,.*)]|/(?![/*]))
      | (?P<string>"(?!"")[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+")
      | (?P<comment>//[^\n]*+)
      | (?P<paren>\()
      | (?P<text>\"""(?:[^"\\]|\\.|"(?!""))*+\""")
      | (?P<block>/\*.*?\*/)
      | (?P<quote>["'\u2018\u2019\u201c\u201d])
      | (?P<open_block>/\*)
      | (?P<hash>\#[^\n]*+|--[^\n]*+)
      | (?P<space>[\u00a0\u2000-\u200b\u202f\u3000\ufeff\v]++)
      | (?P<stray>[^\w\s"'\u2018\u2019\u201c\u201d{}\[\]<>|?!=:,.*()\#/]++|.)
      | (?P<end>\Z)
    )""",
    re.X | re.S,
)
_DAMAGE = re.compile("[\0\ufffd]")
_BEFORE_STRUCT = frozenset(":<(,=[{")
_CLOSING_TAIL = " \t\r,)}]"
_QUOTE_PAIRS = {"\u201c": "\u201d", "\u201d": "\u201d", "\u2018": "\u2019", "\u2019": "\u2019", "'": "'"}


@record(frozen=True, slots=True)
class Token:
    """`kind` is `name`, `number`, `string`, `query`, `end` or the punctuation itself; what the lexer has
    reported is a `broken string`, `broken query` or `broken text`. `after_break`: a line break is before it.

    The text of `end` is `cut` when the lexer has not read all that stands before it: an unclosed comment or
    string has swallowed it, or there were too many mistakes.
    """

    kind: str
    text: str
    start: int
    end: int
    after_break: bool

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)


@record(frozen=True, slots=True)
class _Piece:
    """What one look of the lexer at an unusual place gives; `end` is where it goes on."""

    end: int
    token: tuple[str, str] | None = None


class _Lexer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.tokens: list[Token] = []
        self.comments: list[Comment] = []
        self.diagnostics: list[Diagnostic] = []
        self.rescans_left = _RESCANS_MAX * (len(self.text) + 1)
        self.header_parens = 0
        self.cut = False

    def run(self) -> None:
        text = self.text
        match, append = _TOKEN.match, self.tokens.append
        check_names = not text.isascii()
        pos = 1 if text.startswith("\ufeff") else 0
        line_broken = own_line = True
        while True:
            found = match(text, pos)
            assert found is not None
            space_end, kind = found.end(1), found.lastgroup
            if space_end > pos and "\n" in found[1]:
                line_broken = own_line = True
            pos = found.end()
            if kind == "name":
                word = text[space_end:pos]
                if check_names and not word.isascii():
                    self.foreign_name(word, space_end)
                append(Token("name", word, space_end, pos, line_broken))
            elif kind == "punct":
                mark = text[space_end]
                append(Token(mark, mark, space_end, pos, line_broken))
                if self.header_parens:
                    self.leave_header(mark)
            elif kind in ("string", "text"):
                append(Token("string", text[space_end:pos], space_end, pos, line_broken))
            elif kind == "number":
                append(Token("number", text[space_end:pos], space_end, pos, line_broken))
            elif kind in ("comment", "block"):
                self.comment(space_end, pos, own_line)
                own_line = False
                line_broken = line_broken or "\n" in text[space_end:pos]
                continue
            elif kind == "end":
                append(Token("end", "cut" if self.cut else "", space_end, space_end, True))
                return
            else:
                assert kind is not None
                piece = self.unusual(kind, space_end, pos)
                pos = piece.end
                if len(self.diagnostics) >= ERRORS_MAX:
                    self.cut, pos = True, len(text)
                if piece.token is None:
                    own_line = False
                    continue
                append(Token(*piece.token, space_end, pos, line_broken))
            line_broken = own_line = False

    def unusual(self, kind: str, start: int, end: int) -> _Piece:
        match kind:
            case "paren":
                return self.paren(start)
            case "quote":
                return self.quote(start)
            case "open_block":
                self.error("HD0107", "this comment is never closed", Span(start, end), "close it with `*/`")
                self.comment(start, len(self.text), own_line=False)
                self.cut = True
                return _Piece(len(self.text))
            case "hash":
                return self.foreign_comment(start, end)
            case "space":
                return self.foreign_space(start, end)
            case _:
                return self.stray(start, end)

    def error(self, code: str, message: str, span: Span, help: str, fix: Fix | None = None) -> None:
        self.diagnostics.append(Diagnostic(code, "error", message, self.source, span, help, fix))

    def comment(self, start: int, end: int, own_line: bool) -> None:
        text = self.text[start:end].rstrip()
        span = Span(start, start + len(text))
        self.comments.append(Comment(text, "line" if text.startswith("//") else "block", own_line, span))

    # --- parentheses ------------------------------------------------------------------------

    def paren(self, start: int) -> _Piece:
        if self.header_parens or self.opens_params(start):
            self.header_parens += 1
            return _Piece(start + 1, ("(", "("))
        if self.opens_argument(start):
            return _Piece(start + 1, ("(", "("))
        return self.query(start)

    def opens_params(self, start: int) -> bool:
        """`workflow NAME (` on one line opens parameters, which are no query."""
        if len(self.tokens) < 2:
            return False
        keyword, name = self.tokens[-2:]
        return (
            keyword.text == "workflow"
            and keyword.after_break
            and name.kind == "name"
            and not name.after_break
            and self.text.find("\n", name.end, start) < 0
        )

    def opens_argument(self, start: int) -> bool:
        """`env(` and `secret(` take a string."""
        last = self.tokens[-1] if self.tokens else None
        return (
            last is not None and last.kind == "name" and last.text in ("env", "secret") and last.end == start
        )

    def leave_header(self, mark: str) -> None:
        """Parameters end with their `)`; when that is missing, at what cannot stand in them."""
        if mark == ")":
            self.header_parens -= 1
        elif mark == "|" or (mark == "{" and self.tokens[-2].kind not in _BEFORE_STRUCT):
            self.header_parens = 0

    # --- queries ----------------------------------------------------------------------------

    def query(self, start: int) -> _Piece:
        text = self.text
        limit = len(text)
        if self.rescans_left <= 0:
            limit = resume_after(text, start, min(limit, start + _LOOK_AHEAD_MAX))
        scan = scan_query(text, start, limit)
        if scan.close is None:
            self.rescans_left -= scan.stop - start
            return self.unclosed_query(start, scan)
        end = scan.close + 1
        kind = "broken query" if self.query_error(scan) else "query"
        return _Piece(end, (kind, text[start:end]))

    def query_error(self, scan: QueryScan) -> bool:
        if scan.deep is not None:
            self.error(
                "HD0111",
                f"this bracket is nested more than {NESTING_MAX} levels deep in its query",
                Span(scan.deep, scan.deep + 1),
                "name a part of the query with `> name` and read it from there",
            )
        elif scan.unbalanced is not None:
            at = scan.unbalanced.offset
            bracket = self.text[at]
            partner = {"(": ")", "[": "]", "{": "}", "]": "["}[bracket]
            opens = scan.unbalanced.opens
            self.error(
                "HD0109" if opens else "HD0110",
                f"`{bracket}` in this query is never closed" if opens else f"`{bracket}` closes nothing",
                Span(at, at + 1),
                f"add `{partner}` before the query ends"
                if opens
                else f"remove it, or add `{partner}` before",
            )
        else:
            return False
        return True

    def unclosed_query(self, start: int, scan: QueryScan) -> _Piece:
        text = self.text
        body = text[start : resume_after(text, start, scan.stop)].rstrip()
        end = start + max(1, len(body))
        quote = unclosed_quote(text, start, end)
        if quote is not None:
            line_start = text.rfind("\n", max(0, quote - _LOOK_AHEAD_MAX), quote) + 1
            comment = "//" in text[max(line_start, start) : quote]
            self.error(
                "HD0103",
                "this string in a query is not closed on its line",
                Span(quote, quote + 1),
                "inside a query a comment starts with `#`; `//` divides"
                if comment
                else f"close it with `{text[quote]}`; only then can the query end with `)`",
            )
        else:
            self.error(
                "HD0108",
                "this query is never closed",
                Span(start, start + 1),
                "add `)` where the query ends",
            )
        return _Piece(end, ("broken query", text[start:end]))

    # --- strings ----------------------------------------------------------------------------

    def quote(self, start: int) -> _Piece:
        text, quote = self.text, self.text[start]
        if text.startswith('"""', start):
            self.error(
                "HD0103", 'this `"""` string is never closed', Span(start, start + 3), 'close it with `"""`'
            )
            self.cut = True
            return _Piece(len(text), ("broken string", text[start:]))
        if quote == '"':
            line_end = text.find("\n", start)
            return self.unclosed_string(start, len(text) if line_end < 0 else line_end)
        close = text.find(_QUOTE_PAIRS[quote], start + 1, start + _LOOK_AHEAD_MAX)
        if close < 0 or "\n" in text[start:close]:
            self.error(
                "HD0102", f"`{quote}` has no meaning here", Span(start, start + 1), 'strings stand in `"…"`'
            )
            return _Piece(start + 1, ("broken text", quote))
        body = text[start + 1 : close]
        plain = '"' not in body and "\\" not in body
        edits = ((Span(start, start + 1), '"'), (Span(close, close + 1), '"'))
        self.error(
            "HD0102",
            f"a string stands in double quotes, not in `{quote}`",
            Span(start, close + 1),
            f'write `"{body}"`' if plain else 'use `"…"`, with `\\"` for a quote inside',
            Fix("use double quotes", edits) if plain else None,
        )
        return _Piece(close + 1, ("broken string", text[start : close + 1]))

    def unclosed_string(self, start: int, line_end: int) -> _Piece:
        text = self.text
        if (close := self.raw_string_end(line_end)) is not None:
            edits = ((Span(start, start + 1), '"""'), (Span(close, close + 1), '"""'))
            self.error(
                "HD0104",
                "a line break stands inside this string",
                Span(start, line_end),
                'write `\\n` for the line break, or put a text of several lines in `"""…"""`',
                Fix('use `"""`', edits),
            )
            return _Piece(close + 1, ("broken string", text[start : close + 1]))
        end = start + 1 + len(text[start + 1 : line_end].rstrip(_CLOSING_TAIL))
        self.error(
            "HD0103",
            "this string is not closed on its line",
            Span(start, end),
            'close it with `"`',
            Fix('add `"`', ((Span(end, end), '"'),)),
        )
        return _Piece(end, ("broken string", text[start:end]))

    def raw_string_end(self, line_end: int) -> int | None:
        """The closing quote of a string with a line break in it, if the next quote looks like one."""
        text = self.text
        close = text.find('"', line_end, line_end + _LOOK_AHEAD_MAX)
        if close < 0 or any(mark in text[line_end:close] for mark in "{}[]"):
            return None
        before, after = text[close - 1], text.find("\n", close)
        rest = text[close + 1 : after if after >= 0 else len(text)]
        if before in ":(, " or rest.strip(_CLOSING_TAIL):
            return None
        return close

    # --- what Heddle does not use -------------------------------------------------------------

    def foreign_comment(self, start: int, end: int) -> _Piece:
        mark = "#" if self.text[start] == "#" else "--"
        fix = Fix("use `//`", ((Span(start, start + len(mark)), "//"),))
        message = f"`{mark}` does not start a comment here"
        help = "a comment starts with `//`" + ("; `#` is for queries" if mark == "#" else "")
        self.error("HD0102", message, Span(start, start + len(mark)), help, fix)
        return _Piece(end)

    def foreign_space(self, start: int, end: int) -> _Piece:
        point = f"U+{ord(self.text[start]):04X}"
        fix = Fix("use a plain space", ((Span(start, end), " "),))
        self.error(
            "HD0102", f"an unusual space ({point}) stands here", Span(start, end), "use a plain space", fix
        )
        return _Piece(end)

    def foreign_name(self, word: str, start: int) -> None:
        at = next(i for i, ch in enumerate(word) if not ch.isascii())
        self.error(
            "HD0102",
            f"`{word[at]}` cannot stand in a name",
            Span(start, start + len(word)),
            "names use the letters a-z and A-Z, digits, `_` and `-`",
        )

    def stray(self, start: int, end: int) -> _Piece:
        piece = self.text[start:end]
        token = ("broken text", piece)
        if _DAMAGE.search(piece):
            return _Piece(end, token)
        if set(piece) == {";"}:
            fix = Fix("remove it", ((Span(start, end), ""),))
            help = "a line break ends a statement; remove the `;`"
            self.error("HD0102", "`;` has no meaning here", Span(start, end), help, fix)
            return _Piece(end)
        help = "remove it, or put the text in a string"
        if piece == "@":
            help = 'a parameter stands inside a string: `"… WHERE id = @id"`'
        elif piece in ("&", "&&"):
            help = "conditions stand in queries: `(from input | filter a && b)`"
        shown = piece if piece.isprintable() else f"U+{ord(piece[0]):04X}"
        shown = shown if len(shown) <= 12 else shown[:12] + "…"
        self.error("HD0102", f"`{shown}` has no meaning here", Span(start, end), help)
        return _Piece(end, token)


def _damage(source: Source) -> list[Diagnostic]:
    found = _DAMAGE.search(source.text)
    if found is None:
        return []
    nul = found[0] == "\0"
    what = "a NUL character" if nul else "U+FFFD, the mark of a character that could not be read"
    help = "save the file as UTF-8 text" + (
        "" if nul else "; in a string `\\uFFFD` means the character itself"
    )
    message = f"the program holds {what}"
    return [Diagnostic("HD0101", "error", message, source, Span(found.start(), found.end()), help)]


def tokenize(source: Source) -> tuple[list[Token], list[Comment], list[Diagnostic]]:
    lexer = _Lexer(source)
    lexer.run()
    return lexer.tokens, lexer.comments, _damage(source) + lexer.diagnostics

"""The parser's place in the tokens, and what it has found wrong so far.

Parsing functions take a cursor, move it, and give a node. `fail` leaves a construct through
`SyntaxFailure`, which the nearest construct that can go on catches.
"""

from __future__ import annotations

from typing import NoReturn

from heddle.diagnostics import Diagnostic, Fix, Label, Severity, Source, Span
from heddle.frontend import ast
from heddle.frontend.query_text import NESTING_MAX
from heddle.frontend.tokens import ERRORS_MAX, Token

ITEM_KEYWORDS = ("import", "resource", "step", "handler", "workflow", "policy", "test")
RESERVED_WORDS = ("true", "false", "null")
_WORD_PARTS = ("name", ".", "/")
_OPENERS, _CLOSERS = ("{", "[", "("), ("}", "]", ")")


class SyntaxFailure(Exception):
    """A construct cannot be read to its end; what is wrong has been reported."""


def describe(token: Token) -> str:
    match token.kind:
        case "name":
            return f"`{token.text}`"
        case "number":
            return f"the number `{token.text}`"
        case "string" | "broken string":
            return "a string"
        case "query" | "broken query":
            return "a query"
        case "end":
            return "the end of the file"
        case _:
            return f"`{token.text}`"


class Cursor:
    def __init__(self, source: Source, tokens: list[Token], *, strict_layout: bool) -> None:
        self.source = source
        self.tokens = tokens
        self._count = len(tokens)
        self.pos = 0
        self.token = tokens[0]
        self.depth = 0
        self.error_count = 0
        self.layout_count = 0
        self.note_count = 0
        self.diagnostics: list[Diagnostic] = []
        self.broken: list[ast.Broken] = []
        self._strict_layout = strict_layout
        self._reported_at = -1

    # --- moving -----------------------------------------------------------------------------

    def advance(self) -> Token:
        """Take the current token. `end` is never left behind."""
        token = self.token
        if token.kind != "end":
            self.pos += 1
            self.token = self.tokens[self.pos]
        return token

    def ahead(self, count: int = 1) -> Token:
        at = self.pos + count
        return self.tokens[at if at < self._count else -1]

    @property
    def last_end(self) -> int:
        """Where the token before the current one ends."""
        return self.tokens[self.pos - 1].end if self.pos else 0

    def at_item(self) -> bool:
        """A keyword at the start of a line with a name or a path behind it: no statement looks so."""
        token = self.token
        if not (token.after_break and token.kind == "name" and token.text in ITEM_KEYWORDS):
            return False
        after = self.ahead()
        return after.kind in ("name", "string", "broken string") and not after.after_break

    def at_break(self) -> bool:
        """The current token cannot stand inside brackets: it goes on with a pipeline or an item."""
        token = self.token
        if token.kind in ("end", "|", ">"):
            return True
        return token.after_break and (token.kind in ("<", "*", "?", "!") or self.at_item())

    def words(self) -> tuple[Span, str]:
        """The name at the cursor with the names, dots and slashes that touch it, such as `std/io`."""
        count = 0
        while (
            self.ahead(count + 1).start == self.ahead(count).end and self.ahead(count + 1).kind in _WORD_PARTS
        ):
            count += 1
        span = Span(self.token.start, self.ahead(count).end)
        return span, self.source.text[span.start : span.end]

    def skip_to(self, offset: int) -> None:
        while self.token.start < offset and self.token.kind != "end":
            self.advance()

    # --- reporting --------------------------------------------------------------------------

    def report(
        self,
        code: str,
        message: str,
        span: Span,
        help: str,
        fix: Fix | None = None,
        labels: tuple[Label, ...] = (),
    ) -> None:
        """Report an error, once for each token at which the parser gets stuck; the lexer knows some."""
        self.error_count += 1
        known = self.token.text == "cut" if self.token.kind == "end" else self.token.kind.startswith("broken")
        if self._reported_at == self.pos or known:
            return
        self._reported_at = self.pos
        self.diagnostics.append(Diagnostic(code, "error", message, self.source, span, help, fix, labels))

    def note(self, code: str, message: str, span: Span, help: str, fix: Fix | None = None) -> None:
        """Report an error inside a token that does not stop the parser."""
        self.note_count += 1
        self.diagnostics.append(Diagnostic(code, "error", message, self.source, span, help, fix))

    def fail(self, code: str, message: str, span: Span, help: str, fix: Fix | None = None) -> NoReturn:
        self.report(code, message, span, help, fix)
        raise SyntaxFailure

    def layout(self, code: str, message: str, span: Span, help: str, fix: Fix | None) -> None:
        severity: Severity = "error" if self._strict_layout else "warning"
        self.layout_count += 1
        self.diagnostics.append(Diagnostic(code, severity, message, self.source, span, help, fix))

    def unclosed(self, opener: Token, what: str) -> None:
        """Report that `opener` is still open where the current token stands."""
        closer = {"{": "}", "[": "]", "(": ")", "<": ">"}[opener.kind]
        place, fix = f"before {describe(self.token)}", None
        if self.token.kind == "end":
            place = "at the end of the file"
            end = self.last_end
            fix = Fix(f"add `{closer}`", ((Span(end, end), f"\n{closer}"),))
        elif self.token.after_break:
            place = f"before line {self.source.position(self.token.start).line}"
        self.report(
            "HD0109",
            f"the `{opener.kind}` of {what} is never closed",
            opener.span,
            f"add `{closer}` {place}",
            fix,
        )

    @property
    def layout_full(self) -> bool:
        return self.layout_count >= ERRORS_MAX

    # --- recovery ---------------------------------------------------------------------------

    def stop_when_full(self) -> None:
        """Go to the end of the file when there are too many mistakes already."""
        if self.error_count + self.note_count >= ERRORS_MAX:
            self.pos = self._reported_at = len(self.tokens) - 1
            self.token = self.tokens[-1]

    def skip_to_separator(self, start: int) -> None:
        """Leave an element of a bracketed list that starts at token `start` and is broken; its separator or
        closer is next. A parenthesis cannot keep a line break from ending the element."""
        self.stop_when_full()
        depth = parens = 0
        while not self.at_break():
            token = self.token
            if token.after_break:
                parens = 0
            if depth + parens == 0:
                if token.kind == "," or token.kind in _CLOSERS:
                    return
                if token.after_break and self.pos > start:
                    return
            if token.kind in ("(", ")"):
                parens = max(0, parens + (1 if token.kind == "(" else -1))
            elif token.kind in _OPENERS:
                depth += 1
            elif token.kind in _CLOSERS:
                depth -= 1
            self.advance()

    def skip_to_stage(self) -> None:
        """Leave a broken stage; the next `|` or `>`, or the end of the statement, is next."""
        self.stop_when_full()
        depth = 0
        while self.token.kind != "end" and not self.at_item():
            token = self.token
            if token.after_break and token.kind in ("|", ">"):
                return
            if depth == 0:
                if token.kind in ("|", ">", "}"):
                    return
                if token.after_break and token.kind not in ("?", "!"):
                    return
            if token.kind in _OPENERS:
                depth += 1
            elif token.kind in _CLOSERS:
                depth = max(0, depth - 1)
            self.advance()

    def skip_brackets(self) -> None:
        """Leave a bracket, at which the cursor stands, with all that it holds."""
        depth = 0
        while not (self.token.kind == "end" or self.at_item()):
            if self.token.kind in _OPENERS:
                depth += 1
            elif self.token.kind in _CLOSERS:
                depth -= 1
            self.advance()
            if depth == 0:
                return

    def enter(self) -> None:
        """Count one more level of brackets. Beyond the limit the bracket is skipped and left."""
        if self.depth >= NESTING_MAX:
            span = self.token.span
            self.report(
                "HD0111",
                f"this bracket is nested more than {NESTING_MAX} levels deep",
                span,
                "keep less in one value or block: name a part and read it from there",
            )
            self.skip_brackets()
            raise SyntaxFailure
        self.depth += 1

    def leave(self) -> None:
        self.depth -= 1

    # --- names ------------------------------------------------------------------------------

    def name(self, what: str, example: str, *, any_line: bool = False) -> ast.Ident:
        """Take a name that something declares or refers to; `what` says which. Outside of brackets it
        stands on the line of what comes before it."""
        token = self.token
        if token.kind == "name" and (any_line or not token.after_break):
            if token.text in RESERVED_WORDS:
                self.report(
                    "HD0124",
                    f"`{token.text}` is a reserved word and cannot be {what}",
                    token.span,
                    f"choose another name, such as `{token.text}_`",
                )
            self.pos += 1
            self.token = self.tokens[self.pos]
            return ast.Ident(token.text, Span(token.start, token.end))
        place = token.span
        if token.kind == "end" or token.after_break:
            place = Span(max(0, self.last_end - 1), self.last_end)
        found = "" if token.after_break else f", not {describe(token)}"
        self.fail("HD0112", f"{what} is expected here{found}", place, f"write it like `{example}`")

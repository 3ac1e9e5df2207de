"""The formatter's page: lines are written on it in source order, and every comment finds its place.

A comment on a line of its own stays on one, before what follows it; any other goes to the end of the line
whose text it stands in or behind. A line holds at most one `//`; what is left over gets lines of its own.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from heddle.diagnostics import Span
from heddle.frontend import ast

LINE_WIDTH = 100

_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_REST_OF_ELEMENT = re.compile(r"[ \t,]*")


class Writer:
    def __init__(self, program: ast.Program) -> None:
        self.text = program.source.text
        self._comments = program.comments
        self._comment_starts = [comment.span.start for comment in program.comments]
        self._next = 0
        self._lines: list[str] = []
        self._line = ""
        self._printed_end = 0
        self._fresh = True
        self._displaced = False

    @property
    def column(self) -> int:
        """How many characters the current line has."""
        return len(self._line) - self._line.rfind("\n") - 1

    def put(self, text: str) -> None:
        self._line += text

    def put_lines(self, lines: list[str]) -> None:
        """Lines that take no comment of ours; the first goes on from the current line."""
        self._lines.extend([self._line + lines[0], *lines[1:]])
        self._line = ""

    def holds_comment(self, span: Span) -> bool:
        return bisect_left(self._comment_starts, span.start) < bisect_left(self._comment_starts, span.end)

    def one_line(self, span: Span) -> bool:
        """Whether what stands at `span` is written on one line, without comments in it."""
        return self.text.find("\n", span.start, span.end) < 0 and not self.holds_comment(span)

    def end_line(self, at: int) -> None:
        """Finish the line, whose text ends at offset `at` of the source, with the comments that it takes."""
        end = at
        while self._next < len(self._comments):
            comment = self._comments[self._next]
            if comment.span.start >= end and not self._follows(comment, end):
                break
            self._line += "  " + comment.text
            self._next += 1
            end = max(end, comment.span.end)
            if comment.kind == "line" or "\n" in comment.text:
                break
        self._lines.append(self._line)
        self._line = ""
        self._printed_end = max(self._printed_end, end)
        self._fresh = False

    def _follows(self, comment: ast.Comment, end: int) -> bool:
        gap = _REST_OF_ELEMENT.match(self.text, end)
        return gap is not None and gap.end() == comment.span.start

    def open_block(self, at: int) -> None:
        """Finish a line that ends with an opening bracket at `at - 1`; no blank line follows it."""
        self.end_line(at)
        self._fresh = True
        self._displaced = False

    def lead(self, start: int, indent: str, *, blank_lines: bool = True, force_blank: bool = False) -> None:
        """Write the comments before `start` on their own lines, and the blank line that stands there."""
        while self._next < len(self._comments) and self._comment_starts[self._next] < start:
            comment = self._comments[self._next]
            displaced = not comment.own_line or comment.span.start < self._printed_end
            self._separate(comment.span.start, blank_lines, force_blank, displaced)
            self._lines.append(indent + comment.text)
            self._printed_end = max(self._printed_end, comment.span.end)
            self._fresh = force_blank = False
            self._displaced = displaced and comment.kind == "line"
            self._next += 1
        self._separate(start, blank_lines, force_blank, displaced=False)

    def _separate(self, start: int, blank_lines: bool, force_blank: bool, displaced: bool) -> None:
        """A displaced comment must not become the documentation of what follows it."""
        guard = self._displaced and not displaced
        self._displaced = self._displaced and displaced
        if not blank_lines or self._fresh:
            return
        if force_blank or guard or _BLANK_LINE.search(self.text, self._printed_end, start):
            self._lines.append("")

    def close_block(self, at: int, indent: str) -> None:
        """Write the comments before a closing bracket at `at`."""
        if self._next < len(self._comments) and self._comment_starts[self._next] < at:
            start = self._comment_starts[bisect_left(self._comment_starts, at) - 1]
            self.lead(start, indent)
            self.lead(start + 1, indent, blank_lines=False)

    def put_verbatim(self, span: Span) -> None:
        """Keep a part of the source as it is, with the comments in it."""
        self.put(self.text[span.start : span.end].rstrip(" \t\r\n"))
        self._next = max(self._next, bisect_left(self._comment_starts, span.end))
        self.end_line(span.end)

    def result(self) -> str:
        text = "\n".join(self._lines).replace("\r\n", "\n").rstrip("\n")
        text = text + "\n" if text else ""
        first_break = self.text.find("\n")
        return text.replace("\n", "\r\n") if first_break > 0 and self.text[first_break - 1] == "\r" else text

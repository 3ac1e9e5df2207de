"""The layout check that looks at lines instead of tokens: indentation by tabs and by spaces in one file."""

from __future__ import annotations

import re
from bisect import bisect_right

from heddle.diagnostics import Diagnostic, Fix, Label, Source, Span
from heddle.frontend.ast import Comment
from heddle.frontend.tokens import Token

_INDENTATION = re.compile(r"^[ \t]++(?=[^\s])", re.M)
TAB_WIDTH = 2


def check_indentation(
    source: Source, tokens: list[Token], comments: list[Comment], *, strict_layout: bool
) -> list[Diagnostic]:
    """At most one finding: the first line that is indented otherwise than the first indented line."""
    if "\t" not in source.text:
        return []
    kept = sorted(
        [(t.start, t.end) for t in tokens if t.text.startswith('"""')]
        + [(c.span.start, c.span.end) for c in comments if c.kind == "block"]
    )
    starts = [start for start, _ in kept]
    lines = [
        Span(found.start(), found.end())
        for found in _INDENTATION.finditer(source.text)
        if not ((i := bisect_right(starts, found.start())) and found.start() < kept[i - 1][1])
    ]
    text = source.text
    tabbed = [line for line in lines if "\t" in text[line.start : line.end]]
    if not tabbed:
        return []
    first_mark = text[lines[0].start]
    odd = next((line for line in lines if text[line.start : line.end].strip(first_mark)), None)
    if odd is None:
        return []
    edits = tuple((line, text[line.start : line.end].replace("\t", " " * TAB_WIDTH)) for line in tabbed)
    return [
        Diagnostic(
            "HD0203",
            "error" if strict_layout else "warning",
            "tabs and spaces are mixed in the indentation",
            source,
            odd,
            "run `heddle fmt`, which indents with spaces",
            Fix("indent with spaces", edits),
            (Label(lines[0], "indented otherwise here"),),
        )
    ]

"""The clauses of a SELECT, by its words alone: each clause keeps its text as it was written.

Parameters are found beforehand, and stand in the text as marks (`marked`), so that what a parameter is has
one definition for all connectors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Final

from heddle.core.record import record
from heddle.core.statements import with_placeholders

_TOKEN: Final = r"""
    (?P<quoted>'(?:\\.|''|[^'\\])*' | "(?:\\.|""|[^"\\])*" | `(?:\\.|``|[^`\\])*`
      | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
  | (?P<blank>\s+ | --[^\n]* | /\*.*?\*/)
  | (?P<mark>\{heddle:\w+\})
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\d[\w.]*)
  | (?P<sign><=>|==|!=|<>|<=|>=|->|\|\||::|.)
"""
_CLAUSES: Final = (
    ("WITH",), ("SELECT",), ("FROM",), ("PREWHERE",), ("WHERE",), ("GROUP", "BY"), ("HAVING",), ("WINDOW",),
    ("QUALIFY",), ("ORDER", "BY"), ("LIMIT",), ("OFFSET",), ("FETCH",), ("SETTINGS",), ("FORMAT",),
    ("INTO", "OUTFILE"), ("UNION",), ("INTERSECT",), ("EXCEPT",),
)  # fmt: skip


class StatementError(ValueError):
    """A statement that cannot be used as the program wants."""


@record(frozen=True, slots=True)
class Token:
    """`depth`: in how many parentheses it stands."""

    kind: str
    text: str
    start: int
    end: int
    depth: int

    @property
    def word(self) -> str:
        """The word in capitals, or "" for what is none."""
        return self.text.upper() if self.kind == "word" else ""


@record(frozen=True, slots=True)
class Clauses:
    """The texts behind the clauses' names, by these names; `repeated` is a clause that stands there twice."""

    texts: dict[str, str] = field(default_factory=dict)
    repeated: str | None = None

    def text(self, name: str) -> str | None:
        return self.texts.get(name)


def marked(statement: str) -> str:
    """The statement with its parameters as marks, without the semicolon at its end."""
    return with_placeholders(statement, lambda name: "{heddle:" + name + "}").rstrip().rstrip(";")


def unmarked(text: str, placeholder: Callable[[str], str]) -> str:
    """The text with `placeholder(name)` for each mark."""
    return re.sub(r"\{heddle:(\w+)\}", lambda found: placeholder(found[1]), text)


def marks(text: str) -> tuple[str, ...]:
    """The names of the parameters in a marked text, each once."""
    return tuple(dict.fromkeys(re.findall(r"\{heddle:(\w+)\}", text)))


def tokens_of(text: str) -> list[Token]:
    """All but blanks and comments."""
    found: list[Token] = []
    depth = 0
    for match in re.finditer(_TOKEN, text, re.VERBOSE | re.DOTALL):
        kind = match.lastgroup or ""
        kind = "quoted" if kind == "tag" else kind
        if kind == "blank":
            continue
        mark = match.group()
        depth -= mark in (")", "]")
        found.append(Token(kind, mark, match.start(), match.end(), depth))
        depth += mark in ("(", "[")
    return found


def clauses_of(text: str) -> Clauses:
    """The clauses of a marked SELECT."""
    tokens = tokens_of(text)
    texts: dict[str, str] = {}
    repeated = None
    starts = list(_starts(tokens, text))
    for number, (name, _, begin) in enumerate(starts):
        end = starts[number + 1][1] if number + 1 < len(starts) else len(text)
        if name in texts:
            repeated = name
        texts[name] = text[begin:end].strip()
    return Clauses(texts, repeated)


def conjuncts_of(text: str) -> list[str]:
    """The parts of a condition between its outermost ANDs; the whole where something else binds weaker."""
    outer = [token for token in tokens_of(text) if token.depth == 0]
    if any(token.word in ("OR", "XOR", "CASE") or token.text in ("?", "->") for token in outer):
        return [text]
    parts: list[str] = []
    start = 0
    between = False
    for token in outer:
        if token.word == "BETWEEN":
            between = True
        elif token.word == "AND" and between:
            between = False
        elif token.word == "AND":
            parts.append(text[start : token.start])
            start = token.end
    return [*parts, text[start:]]


def equal_column(conjunct: str) -> tuple[str, str] | None:
    """(column, parameter) of `column = @p`, `@p = column` or `column IN (@p)`, else None."""
    tokens = tokens_of(conjunct)
    texts = [token.text for token in tokens]
    if len(tokens) >= 3 and tokens[-1].kind == "mark" and texts[-2] in ("=", "=="):
        column, mark = tokens[:-2], tokens[-1]
    elif len(tokens) >= 3 and tokens[0].kind == "mark" and texts[1] in ("=", "=="):
        column, mark = tokens[2:], tokens[0]
    elif len(tokens) >= 5 and [tokens[-4].word, texts[-3], texts[-1]] == ["IN", "(", ")"]:
        column, mark = tokens[:-4], tokens[-2]
    else:
        return None
    if mark.kind != "mark" or not _is_column(column):
        return None
    return conjunct[column[0].start : column[-1].end], marks(mark.text)[0]


def _is_column(tokens: list[Token]) -> bool:
    names, dots = tokens[::2], tokens[1::2]
    return (
        len(tokens) % 2 == 1
        and all(token.kind == "word" or token.text[0] in '`"' for token in names)
        and not any(token.word == "NOT" for token in names)
        and all(token.text == "." for token in dots)
    )


def _starts(tokens: list[Token], text: str) -> Iterator[tuple[str, int, int]]:
    """(clause, where its name begins, where its text begins)."""
    outer = [token for token in tokens if token.depth == 0]
    for place in range(len(outer)):
        before = outer[place - 1] if place else None
        if before is not None and (before.text == "." or before.word == "AS"):
            continue
        for words in _CLAUSES:
            here = outer[place : place + len(words)]
            if tuple(t.word for t in here) != words:
                continue
            if _opens(words[0], first=before is None, rest=text[here[-1].end :]):
                yield " ".join(words), here[0].start, here[-1].end


def _opens(name: str, *, first: bool, rest: str) -> bool:
    """Whether a word opens a clause. `* EXCEPT (a)` and `GROUP BY a WITH TOTALS` do not."""
    if name == "WITH":
        return first
    if name == "EXCEPT":
        return re.match(r"\s*\(?\s*(?:SELECT|WITH|ALL|DISTINCT)\b", rest, re.IGNORECASE) is not None
    return True

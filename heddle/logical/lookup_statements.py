"""The statement of a lookup, cut down: to the columns that are read, or to what it says without its values.

    SELECT id AS user_id, country, name FROM users WHERE id = @user_id AND active

    the columns user_id, country:   SELECT id AS user_id, country FROM users WHERE id = @user_id AND active
    without the value user_id:      SELECT id AS user_id, country, name FROM users WHERE 1 = 1 AND active

Both cut pieces out of the text and leave the rest as it is written. What is not plainly such a statement is
left alone: None.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from heddle.core.planning import quoted
from heddle.core.record import record

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

_MANY: Final = frozenset(
    (
        *("DISTINCT", "GROUP", "GROUP BY", "ORDER", "ORDER BY", "HAVING", "QUALIFY", "WINDOW", "TOP", "WITH"),
        *("UNION", "EXCEPT", "INTERSECT", "INTO", "FETCH", "FOR"),
        *("SETTINGS", "PREWHERE", "SAMPLE", "FINAL", "FORMAT"),
    )
)
"""Words with which a part of the statement may speak of its columns, or give rows made of others."""
_ROWS: Final = frozenset(("LIMIT", "OFFSET"))
_OPENING: Final = ("(", "[", "{")
_CLOSING: Final = (")", "]", "}")


@record(frozen=True, slots=True)
class _Select:
    """`items` are the pieces of the select list, `behind` what follows it; tokens inside of parentheses are
    those of their piece."""

    text: str
    items: tuple[tuple[Token, ...], ...]
    behind: tuple[Token, ...]


def narrowed(
    text: str, dialect: str, columns: Sequence[str], wanted: Collection[str]
) -> tuple[str, tuple[str, ...]] | None:
    """The statement, which gives `columns`, with those that are `wanted`, as far as the others can go; and
    the columns that it then gives."""
    select = _select(text, dialect)
    if select is None:
        return None
    items = select.items
    if len(items) == 1 and [t.text for t in items[0]] == ["*"]:
        if _words(select.behind) & {"JOIN", ","}:
            return None
        names = tuple(name for name in columns if name in wanted) or columns[:1]
        return _with_list(select, ", ".join(map(quoted, names))), tuple(names)
    if len(items) != len(columns):
        return None
    spoken = {t.text.lower() for item in items for t in item[:-1]} | _names(select.behind)
    kept: dict[str, str] = {}
    for item, name in zip(items, columns, strict=True):
        plain = _column_of(item)
        if plain is None or plain[1] != name or name in wanted or name.lower() in spoken - {plain[0].lower()}:
            kept[name] = _piece(select.text, item)
    if len(kept) == len(items):
        return None
    kept = kept or {columns[0]: _piece(select.text, items[0])}
    return _with_list(select, ", ".join(kept.values())), tuple(kept)


def without_values(
    text: str, dialect: str, columns: Sequence[str], values: Collection[str]
) -> tuple[str, Mapping[str, str]] | None:
    """The statement for all values at once, and the column that is compared with each: every one must be
    compared, `column = @value`, with a column that the statement gives."""
    select = _select(text, dialect)
    if select is None or _words(select.behind) & _ROWS or len(select.items) != len(columns):
        return None
    if any(t.text in (*_OPENING, "@") for item in select.items for t in item):
        return None
    given = {
        p[0].lower(): name
        for item, name in zip(select.items, columns, strict=True)
        if (p := _column_of(item))
    }
    found: dict[str, str] = {}
    cuts: list[tuple[int, int]] = []
    for part in _conjuncts(select.behind) or ():
        names = {name for name in _parameters(part) if name in values}
        if not names:
            continue
        column, value = _equality(part) or ("", "")
        if names != {value} or value in found or column.lower() not in given:
            return None
        found[value] = given[column.lower()]
        cuts.append((part[0].start, part[-1].end + 1))
    places = [name for name in _parameters(select.behind) if name in values]
    if set(found) != set(values) or len(places) != len(found):
        return None
    for start, end in reversed(cuts):
        text = f"{text[:start]}1 = 1{text[end:]}"
    return text, found


def _select(text: str, dialect: str) -> _Select | None:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        tokens = sqlglot.tokenize(text, read=dialect)
    except SqlglotError:
        return None
    if not tokens or tokens[0].text.upper() != "SELECT":
        return None
    items: list[list[Token]] = [[]]
    depth, at = 0, 1
    while at < len(tokens) and not (depth == 0 and tokens[at].text.upper() == "FROM"):
        token = tokens[at]
        depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if depth == 0 and token.text == ",":
            items.append([])
        else:
            items[-1].append(token)
        at += 1
    behind = tuple(tokens[at:])
    plain = {t.text.upper() for item in items for t in item} | _words(behind)
    if not behind or not all(items) or plain & _MANY or ";" in plain or "SELECT" in plain:
        return None
    return _Select(text, tuple(map(tuple, items)), behind)


def _outer(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens that stand in no parentheses."""
    depth = 0
    for token in tokens:
        depth -= token.text in _CLOSING
        if depth == 0:
            yield token
        depth += token.text in _OPENING


def _words(tokens: Sequence[Token]) -> set[str]:
    return {token.text.upper() for token in tokens}


def _names(tokens: Sequence[Token]) -> set[str]:
    """What is spoken of, without the names of parameters."""
    before = ""
    found: set[str] = set()
    for token in tokens:
        if before != "@":
            found.add(token.text.lower())
        before = token.text
    return found


def _column_of(item: Sequence[Token]) -> tuple[str, str] | None:
    """Of an item `a.b.column [AS name]` the reference and the name; None of any other."""
    reference, name = list(item), None
    if len(item) > 2 and item[-2].text.upper() == "AS":
        reference, name = list(item[:-2]), item[-1].text
    if len(reference) % 2 == 0 or any(t.text != "." for t in reference[1::2]):
        return None
    if not all(_is_name(t) for t in reference[::2]):
        return None
    return ".".join(t.text for t in reference[::2]), name or reference[-1].text


def _is_name(token: Token) -> bool:
    return token.token_type.name in ("VAR", "IDENTIFIER") or token.text.isidentifier()


def _conjuncts(behind: Sequence[Token]) -> list[tuple[Token, ...]] | None:
    """The conditions between the ANDs of the WHERE; None when they are connected otherwise too."""
    outer = set(map(id, _outer(behind)))
    where = next((n for n, t in enumerate(behind) if id(t) in outer and t.text.upper() == "WHERE"), None)
    if where is None:
        return None
    parts: list[list[Token]] = [[]]
    for token in behind[where + 1 :]:
        word = token.text.upper() if id(token) in outer else ""
        if word in ("OR", "BETWEEN", "CASE", "WHERE", "NOT"):
            return None
        if word == "AND":
            parts.append([])
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts] if all(parts) else None


def _parameters(tokens: Sequence[Token]) -> Iterator[str]:
    for mark, name in pairwise(tokens):
        if mark.text == "@":
            yield name.text


def _equality(part: Sequence[Token]) -> tuple[str, str] | None:
    """The column and the value of `column = @value`, either way round."""
    texts = [token.text for token in part]
    if texts.count("=") != 1:
        return None
    at = texts.index("=")
    for side, other in ((part[:at], part[at + 1 :]), (part[at + 1 :], part[:at])):
        column = _column_of(side)
        if column is not None and column[0].endswith(column[1]) and len(other) == 2 and other[0].text == "@":
            return column[0], other[1].text
    return None


def _piece(text: str, tokens: Sequence[Token]) -> str:
    return text[tokens[0].start : tokens[-1].end + 1]


def _with_list(select: _Select, listed: str) -> str:
    first, last = select.items[0][0], select.items[-1][-1]
    return f"{select.text[: first.start]}{listed}{select.text[last.end + 1 :]}"

"""Texts of statements: the bare statement, its parameters as the server wants them, what stands around it.

What is put into a text is made here or comes from the server's catalog; values are bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fhub.postgresql.columns import NESTED, Column
from fhub.postgresql.failures import PostgresqlError
from heddle.core.statements import parameter_names, with_placeholders

__all__ = ["bare", "identifier", "numbered", "parameter_names", "selected", "with_placeholders", "wrapped"]


def identifier(name: str) -> str:
    """A name as a statement may hold it. Raises `PostgresqlError` for one that cannot be."""
    if "\0" in name:
        raise PostgresqlError(f"{name!r} is no name: PostgreSQL's names hold no NUL characters")
    return '"' + name.replace('"', '""') + '"'


def bare(text: str) -> str:
    """One statement, without the semicolon and the comments behind it. Raises `PostgresqlError`."""
    from sqlglot import TokenType, tokenize
    from sqlglot.errors import TokenError

    try:
        tokens = tokenize(text, read="postgres")
    except TokenError:  # the server says better what is wrong
        return text
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens.pop()
    if any(token.token_type == TokenType.SEMICOLON for token in tokens):
        raise PostgresqlError("`query` takes one statement; make steps of the others")
    return text[: tokens[-1].end + 1] if tokens else text


def numbered(text: str, names: Sequence[str], form: Callable[[int], str] = "${}".format) -> str:
    """The statement with the server's placeholders for the names, of which the first is `$1`."""
    numbers = {name: number for number, name in enumerate(names, 1)}
    return with_placeholders(text, lambda name: form(numbers[name]))


def selected(columns: Sequence[Column], source: str) -> list[str]:
    """The columns of `source`, where they are called "@1", "@2", …, under their own names and as Heddle
    wants them; behind them, what tells arrays of several dimensions."""
    texts = [
        f'{source}."@{number}"{column.cast} AS {identifier(column.name)}'
        for number, column in enumerate(columns, 1)
    ]
    arrays = [
        f'array_ndims({source}."@{number}") > 1' for number, column in enumerate(columns, 1) if column.array
    ]
    if arrays:
        texts.append(f'coalesce({" OR ".join(arrays)}, false) AS "{NESTED}"')
    return texts


def numbers_of(columns: Sequence[Column], *more: str) -> str:
    """The list of names that `selected` wants a source's columns to have."""
    return ", ".join(f'"{name}"' for name in (*(f"@{n}" for n in range(1, len(columns) + 1)), *more))


def wrapped(statement: str, columns: Sequence[Column]) -> str:
    """The statement itself where all its columns arrive as they are, else a SELECT around it."""
    if not any(column.cast or column.array for column in columns):
        return statement
    listed = ", ".join(selected(columns, '"@q"'))
    return f'SELECT {listed} FROM (\n{statement}\n) AS "@q" ({numbers_of(columns)})'

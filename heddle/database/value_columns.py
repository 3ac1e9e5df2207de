"""Which columns the parameters in VALUES are for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import Token


def value_columns(
    tokens: Sequence[Token], parameters: Mapping[int, tuple[int, str]]
) -> Iterator[tuple[str, int]]:
    """Parameters that are a value of VALUES by themselves, with the number of their column from 0.
    `parameters` are by their starts, with their ends and names; one has at most two tokens."""
    from sqlglot import TokenType

    depth, column, values_at = 0, 0, -1
    for index, token in enumerate(tokens):
        match token.token_type:
            case TokenType.VALUES:
                values_at = depth
            case TokenType.L_PAREN:
                depth += 1
                column = 0 if depth == values_at + 1 else column
            case TokenType.R_PAREN:
                depth -= 1
                values_at = -1 if depth < values_at else values_at
            case TokenType.COMMA if depth == values_at + 1:
                column += 1
        if values_at < 0 or depth != values_at + 1 or token.start not in parameters:
            continue
        end, name = parameters[token.start]
        following = next((t for t in tokens[index + 1 : index + 3] if t.start >= end), None)
        around = (tokens[index - 1].token_type, following.token_type if following is not None else None)
        opens, closes = (TokenType.L_PAREN, TokenType.COMMA), (TokenType.R_PAREN, TokenType.COMMA)
        if around[0] in opens and around[1] in closes:
            yield name, column

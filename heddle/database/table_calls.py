"""Calls of tables in a text: `FROM Shop.orders_since(since => '2026-01-01') AS o`.

They are found by the text's tokens, before it is parsed: a call of a table has the form of a call of a
function, and only the place where it stands tells them apart. `without_calls` gives the text with the names
of tables alone, in the same places, which is what a parser then reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from heddle.core.record import record
from heddle.database.errors import QueryError

if TYPE_CHECKING:
    from sqlglot import Dialect, Token, TokenType

ENGINE_TABLES: Final = frozenset({"generate_series", "range", "unnest"})
"""Tables that the engine itself makes, by names without a schema."""
CALLS_MAX: Final = 1_000
ARGUMENTS_MAX: Final = 1_000
_NO_TABLES: Final = frozenset({"select", "values", "lateral", "table", "only", "with"})
_BEHIND_TABLES: Final = frozenset(
    {"WHERE", "GROUP_BY", "HAVING", "ORDER_BY", "LIMIT", "OFFSET", "FETCH", "WINDOW", "QUALIFY"}
    | {"UNION", "EXCEPT", "INTERSECT", "SELECT"}
)
"""Types of tokens that end a list of tables."""


@record(frozen=True, slots=True)
class Argument:
    """A value of a call: characters `start` to `end` of the text, the last excluded. `name` is None for one
    that is told by its place, and in small letters where it has no quotes."""

    name: str | None
    start: int
    end: int


@record(frozen=True, slots=True)
class TableCall:
    """`name_end` is where the table's name ends, `end` is behind the parenthesis."""

    name_end: int
    end: int
    arguments: tuple[Argument, ...]


def table_calls(text: str, tokens: Sequence[Token], dialect: Dialect) -> tuple[TableCall, ...]:
    """In the order of the text. Raises `QueryError` for a value that is no literal, no cast of one and no
    parameter."""
    calls: list[TableCall] = []
    for call in _Finder(text, tokens, dialect).calls():
        if len(calls) == CALLS_MAX:
            raise QueryError("invalid", f"a statement calls at most {CALLS_MAX:,} tables")
        calls.append(call)
    return tuple(calls)


def without_calls(text: str, calls: Sequence[TableCall]) -> str:
    parts: list[str] = []
    at = 0
    for call in calls:
        parts += [text[at : call.name_end], " " * (call.end - call.name_end)]
        at = call.end
    return "".join([*parts, text[at:]])


@record(slots=True, eq=False)
class _Block:
    """The text of one depth of parentheses. `lists`: a list of tables goes on there; `selects`: a `FROM` is
    that of a query."""

    lists: bool
    selects: bool


class _Finder:
    def __init__(self, text: str, tokens: Sequence[Token], dialect: Dialect) -> None:
        self._text = text
        self._tokens = tokens
        self._dialect = dialect

    def calls(self) -> Iterator[TableCall]:
        """Where lists of tables are, and what calls something there. Not each `FROM` begins one:
        `extract(year FROM day)`, `a IS DISTINCT FROM b`."""
        from sqlglot import TokenType as Type

        blocks = [_Block(lists=False, selects=True)]
        begins_table = False
        index = 0
        while index < len(self._tokens):
            block, kind, began = blocks[-1], self._tokens[index].token_type, begins_table
            begins_table = False
            if began and (call := self._call(index)) is not None:
                yield call
                while index < len(self._tokens) and self._tokens[index].start < call.end:
                    index += 1
                continue
            match kind:
                case Type.L_PAREN:
                    inside = self._kind(index + 1)
                    selects = inside in (Type.SELECT, Type.WITH, Type.FROM)
                    begins_table = began and not selects and inside != Type.VALUES
                    blocks.append(_Block(lists=begins_table, selects=selects))
                case Type.R_PAREN if len(blocks) > 1:
                    blocks.pop()
                case Type.FROM if block.selects and self._kind(index - 1) != Type.DISTINCT:
                    block.lists = begins_table = True
                case Type.JOIN | Type.COMMA | Type.LATERAL:
                    begins_table = block.lists
                case _ if kind.name in _BEHIND_TABLES:
                    block.lists = False
            index += 1

    def _kind(self, index: int) -> TokenType | None:
        return self._tokens[index].token_type if 0 <= index < len(self._tokens) else None

    def _call(self, index: int) -> TableCall | None:
        from sqlglot import TokenType as Type

        parts = [self._tokens[index]]
        while self._kind(index + 1) == Type.DOT and index + 2 < len(self._tokens):
            index += 2
            parts.append(self._tokens[index])
        if self._kind(index + 1) != Type.L_PAREN or not all(map(_is_name, parts)):
            return None
        if len(parts) == 1 and parts[0].text.lower() in _NO_TABLES | ENGINE_TABLES:
            return None
        first, last = index + 2, self._closing.get(index + 1)
        if last is None:
            return None
        commas: list[int] = []
        depth = 0
        for at in range(first, last):
            kind = self._kind(at)
            depth += (kind == Type.L_PAREN) - (kind == Type.R_PAREN)
            if depth == 0 and kind == Type.COMMA:
                commas.append(at)
        ends = [*commas, last] if last > first else []
        if len(ends) > ARGUMENTS_MAX:
            raise QueryError("invalid", f"a table takes at most {ARGUMENTS_MAX:,} values")
        starts = [first, *(comma + 1 for comma in commas)]
        name = self._tokens[index]
        arguments = tuple(
            self._argument(start, end, name.text) for start, end in zip(starts, ends, strict=False)
        )
        return TableCall(name.end + 1, self._tokens[last].end + 1, arguments)

    @cached_property
    def _closing(self) -> Mapping[int, int]:
        """For each parenthesis that is closed where that is."""
        from sqlglot import TokenType as Type

        closing: dict[int, int] = {}
        opened: list[int] = []
        for index, token in enumerate(self._tokens):
            if token.token_type == Type.L_PAREN:
                opened.append(index)
            elif token.token_type == Type.R_PAREN and opened:
                closing[opened.pop()] = index
        return closing

    def _argument(self, start: int, end: int, table: str) -> Argument:
        """The tokens `start` to `end`, the last excluded."""
        from sqlglot import TokenType as Type

        name: str | None = None
        if end - start > 1 and self._kind(start + 1) in (Type.FARROW, Type.COLON_EQ, Type.EQ):
            token = self._tokens[start]
            if self._kind(start + 1) == Type.EQ or not _is_name(token):
                raise QueryError("invalid", f"values of `{table}` are written `name => value`")
            name = token.text if token.token_type == Type.IDENTIFIER else token.text.lower()
            start += 2
        if start == end or not self._is_value(start, end):
            raise QueryError(
                "invalid",
                f"`{table}` takes a literal, a cast of one, or a parameter of the statement",
                help="texts are in single quotes, and parameters are `?`, `$1` or `$name`",
            )
        return Argument(name, self._tokens[start].start, self._tokens[end - 1].end + 1)

    def _is_value(self, start: int, end: int) -> bool:
        from sqlglot import exp
        from sqlglot.errors import SqlglotError

        plain = (exp.Literal, exp.Boolean, exp.Null, exp.Neg, exp.Paren, exp.Cast, exp.Parameter)
        named = (exp.DataType, exp.DataTypeParam, exp.Placeholder, exp.Var)
        try:
            trees = self._dialect.parser().parse(list(self._tokens[start:end]), self._text)
        except (SqlglotError, RecursionError):
            return False
        tree = trees[0] if len(trees) == 1 else None
        if tree is None or isinstance(tree, named[:2]):
            return False
        return all(isinstance(node, (*plain, *named)) for node in tree.walk())


def _is_name(token: Token) -> bool:
    from sqlglot import TokenType

    if token.token_type == TokenType.IDENTIFIER:
        return True
    return token.text.isidentifier()

"""A client's text, read as far as the catalog needs: which tables it names, and where, and its parameters.

The text itself goes on to DataFusion as it is, but for these places. Names are written out with quotes, in
small letters where they had none, which is how DataFusion understands them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from heddle.core.planning import quoted
from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.table_calls import TableCall, table_calls, without_calls
from heddle.database.value_columns import value_columns

if TYPE_CHECKING:
    from sqlglot import Token, exp

TEXT_CHARS_MAX: Final = 1 << 20
DEPTH_MAX: Final = 1000
"""How deep expressions may be nested; a chain of operators nests as well. DataFusion's time to plan such a
chain grows with its square: 3 seconds for 1,000, 30 for 3,000."""
PARAMETERS_MAX: Final = 10_000
DIALECTS: Final = ("postgres", "duckdb")
"""sqlglot's dialects that together read what DataFusion reads."""

TEXTS_MAX: Final = 1_000
"""Statements that are kept read."""

StatementKind: TypeAlias = Literal["query", "explain"]


@record(frozen=True, slots=True)
class Place:
    """Characters `start` to `end` of the text, the last excluded."""

    start: int
    end: int


@record(frozen=True, slots=True)
class WrittenValue:
    """A value that the text gives to a table, with the parameters in it. `name` is None for one that is told
    by its place."""

    name: str | None
    text: str
    parameters: tuple[tuple[Place, str], ...]
    """Their places in `text`."""

    @property
    def parameter(self) -> str | None:
        """The parameter that is the whole value."""
        name = self.parameters[0][1] if len(self.parameters) == 1 else None
        return name if name is not None and self.parameters[0][0] == Place(0, len(self.text)) else None

    def sql(self, values: Mapping[str, str]) -> str:
        """The value with SQL for parameters."""
        return edited(self.text, [(place, values[name]) for place, name in self.parameters])


@record(frozen=True, slots=True)
class NamedTable:
    """A table where the text names it; `parts` are the name's parts, `alias` what the text calls it then, and
    `values` what the text gives to it, None where it is not called."""

    parts: tuple[str, ...]
    place: Place
    alias: str | None
    values: tuple[WrittenValue, ...] | None = None


@record(frozen=True, slots=True)
class ReadStatement:
    """`parameters` are the names of placeholders in the order of their values: `$1` or `$name`; each `?` has
    a number of its own. `names` are all names of the text, `cte_names` those that it gives
    to queries of its own. One that `is_constant` gives one row, and reads nothing for it."""

    text: str
    kind: StatementKind
    tables: tuple[NamedTable, ...]
    parameters: tuple[str, ...]
    names: frozenset[str]
    cte_names: frozenset[str]
    reduces: bool
    is_constant: bool
    bare_names: tuple[tuple[Place, str], ...]
    left_out: tuple[Place, ...]
    float_ends: tuple[int, ...]
    parameter_places: tuple[tuple[Place, str], ...]
    value_columns: tuple[tuple[str, int], ...]
    """Parameters that are a value of VALUES by themselves, with the number of their column from 0."""

    def sql(self, sources: Sequence[str], spelled: Mapping[str, str], values: Mapping[str, str]) -> str:
        """The text with a relation in parentheses for each table, in their order, and values as SQL for
        parameters; those without one stay. `spelled` has columns that names in small letters stand for."""
        edits = [(place, "") for place in self.left_out]
        # With an exponent a number is a float for every engine.
        edits += [(Place(end, end), "e0") for end in self.float_ends]
        edits += [(place, quoted(spelled.get(name, name))) for place, name in self.bare_names]
        for table, source in zip(self.tables, sources, strict=True):
            alias = "" if table.alias is not None else f" AS {quoted(table.parts[-1])}"
            edits.append((table.place, f"({source}){alias}"))
        edits += [(place, values.get(name, name)) for place, name in self.parameter_places]
        return edited(self.text, edits)


@lru_cache(TEXTS_MAX)
def read_statement(text: str) -> ReadStatement:
    """Raises `QueryError`."""
    if len(text) > TEXT_CHARS_MAX:
        raise QueryError("invalid", f"the statement is longer than {TEXT_CHARS_MAX:,} characters")
    text = text.strip().removesuffix(";").rstrip()
    if not text:
        raise QueryError("invalid", "the statement is empty")
    kind: StatementKind = "query"
    if explained := re.match(r"explain\s+(?=select|with|from|values|\()", text, re.IGNORECASE):
        kind, text = "explain", text[explained.end() :]
    tokens, tree, calls = _tree(text)
    return _Reader(text, kind, tokens, _nodes(tree), calls).read()


def _nodes(tree: exp.Expr) -> list[exp.Expr]:
    """The tree and all below it. Raises `QueryError` where it is too deep."""
    found: list[exp.Expr] = []
    level = [tree]
    for _ in range(DEPTH_MAX):
        found += level
        level = [child for node in level for child in node.iter_expressions()]
        if not level:
            return found
    raise QueryError(
        "invalid",
        f"the statement is nested more than {DEPTH_MAX} deep",
        help="write long chains of `or` as `in (…)`, and sums as `sum`",
    )


def _tree(text: str) -> tuple[list[Token], exp.Query, Sequence[TableCall]]:
    """The tree is that of the text without calls of tables."""
    from sqlglot import Dialect, exp
    from sqlglot.errors import SqlglotError

    problem = ""
    for name in DIALECTS:
        dialect = Dialect.get_or_raise(name)
        try:
            tokens = dialect.tokenize(text)
            calls = table_calls(text, tokens, dialect)
            plain = without_calls(text, calls)
            read = dialect.tokenize(plain) if calls else tokens
            statements = dialect.parser().parse(read, plain)
        except SqlglotError as error:
            problem = problem or _shown(error)
            continue
        except RecursionError as error:
            raise QueryError("invalid", "the statement is nested too deeply") from error
        if len(statements) != 1 or statements[0] is None:
            raise QueryError("invalid", "one statement at a time", help="send them one after the other")
        if isinstance(statements[0], exp.Query):
            return tokens, statements[0], calls
        word = text.split(None, 1)[0].upper()
        raise QueryError("unsupported", f"`{word}` is no query", help="views are read with SELECT")
    raise QueryError("invalid", f"the statement cannot be read: {problem}")


def _shown(error: Exception) -> str:
    """sqlglot's message without its marks for terminals."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return plain.splitlines()[0].rstrip(".") if plain else "it is not SQL"


class _Reader:
    def __init__(
        self,
        text: str,
        kind: StatementKind,
        tokens: Sequence[Token],
        nodes: Sequence[exp.Expr],
        calls: Sequence[TableCall],
    ) -> None:
        self._text = text
        self._kind = kind
        self._tokens = tokens
        self._nodes = nodes
        self._calls = {call.name_end: call for call in calls}
        self._left_out: list[Place] = []

    def read(self) -> ReadStatement:
        from sqlglot import exp

        parameters, places = self._parameters()
        placed = dict(zip(places, parameters, strict=True))
        called = [Place(call.name_end, call.end) for call in self._calls.values()]
        starts = [place.start for place in places]
        tables: list[NamedTable] = []
        within: set[int] = set()
        for node in self._nodes:
            if isinstance(node, (exp.Table, exp.TableAlias)):
                _require_names(node)
        for table in self._nodes:
            if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
                continue
            call = self._calls.pop(_place(table.this).end, None)
            if call is not None or not _is_cte(table):
                parts = [table.args.get(key) for key in ("catalog", "db", "this")]
                named = [part for part in parts if isinstance(part, exp.Identifier)]
                within.update(map(id, named))
                tables.append(
                    NamedTable(
                        tuple(_name(part) for part in named),
                        Place(_place(named[0]).start, _place(named[-1]).end if call is None else call.end),
                        table.alias or None,
                        None if call is None else tuple(self._values(call, places, parameters, starts)),
                    )
                )
        if self._calls:
            raise QueryError(
                "unsupported",
                "a table cannot be called here",
                help="leave out `lateral`: what a table is given does not depend on other tables",
            )
        self._unqualify(within)
        identifiers = [node for node in self._nodes if isinstance(node, exp.Identifier)]
        names = [i for i in identifiers if id(i) not in within]
        bare = [(_place(i), _name(i)) for i in names if not i.quoted and "start" in i.meta]
        tables.sort(key=lambda table: table.place.start)
        outside = {place: name for place, name in placed.items() if not _is_within(place.start, called)}
        float_ends = (end for end in _float_ends(self._tokens) if not _is_within(end - 1, called))
        return ReadStatement(
            self._text,
            self._kind,
            tuple(tables),
            in_order(parameters),
            frozenset(_name(i) for i in identifiers),
            frozenset(_cte_name(node) for node in self._nodes if isinstance(node, exp.CTE)),
            self._reduces(),
            self._is_constant(),
            tuple(bare),
            tuple(self._left_out),
            tuple(float_ends),
            tuple(outside.items()),
            tuple(value_columns(self._tokens, {p.start: (p.end, name) for p, name in outside.items()})),
        )

    def _values(
        self, call: TableCall, places: Sequence[Place], parameters: Sequence[str], starts: Sequence[int]
    ) -> Iterator[WrittenValue]:
        """`starts` are those of `places`, which are in the order of the text."""
        for argument in call.arguments:
            first, last = bisect_left(starts, argument.start), bisect_left(starts, argument.end)
            inside = [
                (Place(place.start - argument.start, place.end - argument.start), name)
                for place, name in zip(places[first:last], parameters[first:last], strict=True)
            ]
            text = self._text[argument.start : argument.end]
            yield WrittenValue(argument.name, text, tuple(inside))

    def _unqualify(self, within: set[int]) -> None:
        """`workflow.output.column` is `output.column`: the table has its own name as an alias."""
        from sqlglot import exp

        for column in self._nodes:
            if not isinstance(column, exp.Column):
                continue
            prefixes = [column.args.get(key) for key in ("catalog", "db")]
            found = [part for part in prefixes if isinstance(part, exp.Identifier)]
            table = column.args.get("table")
            if not found or not isinstance(table, exp.Identifier):
                continue
            within.update(map(id, found))
            self._left_out.append(Place(_place(found[0]).start, _place(table).start))

    def _parameters(self) -> tuple[list[str], list[Place]]:
        from sqlglot import TokenType

        names: list[str] = []
        places: list[Place] = []
        for token, following in zip(self._tokens, [*self._tokens[1:], None], strict=True):
            if token.token_type == TokenType.PLACEHOLDER and token.text == "?":
                names.append(f"${sum(name.startswith('$') for name in names) + 1}")
                places.append(Place(token.start, token.end + 1))
            elif token.token_type == TokenType.PARAMETER and following is not None:
                names.append(f"${following.text}")
                places.append(Place(token.start, following.end + 1))
        marks = {self._text[place.start] for place in places}
        if len(marks) > 1:
            raise QueryError("invalid", "parameters are `?` or `$1`, not both in one statement")
        return names, places

    def _reduces(self) -> bool:
        from sqlglot import exp

        reducing = (exp.Join, exp.Group, exp.Distinct, exp.Order, exp.Window, exp.SetOperation, exp.AggFunc)
        return any(isinstance(node, (*reducing, exp.In, exp.Exists, exp.Having)) for node in self._nodes)

    def _is_constant(self) -> bool:
        from sqlglot import exp

        first, *below = self._nodes
        if self._kind != "query" or not isinstance(first, exp.Select):
            return False
        # The only function that makes rows of a value; a name like it elsewhere does no harm.
        if "unnest" in self._text.lower():
            return False
        return not any(isinstance(node, (exp.From, exp.Query)) for node in below)


def _float_ends(tokens: Sequence[Token]) -> Iterator[int]:
    """Where numbers with a point and no exponent end."""
    from sqlglot import TokenType

    for token in tokens:
        if token.token_type == TokenType.NUMBER and re.fullmatch(r"\d*\.\d+", token.text):
            yield token.end + 1


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Those with numbers by their numbers, with all before the highest; others as they are first used."""
    numbers = [int(name[1:]) for name in names if name[1:].isdecimal()]
    if not numbers or len(numbers) < len(names):
        return tuple(dict.fromkeys(names))
    if not 1 <= min(numbers) <= max(numbers) <= PARAMETERS_MAX:
        raise QueryError("invalid", f"parameters are numbered from $1 to ${PARAMETERS_MAX}")
    return tuple(f"${number}" for number in range(1, max(numbers) + 1))


def _require_names(node: exp.Table | exp.TableAlias) -> None:
    """Raises `QueryError` for a table that is no name and no function, such as a parameter: a value that is
    put there would be taken for a name."""
    from sqlglot import exp

    parts = [node.args.get(key) for key in ("catalog", "db", "this")]
    if not all(part is None or isinstance(part, (exp.Identifier, exp.Func)) for part in parts):
        raise QueryError("invalid", "a table is named in the text of a statement, not by a value")


def _is_cte(table: exp.Table) -> bool:
    """Whether the name is that of a common table expression that is seen from there."""
    from sqlglot import exp

    if table.args.get("db") is not None:
        return False
    name = _name(table.this)
    below: exp.Expr = table
    above = table.parent
    while above is not None:
        if isinstance(above, exp.With):
            seen = above.expressions
            if not above.args.get("recursive"):
                seen = seen[: [id(each) for each in seen].index(id(below))]
            if any(_cte_name(each) == name for each in seen):
                return True
        else:
            with_ = above.args.get("with_") or above.args.get("with")
            beside = with_.expressions if with_ is not None and with_ is not below else []
            if any(_cte_name(each) == name for each in beside):
                return True
        below, above = above, above.parent
    return False


def _cte_name(cte: exp.Expr) -> str:
    return _name(cte.args["alias"].this)


def _is_within(index: int, places: Sequence[Place]) -> bool:
    """`places` are in the order of the text."""
    before = bisect_right(places, index, key=lambda place: place.start)
    return before > 0 and index < places[before - 1].end


def _name(identifier: exp.Identifier) -> str:
    text: str = identifier.this
    return text if identifier.quoted else text.lower()


def _place(identifier: exp.Identifier) -> Place:
    return Place(identifier.meta["start"], identifier.meta["end"] + 1)


def edited(text: str, edits: Iterable[tuple[Place, str]]) -> str:
    """The text with other words at places that do not overlap."""
    parts: list[str] = []
    at = 0
    for place, words in sorted(edits, key=lambda edit: edit[0].start):
        parts += [text[at : place.start], words]
        at = place.end
    return "".join([*parts, text[at:]])

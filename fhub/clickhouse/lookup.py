"""A statement with parameters -> one statement for many tuples of their values.

The tuples come along as an external table. The statement is joined with it, so that each row knows the tuple
it belongs to; `column = @p` becomes, in addition, `column IN (all values)`, which the primary index answers.
GROUP BY and LIMIT hold for each tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from fhub.clickhouse.clauses import (
    Clauses,
    StatementError,
    clauses_of,
    conjuncts_of,
    equal_column,
    marks,
    tokens_of,
    unmarked,
)
from fhub.clickhouse.column_types import bare, literal, parts_of
from heddle.core.record import record

TUPLES: Final = "heddle_tuples"
"""The external table: `heddle_row`, and a column for each parameter by its name."""
ROW: Final = "heddle_row"
_KEYS: Final = "heddle_keys"
_VALUE: Final = "heddle_value_"
_COLUMN: Final = "heddle_column_"
_REFUSED: Final = {
    "UNION": "UNION",
    "INTERSECT": "INTERSECT",
    "EXCEPT": "EXCEPT",
    "WINDOW": "a window",
    "QUALIFY": "QUALIFY",
    "FETCH": "FETCH",
}
_ENUMS: Final = ("Enum8", "Enum16")


@record(frozen=True, slots=True)
class Lookup:
    """A statement taken apart. `equal` are the columns that a parameter is compared with, by parameter."""

    clauses: Clauses
    names: tuple[str, ...]
    conjuncts: tuple[str, ...]
    equal: Mapping[str, str]

    def describing(self, types: Mapping[str, str], placeholder: Callable[[str], str]) -> str:
        """A SELECT with the statement's columns, then a column for each parameter in `equal`, in order.
        `types` are the parameters' types in ClickHouse."""

        def value(name: str) -> str:
            return f"CAST(NULL, 'Nullable({_escaped(types[name])})')" if name in types else placeholder(name)

        columns = [f"({column}) AS {_COLUMN}{name}" for name, column in self.equal.items()]
        groups = self.clauses.text("GROUP BY")
        if groups is not None and groups.upper() != "ALL":
            groups = _listed([groups, *self.equal.values()])
        return unmarked(
            _joined(
                self._head(columns),
                ("FROM", self.clauses.text("FROM")),
                ("GROUP BY", groups),
                ("SETTINGS", self.clauses.text("SETTINGS")),
            ),
            value,
        )

    def statement(
        self, types: Mapping[str, str], column_types: Mapping[str, str], placeholder: Callable[[str], str]
    ) -> str:
        """The statement for all tuples; adds the column `heddle_row`. `types` are those of the parameters,
        `column_types` those of the columns in `equal`."""
        casts = {name: _Cast.of(types[name], column_types[name]) for name in self.equal}
        keys = self._keys(casts)
        values = [f"{_VALUE}{name}" for name in self.names]
        groups = self.clauses.text("GROUP BY")
        if groups is not None and groups.upper() != "ALL":
            groups = _listed([groups, ROW, *values])
        source = self.clauses.text("FROM")
        joined = f"{keys} AS {_KEYS}"
        text = _joined(
            self._head([f"{_KEYS}.{ROW} AS {ROW}"]),
            ("FROM", joined if source is None else f"{source}\nCROSS JOIN {joined}"),
            ("PREWHERE", self.clauses.text("PREWHERE")),
            ("WHERE", self._where(casts, keys)),
            ("GROUP BY", groups),
            ("HAVING", self.clauses.text("HAVING")),
            ("ORDER BY", self.clauses.text("ORDER BY")),
            ("LIMIT", self._limit()),
            ("SETTINGS", self.clauses.text("SETTINGS")),
        )

        def value(name: str) -> str:
            return f"{_KEYS}.{_VALUE}{name}" if name in self.names else placeholder(name)

        return unmarked(text, value)

    def unrestricted(self, placeholder: Callable[[str], str]) -> str:
        """The statement without the conditions on parameters, for an estimate."""
        kept = [conjunct for conjunct in self.conjuncts if not marks(conjunct)]
        text = _joined(
            self._head([]),
            ("FROM", self.clauses.text("FROM")),
            ("WHERE", " AND ".join(kept) or None),
            ("GROUP BY", self.clauses.text("GROUP BY")),
        )
        return unmarked(text, placeholder)

    def _head(self, added: list[str]) -> str:
        head = self.clauses.text("WITH")
        select = _listed([self.clauses.texts["SELECT"].rstrip().rstrip(","), *added])
        return f"WITH {head}\nSELECT {select}" if head is not None else f"SELECT {select}"

    def _keys(self, casts: Mapping[str, _Cast]) -> str:
        """The tuples as the columns that they are compared with have them; without those that no value of
        the column can equal."""
        values = [
            f"{casts[n].of_value(n)} AS {_VALUE}{n}" if n in casts else f"`{n}` AS {_VALUE}{n}"
            for n in self.names
        ]
        guards = [guard for name, cast in casts.items() if (guard := cast.guard(name)) is not None]
        where = f" WHERE {' AND '.join(guards)}" if guards else ""
        return f"(SELECT {', '.join([ROW, *values])} FROM {TUPLES}{where})"

    def _where(self, casts: Mapping[str, _Cast], keys: str) -> str | None:
        conditions: list[str] = []
        for conjunct in self.conjuncts:
            equal = equal_column(conjunct)
            if equal is not None and self.equal.get(equal[1]) == equal[0]:
                column, name = equal
                conditions.append(f"{casts[name].of_column(column)} = {_KEYS}.{_VALUE}{name}")
            else:
                conditions.append(f"({conjunct.strip()}\n)")
        if casts:
            columns = ", ".join(casts[name].of_column(column) for name, column in self.equal.items())
            values = ", ".join(f"{_VALUE}{name}" for name in self.equal)
            conditions.append(f"({columns}) IN (SELECT {values} FROM {keys})")
        return "\n  AND ".join(conditions) or None

    def _limit(self) -> str | None:
        limit, offset = self.clauses.text("LIMIT"), self.clauses.text("OFFSET")
        if limit is None:
            return None
        if any(token.word == "BY" and token.depth == 0 for token in tokens_of(limit)):
            return _listed([limit, ROW])
        return f"{limit}\nOFFSET {offset}\nBY {ROW}" if offset is not None else f"{limit}\nBY {ROW}"


@record(frozen=True, slots=True)
class _Cast:
    """How a parameter's values, of the type `given`, meet the column that they are compared with, of the type
    `type`. `text`: the column is compared as text."""

    given: str
    type: str
    text: bool

    @classmethod
    def of(cls, given: str, column_type: str) -> _Cast:
        plain, _ = bare(column_type)
        text = parts_of(plain).name in _ENUMS
        return cls(given, "String" if text else plain, text)

    def of_column(self, column: str) -> str:
        return f"CAST({column}, 'String')" if self.text else column

    def of_value(self, name: str) -> str:
        return f"`{name}`" if self.given == self.type else f"assumeNotNull({self._cast(name)})"

    def guard(self, name: str) -> str | None:
        """Whether a value is the same in the column's type. A text is what it is read as."""
        if self.given == self.type:
            return None
        if self.given == "String":
            return f"{self._cast(name)} IS NOT NULL"
        return f"{self._cast(name)} = `{name}`"

    def _cast(self, name: str) -> str:
        return f"accurateCastOrNull(`{name}`, {literal(self.type)})"


def lookup_of(text: str, names: tuple[str, ...]) -> Lookup:
    """A marked statement whose parameters `names` come as tuples. Raises `StatementError`."""
    clauses = clauses_of(text)
    _check(clauses, text, names)
    where = clauses.text("WHERE")
    conjuncts = tuple(conjuncts_of(where)) if where is not None else ()
    equal: dict[str, str] = {}
    for conjunct in conjuncts:
        found = equal_column(conjunct)
        if found is not None and found[1] in names:
            equal.setdefault(found[1], found[0])
    return Lookup(clauses, names, conjuncts, equal)


def column_name(name: str) -> str:
    """The column that `Lookup.describing` adds for a parameter."""
    return f"{_COLUMN}{name}"


def _check(clauses: Clauses, text: str, names: tuple[str, ...]) -> None:
    first = next(iter(clauses.texts), None)
    if first not in ("SELECT", "WITH") or "SELECT" not in clauses.texts:
        raise StatementError("a lookup's statement begins with SELECT or WITH")
    for clause, word in _REFUSED.items():
        if clause in clauses.texts:
            raise _refused(word)
    if clauses.repeated is not None:
        raise _refused(f"a second {clauses.repeated}")
    if "OFFSET" in clauses.texts and "LIMIT" not in clauses.texts:
        raise _refused("OFFSET without LIMIT")
    for clause, forbidden in (
        ("SELECT", "OVER"), ("SELECT", "TOP"), ("GROUP BY", "WITH"), ("GROUP BY", "SETS"),
        ("GROUP BY", "ROLLUP"), ("GROUP BY", "CUBE"), ("ORDER BY", "WITH"), ("LIMIT", "WITH"),
    ):  # fmt: skip
        words = [token.word for token in tokens_of(clauses.text(clause) or "") if token.depth == 0]
        if forbidden in words:
            raise _refused(f"{forbidden} in {clause}")
    if clauses.texts["SELECT"].upper().startswith("DISTINCT ON"):
        raise _refused("DISTINCT ON")
    for clause in ("WITH", "FROM", "PREWHERE", "LIMIT", "OFFSET", "SETTINGS"):
        found = [name for name in marks(clauses.text(clause) or "") if name in names]
        if found:
            raise StatementError(
                f"`@{found[0]}` stands in {clause}; in a lookup it stands in WHERE, HAVING or behind SELECT "
                "of the outermost query"
            )
    inner = _in_subquery(text, names)
    if inner is not None:
        raise StatementError(f"`@{inner}` stands in a subquery; in a lookup it stands in the outermost query")


def _in_subquery(text: str, names: tuple[str, ...]) -> str | None:
    tokens = tokens_of(text)
    opened: list[bool] = []
    for place, token in enumerate(tokens):
        if token.text == "(":
            opened.append(tokens[place + 1].word in ("SELECT", "WITH") if place + 1 < len(tokens) else False)
        elif token.text == ")" and opened:
            opened.pop()
        elif token.kind == "mark" and any(opened) and marks(token.text)[0] in names:
            return marks(token.text)[0]
    return None


def _refused(what: str) -> StatementError:
    return StatementError(
        f"{what} does not go with a lookup, which asks for many values at once; make a view of it, and "
        "select from that"
    )


def _joined(head: str, *clauses: tuple[str, str | None]) -> str:
    return "\n".join([head, *(f"{name} {text}" for name, text in clauses if text is not None)])


def _listed(parts: list[str]) -> str:
    """On lines of their own, since a comment may stand at the end of one."""
    return "\n, ".join(parts)


def _escaped(type_: str) -> str:
    return literal(type_)[1:-1]

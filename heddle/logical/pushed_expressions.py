"""Expressions of queries as a database computes them: each form that is known to give the same there.

They are read from sqlglot's tree of a query's SQL, and typed on the way from the columns that they name. A
form that is not written here stays in the engine, whatever sqlglot could make of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final

import pyarrow as pa
from sqlglot import exp

from heddle.core.types import TIMESTAMP, type_name
from heddle.logical import pushed_numbers as numbers
from heddle.logical.dialects.dialect import Dialect
from heddle.logical.dialects.terms import (
    Refused,
    Term,
    alike,
    column_term,
    computed,
    is_bool,
    is_date,
    is_decimal,
    is_int,
    is_number,
    is_text,
    is_timestamp,
)
from heddle.logical.pushed_aggregates import AGGREGATES, aggregate, said

Scope = Mapping[str, Mapping[str, Term]]
"""The columns of what a query reads, by alias and name."""

_COMPARISONS: Final[Mapping[type[exp.Expr], str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_ARITHMETIC: Final[Mapping[type[exp.Expr], str]] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}
_SAYS: Final = frozenset(
    {"this", "expression", "expressions", "table", "is_string", "low", "high", "ifs", "default", "to", "true"}
)
"""What a node says that is written here. A node that says more means something else."""
_SAYS_NOTHING: Final = frozenset({"_type", "big_int", "coalesce", "safe", "typed"})
_UTC_TIMESTAMP: Final = 'Timestamp(Microsecond, Some("UTC"))'
_ZONE: Final = "+00:00"
_PLAIN_LIKE: Final = r"(%?)([^%_\\]+)(%?)"


class Expressions:
    """The expressions of one SELECT. With `keys`, texts of what it groups by, only these and aggregates may
    be used."""

    def __init__(self, dialect: Dialect, scope: Scope, keys: Mapping[str, Term] | None = None) -> None:
        self._dialect = dialect
        self._scope = scope
        self._keys = keys

    def conjuncts(self, node: exp.Expr) -> Iterator[str]:
        """A condition of a WHERE, as parts that AND joins."""
        for part in parts_of(node):
            yield self._sought(part) or self.condition(part)

    def condition(self, node: exp.Expr) -> str:
        term = self.term(node)
        if not is_bool(term.type):
            raise Refused(f"a condition is {type_name(term.type)}")
        return self._known(term).text

    def term(self, node: exp.Expr) -> Term:
        more = says(node) - _SAYS - _SAYS_NOTHING
        if more == {"negate"} and not isinstance(node, exp.Is):
            plain = node.copy()
            plain.set("negate", None)
            return self._condition(f"(NOT {self.condition(plain)})")
        if more - {"negate"}:
            raise Refused(f"{said(node)} is not known to mean the same in {self._dialect.said}")
        if self._keys and not isinstance(node, exp.Column | exp.Literal):
            key = self._key(node)
            if key is not None:
                return key
        match node:
            case exp.Paren(this=inner):
                return self.term(inner)
            case exp.Column():
                return self._column(node)
            case exp.Literal(is_string=True, this=text):
                return Term(self._dialect.literal(text), pa.string(), value=text)
            case exp.Literal(this=text):
                return numbers.number(str(text), self._dialect)
            case exp.Boolean(this=value):
                return Term(self._dialect.literal(bool(value)), pa.bool_(), value=bool(value))
            case exp.Null():
                return Term("NULL", None)
            case exp.Neg(this=inner):
                return numbers.negative(self.value(inner), self._dialect)
            case exp.And(this=left, expression=right):
                return self._condition(f"({self.condition(left)} AND {self.condition(right)})")
            case exp.Or(this=left, expression=right):
                return self._condition(f"({self.condition(left)} OR {self.condition(right)})")
            case exp.Not(this=inner):
                return self._condition(f"(NOT {self.condition(inner)})")
            case exp.Is(this=inner, expression=exp.Null()):
                word = "IS NOT NULL" if node.args.get("negate") else "IS NULL"
                return self._condition(f"({self.term(inner).text} {word})")
            case exp.In(this=inner, expressions=[_, *_] as values):
                return self._is_one_of(inner, values)
            case exp.Between(this=inner):
                low = self._compared(">=", inner, node.args["low"])
                high = self._compared("<=", inner, node.args["high"])
                return self._condition(f"({low.text} AND {high.text})")
            case _ if type(node) in _COMPARISONS:
                return self._compared(_COMPARISONS[type(node)], node.this, node.expression)
            case _ if type(node) in _ARITHMETIC:
                left, right = self.value(node.this), self.value(node.expression)
                return numbers.arithmetic(_ARITHMETIC[type(node)], left, right, self._dialect)
            case exp.Div(this=left, expression=right):
                return numbers.divided(self.value(left), self.value(right), self._dialect)
            case exp.Case():
                return self._case(node)
            case exp.Coalesce(this=first, expressions=others):
                terms, type_ = self._chosen([self.value(part) for part in (first, *others)])
                text = f"COALESCE({', '.join(t.text for t in terms)})"
                return computed(text, type_, exact=_is_exact(terms, type_))
            case exp.Cast(this=inner) if type(node) is exp.Cast:
                return self._cast(inner, node.to)
            case _ if isinstance(node, AGGREGATES):
                if self._keys is None:
                    raise Refused("an aggregate stands where none is known")
                return aggregate(node, Expressions(self._dialect, self._scope), self._dialect)
            case _:
                return self._function(node)

    def _key(self, node: exp.Expr) -> Term | None:
        """What an expression is that is grouped by; None for others."""
        assert self._keys is not None, "it groups"
        try:
            return self._keys.get(Expressions(self._dialect, self._scope).term(node).text)
        except Refused:
            return None

    def _condition(self, text: str) -> Term:
        return computed(text, pa.bool_(), exact=self._dialect.plain_types)

    def _column(self, node: exp.Column) -> Term:
        found = [
            columns[node.name]
            for alias, columns in self._scope.items()
            if node.table in ("", alias) and node.name in columns
        ]
        if len(found) != 1:
            raise Refused(f"the column `{node.name}` is not found")
        if self._keys is None:
            return found[0]
        if found[0].text not in self._keys:
            raise Refused(f"the column `{node.name}` is not grouped by")
        return self._keys[found[0].text]

    def _known(self, term: Term) -> Term:
        return term if term.is_literal or term.type is None else self._dialect.known(term)

    def value(self, node: exp.Expr) -> Term:
        """A term that takes part in an expression."""
        return self._known(self.term(node))

    def _text(self, node: exp.Expr) -> Term:
        term = self.value(node)
        if not is_text(term.type):
            raise Refused("a text is made of another value")
        return term

    def _compared(self, operator: str, left: exp.Expr, right: exp.Expr) -> Term:
        one, two = self._comparable(self.value(left), self.value(right), operator)
        return self._condition(self._dialect.compared(operator, one, two))

    def _comparable(self, left: Term, right: Term, operator: str) -> tuple[Term, Term]:
        if left.type is None or right.type is None:
            raise Refused("a comparison with null has no value")
        if is_number(left.type) and is_number(right.type):
            return numbers.comparable_numbers(left, right, self._dialect)
        both = (left.type, right.type)
        if is_bool(left.type) and is_bool(right.type) and operator in {"=", "<>"}:
            return left, right
        if alike(*both) and (is_text(left.type) or is_date(left.type)):
            return left, right
        if is_timestamp(left.type) and is_timestamp(right.type):
            return left, right
        raise Refused(f"a {type_name(left.type)} is compared with a {type_name(right.type)}")

    def _is_one_of(self, inner: exp.Expr, values: Sequence[exp.Expr]) -> Term:
        one, literals = self._sides(inner, values)
        return self._condition(self._dialect.is_one_of(one, literals))

    def _sides(self, inner: exp.Expr, values: Sequence[exp.Expr]) -> tuple[Term, list[Term]]:
        one = self.value(inner)
        pairs = [self._comparable(one, self.value(value), "=") for value in values]
        if any(not literal.is_literal for _, literal in pairs) or any(p[0] != pairs[0][0] for p in pairs):
            raise Refused("`in` has values that are computed")
        return pairs[0][0], [literal for _, literal in pairs]

    def _sought(self, node: exp.Expr) -> str | None:
        """A condition that an index may answer."""
        match node:
            case exp.EQ(this=exp.Column() as inner, expression=exp.Literal() as value):
                values: Sequence[exp.Expr] = [value]
            case exp.In(this=exp.Column() as inner, expressions=[_, *_] as values) if says(node) <= _SAYS:
                pass
            case _:
                return None
        return self._dialect.sought(*self._sides(inner, values))

    def _case(self, node: exp.Case) -> Term:
        if node.this is not None:
            raise Refused("a choice by values")
        branches = node.args["ifs"]
        conditions = [self.condition(branch.this) for branch in branches]
        results = [self.value(branch.args["true"]) for branch in branches]
        default = node.args.get("default")
        results += [self.value(default)] if default is not None else []
        terms, type_ = self._chosen(results)
        cases = " ".join(f"WHEN {c} THEN {t.text}" for c, t in zip(conditions, terms, strict=False))
        otherwise = f" ELSE {terms[-1].text}" if default is not None else ""
        return computed(f"CASE {cases}{otherwise} END", type_, exact=_is_exact(terms, type_))

    def _chosen(self, terms: list[Term]) -> tuple[list[Term], pa.DataType]:
        return numbers.common_type(terms, self._dialect)

    def _cast(self, inner: exp.Expr, to: exp.DataType) -> Term:
        target = to.sql().upper()
        match target, inner:
            case "BIGINT", _:
                return self._as_int(self.value(inner))
            case (("DOUBLE" | "DOUBLE PRECISION"), _):
                return numbers.as_float(self.value(inner), self._dialect)
            case "DATE", exp.Literal(is_string=True, this=text):
                return self._literal(date.fromisoformat, text, pa.date32())
            case (("TIMESTAMP" | "TIMESTAMPTZ"), exp.Literal(is_string=True, this=text)) if _ZONE in text:
                return self._literal(_point_in_time, text, TIMESTAMP)
            case (("TEXT" | "VARCHAR"), _):
                term = self.value(inner)
                if is_text(term.type):
                    return term
                if is_int(term.type):
                    return self._dialect.cast(term, pa.string())
        raise Refused(f"a cast to {target.lower()} may give another value in {self._dialect.said}")

    def _as_int(self, term: Term) -> Term:
        if not is_int(term.type):
            raise Refused(f"`as int` rounds or parses in another way in {self._dialect.said}")
        if term.is_literal or (term.exact and term.type == pa.int64()):
            return term
        return self._dialect.cast(term, pa.int64())

    def _literal(self, parse: object, text: str, type_: pa.DataType) -> Term:
        assert callable(parse), "it makes a value of a text"
        try:
            value = parse(text)
        except ValueError:
            raise Refused(f"`{text}` is no date or time that is known") from None
        return Term(self._dialect.literal(value), type_, value=value)

    def _function(self, node: exp.Expr) -> Term:
        match node:
            case exp.Anonymous(this=name, expressions=[exp.Literal(this=text), exp.Literal(this=type_)]) if (
                str(name).upper() == "ARROW_CAST" and type_ == _UTC_TIMESTAMP
            ):
                return self._literal(_point_in_time, text, TIMESTAMP)
            case exp.Length(this=inner):
                return Term(self._dialect.length(self._text(inner)), pa.int32(), high=2**31 - 1)
            case exp.StartsWith(this=inner, expression=part):
                return self._condition(self._dialect.starts_with(*self._parts(inner, part)))
            case exp.EndsWith(this=inner, expression=part):
                return self._condition(self._dialect.ends_with(*self._parts(inner, part)))
            case exp.Contains(this=inner, expression=part):
                return self._condition(self._dialect.contains(*self._parts(inner, part)))
            case exp.Like(this=inner, expression=exp.Literal(is_string=True, this=pattern)):
                return self._condition(self._like(self._text(inner), pattern))
            case exp.Concat(expressions=parts):
                return computed(self._dialect.concatenated([self._printed(p) for p in parts]), pa.string())
            case exp.Extract(this=part, expression=inner):
                return self._date_part(str(part.name).lower(), self.value(inner))
            case _:
                raise Refused(f"{said(node)} is not known to mean the same in {self._dialect.said}")

    def _like(self, term: Term, pattern: str) -> str:
        """As the program's engine writes that a text begins with another, ends with it or has it."""
        found = re.fullmatch(_PLAIN_LIKE, pattern, re.DOTALL)
        if found is None:
            raise Refused(f"`like` is not known to mean the same in {self._dialect.said}")
        part = Term(self._dialect.literal(found[2]), pa.string(), value=found[2])
        match found[1], found[3]:
            case "", "%":
                return self._dialect.starts_with(term, part)
            case "%", "":
                return self._dialect.ends_with(term, part)
            case "%", "%":
                return self._dialect.contains(term, part)
            case _:
                return self._dialect.compared("=", term, part)

    def _parts(self, inner: exp.Expr, part: exp.Expr) -> tuple[Term, Term]:
        return self._text(inner), self._text(part)

    def _printed(self, node: exp.Expr) -> Term:
        term = self.value(node)
        if not is_text(term.type) and not (is_int(term.type) and not term.is_literal):
            raise Refused(f"a {type_name(term.type)} may be written as text in another way")
        return term

    def _date_part(self, part: str, term: Term) -> Term:
        if not is_date(term.type) and not is_timestamp(term.type):
            raise Refused(f"`date.{part}` of a {type_name(term.type)}")
        return computed(self._dialect.date_part(part, term), pa.int32())


def says(node: exp.Expr) -> frozenset[str]:
    """The names of what a node of the tree says, apart from what it leaves out."""
    return frozenset(name for name, value in node.args.items() if value)


def parts_of(condition: exp.Expr) -> Iterator[exp.Expr]:
    """The parts that AND joins, from left to right, without parentheses around them."""
    match condition:
        case exp.Paren(this=inner):
            yield from parts_of(inner)
        case exp.And(this=left, expression=right):
            yield from parts_of(left)
            yield from parts_of(right)
        case _:
            yield condition


def scope_of(alias: str, columns: Sequence[tuple[str, pa.DataType | None, bool]], dialect: Dialect) -> Scope:
    """What a relation with an alias gives; a column is its name, its type and whether it is native."""
    said = dialect.quoted(alias)
    terms = {
        name: column_term(f"{said}.{dialect.quoted(name)}", type_, native=native)
        for name, type_, native in columns
    }
    return {alias: terms}


def _is_exact(chosen: Sequence[Term], type_: pa.DataType) -> bool:
    """Whether a choice has the type in the database, too: a literal takes that of a column beside it."""
    typed = [term for term in chosen if term.type is not None and not term.is_literal]
    same = all(term.exact and term.type == type_ for term in typed)
    return bool(typed) and same and not is_decimal(type_)


def _point_in_time(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

"""Aggregates as a database computes them, and what forms are called that no database is known to have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
from sqlglot import exp

from heddle.core.types import type_name
from heddle.logical.dialects.dialect import Dialect
from heddle.logical.dialects.terms import (
    Refused,
    Term,
    computed,
    is_bool,
    is_decimal,
    is_float,
    is_int,
    is_number,
)

if TYPE_CHECKING:
    from heddle.logical.pushed_expressions import Expressions

AGGREGATES: Final = (exp.Count, exp.Sum, exp.Min, exp.Max, exp.Avg, exp.LogicalAnd, exp.LogicalOr)

_SUM_DIGITS: Final = 10
"""Digits by which a sum of decimals is longer than they are."""

_SAID: Final = {
    exp.RegexpLike: "a pattern (`~=`)",
    exp.Lower: "`text.lower`",
    exp.Upper: "`text.upper`",
    exp.Window: "a window or a numbered row",
    exp.Mod: "`%`",
    exp.Round: "`math.round`",
    exp.Floor: "`math.floor`",
    exp.Ceil: "`math.ceil`",
    exp.Abs: "`math.abs`",
    exp.Stddev: "`stddev`",
    exp.Trim: "`text.trim`",
    exp.Replace: "`text.replace`",
    exp.Substring: "`text.extract`",
    exp.TimestampTrunc: "`date.trunc`",
    exp.Interval: "a length of time",
    exp.Exists: "a set operation",
}


def said(node: exp.Expr) -> str:
    """What a program says for a form of the SQL."""
    known = _SAID.get(type(node))
    if known is None:
        known = f"`{str(node.this).lower() if isinstance(node, exp.Anonymous) else node.key.lower()}`"
    return known


def aggregate(node: exp.Expr, plain: Expressions, dialect: Dialect) -> Term:
    """One of `AGGREGATES`; `plain` are the expressions of the rows that it takes."""
    match node:
        case exp.Count(this=exp.Star()):
            return _count("COUNT(*)", dialect)
        case exp.Count(this=exp.Distinct(expressions=[inner])):
            return _count(dialect.count_distinct(plain.value(inner)), dialect)
        case exp.Count(this=inner, expressions=None | []):
            return _count(f"COUNT({plain.term(inner).text})", dialect)
        case exp.Sum(this=inner):
            return _sum(plain.value(inner), dialect)
        case exp.Min(this=inner, expressions=None | []):
            return _extreme("MIN", plain.value(inner), dialect)
        case exp.Max(this=inner, expressions=None | []):
            return _extreme("MAX", plain.value(inner), dialect)
        case exp.Avg(this=inner):
            return _average(plain.value(_averaged(inner)), dialect)
        case exp.LogicalAnd(this=inner) | exp.LogicalOr(this=inner):
            term = plain.value(inner)
            if not is_bool(term.type):
                raise Refused("a condition is no bool")
            function = "BOOL_AND" if isinstance(node, exp.LogicalAnd) else "BOOL_OR"
            return computed(dialect.every(function, term), pa.bool_(), exact=dialect.plain_types)
    raise Refused(f"{said(node)} is not known to mean the same in {dialect.said}")


def _count(text: str, dialect: Dialect) -> Term:
    return computed(text, pa.int64(), exact=dialect.plain_types)


def _sum(term: Term, dialect: Dialect) -> Term:
    text = dialect.sum(term)
    if is_float(term.type):
        return computed(text, pa.float64(), exact=True)
    if is_int(term.type) and pa.types.is_signed_integer(term.type):
        return dialect.cast(computed(text, pa.int64()), pa.int64())
    if is_decimal(term.type):
        assert term.type is not None, "it is a decimal"
        type_ = pa.decimal128(min(38, term.type.precision + _SUM_DIGITS), term.type.scale)
        return dialect.cast(computed(text, type_), type_)
    raise Refused(f"the sum of a {type_name(term.type)} may have another type")


def _extreme(function: str, term: Term, dialect: Dialect) -> Term:
    if term.is_literal:
        raise Refused(f"`{function.lower()}` of a value that is the same for all rows")
    return computed(dialect.extreme(function, term), term.type, exact=not is_decimal(term.type))


def _average(term: Term, dialect: Dialect) -> Term:
    if not is_number(term.type):
        raise Refused("an average is of numbers")
    return computed(dialect.average(term), pa.float64(), exact=True)


def _averaged(node: exp.Expr) -> exp.Expr:
    """The compiler makes a float of what is averaged, which need not be done before it is added up."""
    while True:
        match node:
            case exp.Paren(this=below) | exp.Mul(this=below, expression=exp.Literal(this="1.0e0")):
                node = below
            case exp.Cast(this=below) if node.to.sql().upper().startswith("DOUBLE"):
                node = below
            case _:
                return node

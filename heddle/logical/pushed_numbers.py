"""Whole numbers, floats and decimals in expressions for a database: which can meet, and what they become."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import pyarrow as pa

from heddle.core.types import type_name
from heddle.logical.dialects.dialect import Dialect
from heddle.logical.dialects.terms import (
    Refused,
    Term,
    alike,
    bounds_of,
    computed,
    is_decimal,
    is_float,
    is_int,
)

EXACT_FLOAT_MAX: Final = 2**53
"""Whole numbers up to here are floats without a loss."""

_LITERAL_DIGITS_MAX: Final = 15
"""Digits of a decimal literal, all of which a float has."""

_DIGITS_MAX: Final = 38
_DIGITS_OF_INTS: Final = {
    pa.int8(): 3,
    pa.int16(): 5,
    pa.int32(): 10,
    pa.int64(): 20,
    pa.uint8(): 3,
    pa.uint16(): 5,
    pa.uint32(): 10,
}
"""As the program's engines count them where a whole number meets a decimal."""


def number(text: str, dialect: Dialect) -> Term:
    """A literal: `5` is whole, `5e0` a float; `0.5` is taken as what it meets."""
    if "e" in text.lower():
        return float_literal(float(text), dialect)
    if "." in text:
        value = Decimal(text)
        digits, exponent = len(value.as_tuple().digits), -int(value.as_tuple().exponent)
        if max(digits, exponent) > _LITERAL_DIGITS_MAX:
            raise Refused(f"`{text}` has more than {_LITERAL_DIGITS_MAX} digits")
        type_ = pa.decimal128(max(digits, exponent), exponent)
        return Term(dialect.literal(value), type_, value=value)
    return int_literal(int(text), dialect)


def int_literal(value: int, dialect: Dialect) -> Term:
    low, high = bounds_of(pa.int64())
    if not low <= value <= high:
        raise Refused(f"`{value}` has more than 64 bits")
    return Term(dialect.literal(value), pa.int64(), value=value, low=value, high=value)


def float_literal(value: float, dialect: Dialect) -> Term:
    return Term(dialect.literal(value), pa.float64(), value=value)


def negative(term: Term, dialect: Dialect) -> Term:
    match term.value:
        case bool() | None:
            pass
        case int(value):
            return int_literal(-value, dialect)
        case float(value):
            return float_literal(-value, dialect)
        case Decimal():
            return Term(dialect.literal(-term.value), term.type, value=-term.value)
    if is_float(term.type) or is_decimal(term.type):
        return computed(dialect.negated(term), term.type)
    if not is_int(term.type) or term.low < -bounds_of(term.type)[1]:
        raise Refused(f"`-` of the smallest whole number fails in {dialect.said}")
    return Term(dialect.negated(term), term.type, low=-term.high, high=-term.low)


def as_float(term: Term, dialect: Dialect) -> Term:
    """A number as a float, as the program's engines make one of it."""
    if is_float(term.type):
        return term
    if isinstance(term.value, Decimal):
        return float_literal(float(term.value), dialect)
    if is_int(term.type) and isinstance(term.value, int):
        if abs(term.value) > EXACT_FLOAT_MAX:
            raise Refused(f"`{term.value}` is no float without a loss")
        return float_literal(float(term.value), dialect)
    if is_int(term.type):
        return dialect.cast(term, pa.float64())
    raise Refused(f"{_named(term)} and a float meet in another way in {dialect.said}")


def comparable_numbers(left: Term, right: Term, dialect: Dialect) -> tuple[Term, Term]:
    """Two numbers as they are compared."""
    if is_int(left.type) and is_int(right.type):
        return left, right
    if is_float(left.type) or is_float(right.type):
        return as_float(left, dialect), as_float(right, dialect)
    for literal, other in ((left, right), (right, left)):
        if isinstance(literal.value, Decimal) and not is_decimal(other.type):
            raise Refused("a whole number and a fraction are compared as floats")
    (one, one_scale), (two, two_scale) = _digits(left), _digits(right)
    if max(one - one_scale, two - two_scale) + max(one_scale, two_scale) > _DIGITS_MAX:
        raise Refused(f"the decimals have more than {_DIGITS_MAX} digits together")
    return left, right


def arithmetic(operator: str, left: Term, right: Term, dialect: Dialect) -> Term:
    """`+`, `-`, `*`."""
    if is_int(left.type) and is_int(right.type):
        return _of_ints(operator, left, right, dialect)
    if is_float(left.type) or is_float(right.type):
        one, two = as_float(left, dialect), as_float(right, dialect)
        return computed(
            dialect.arithmetic(operator, one, two, pa.float64()), pa.float64(), exact=_meets_float(one, two)
        )
    if is_decimal(left.type) or is_decimal(right.type):
        if isinstance(left.value, Decimal) or isinstance(right.value, Decimal):
            raise Refused(f"`{operator}` with a fraction is of floats")
        type_ = _decimal_result(operator, _digits(left), _digits(right))
        return computed(dialect.arithmetic(operator, left, right, type_), type_)
    raise Refused(f"`{operator}` of {_named(left)} is not known to mean the same in {dialect.said}")


def divided(left: Term, right: Term, dialect: Dialect) -> Term:
    if not (is_float(left.type) or is_float(right.type)):
        raise Refused(f"`//` divides in another way in {dialect.said}")
    one, two = as_float(left, dialect), as_float(right, dialect)
    return computed(dialect.divided(one, two), pa.float64(), exact=_meets_float(one, two))


def _of_ints(operator: str, left: Term, right: Term, dialect: Dialect) -> Term:
    types = [t.type for t in (left, right) if t.type is not None and not t.is_literal] or [pa.int64()]
    if any(not pa.types.is_signed_integer(type_) for type_ in types):
        raise Refused(f"`{operator}` of numbers without a sign may have another type in {dialect.said}")
    if left.is_literal or right.is_literal:
        types.append(pa.int64())
    type_ = max(types, key=lambda t: t.bit_width)
    low, high = _range(operator, left, right)
    least, most = bounds_of(type_)
    if low < least or high > most:
        if not dialect.wraps or type_ != pa.int64():
            raise Refused(
                f"`{operator}` fails in {dialect.said} when its result needs more than {type_.bit_width} bits"
            )
        low, high = least, most
    one = left if left.type == type_ and not left.is_literal else dialect.cast(left, type_)
    two = right if right.type == type_ else dialect.cast(right, type_)
    return Term(dialect.arithmetic(operator, one, two, type_), type_, low=low, high=high)


def _meets_float(left: Term, right: Term) -> bool:
    """Whether one of them is a float in the database, too."""
    return any(term.exact and not term.is_literal for term in (left, right))


def _range(operator: str, left: Term, right: Term) -> tuple[int, int]:
    match operator:
        case "+":
            return left.low + right.low, left.high + right.high
        case "-":
            return left.low - right.high, left.high - right.low
        case _:
            corners = [one * two for one in (left.low, left.high) for two in (right.low, right.high)]
            return min(corners), max(corners)


def _digits(term: Term) -> tuple[int, int]:
    """All digits of a number as a decimal, and those after the point."""
    if isinstance(term.value, int) and abs(term.value) >= 10**_LITERAL_DIGITS_MAX:
        raise Refused(f"`{term.value}` has more than {_LITERAL_DIGITS_MAX} digits")
    if is_decimal(term.type):
        assert term.type is not None, "it is a decimal"
        return term.type.precision, term.type.scale
    digits = _DIGITS_OF_INTS.get(term.type)
    if digits is None:
        raise Refused(f"{_named(term)} and a decimal have no type together")
    return digits, 0


def _decimal_result(operator: str, left: tuple[int, int], right: tuple[int, int]) -> pa.DataType:
    """The type that the program's engines give it."""
    (one, one_scale), (two, two_scale) = left, right
    if operator == "*":
        digits, scale = one + two + 1, one_scale + two_scale
    else:
        scale = max(one_scale, two_scale)
        digits = max(one - one_scale, two - two_scale) + scale + 1
    if digits > _DIGITS_MAX:
        raise Refused(f"`{operator}` gives a decimal of more than {_DIGITS_MAX} digits")
    return pa.decimal128(digits, scale)


def common_type(terms: list[Term], dialect: Dialect) -> tuple[list[Term], pa.DataType]:
    """What one of several terms is: the terms, made one type, and that type. A NULL fits any."""
    typed = [term for term in terms if term.type is not None]
    if not typed:
        raise Refused("nothing but null is chosen from")
    types = [term.type for term in typed if term.type is not None]
    if all(is_int(type_) for type_ in types):
        if any(not pa.types.is_signed_integer(type_) for type_ in types):
            raise Refused(f"a choice of numbers without a sign may have another type in {dialect.said}")
        return terms, max(types, key=lambda t: t.bit_width)
    if any(is_float(term.type) for term in typed):
        if any(not is_float(t.type) and not t.is_literal for t in typed):
            raise Refused("a choice between a float and another number may have another type")
        return [t if t.type is None else as_float(t, dialect) for t in terms], pa.float64()
    type_ = typed[0].type
    if any(is_decimal(term.type) for term in typed):
        return terms, _wider([_digits(term) for term in typed])
    if any(not alike(term.type, type_) for term in typed):
        raise Refused("a choice between several types may have another type")
    return terms, type_


def _wider(digits: list[tuple[int, int]]) -> pa.DataType:
    """The decimal that has all values of some."""
    scale = max(scale for _, scale in digits)
    whole = max(all_ - scale for all_, scale in digits)
    if whole + scale > _DIGITS_MAX:
        raise Refused(f"a choice between decimals has more than {_DIGITS_MAX} digits")
    return pa.decimal128(whole + scale, scale)


def _named(term: Term) -> str:
    return "null" if term.type is None else f"a {type_name(term.type)}"

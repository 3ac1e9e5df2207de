"""Expressions of a resolved query as SQL that DataFusion and, where they have the same functions, DuckDB
take to mean the same.

A document's expression enters and leaves as a flat list of SQL fragments and column references (an
s-string of prqlc), which prqlc then places. So the meaning of operators and functions is decided here, and
no expression is too deep for prqlc. What has operands stands in parentheses, because prqlc puts expressions
into each other. A number with an exponent is a float in both engines; without one, `0.1` is a decimal in
DuckDB.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from heddle.frontend.prql.native import Doc

Pieces: TypeAlias = list[Doc]
"""`{"String": sql}` and `{"Expr": {"expr": …}}`, in order."""

AGGREGATES: Final = frozenset(
    f"std.{name}"
    for name in (
        *("min", "max", "sum", "average", "stddev", "all", "any", "concat_array", "count", "count_distinct"),
        *("lag", "lead", "first", "last", "rank", "rank_dense", "row_number"),
    )
)
"""Functions that prqlc renders itself, with their windows."""

UNSIGNED: Final = frozenset(("std.rank", "std.rank_dense", "std.row_number"))
"""Functions that count in unsigned numbers in DataFusion; Heddle's `int` is signed."""

DATE_PARTS: Final = {
    **{part: part for part in ("year", "quarter", "month", "week", "day", "hour", "minute", "second")},
    "weekday": "isodow",
    "day_of_year": "doy",
}
"""Functions `date.…` that PRQL does not have, and SQL's name of the part; weeks and weekdays are ISO's."""

_OF_FLOATS: Final = frozenset(("std.average", "std.stddev"))
"""Aggregates that compute in floats; of a decimal, one engine would give a decimal and one a float."""

_COMPARISONS: Final = {
    "std.gt": "({0} > {1})",
    "std.lt": "({0} < {1})",
    "std.gte": "({0} >= {1})",
    "std.lte": "({0} <= {1})",
}

_TEMPLATES: Final = {
    "std.mul": "({0} * {1})",
    "std.div_f": "({0} * 1.0e0 / {1})",
    "std.mod": "({0} % {1})",
    "std.add": "({0} + {1})",
    "std.sub": "({0} - {1})",
    "std.and": "({0} AND {1})",
    "std.or": "({0} OR {1})",
    "std.neg": "(-{0})",
    "std.not": "(NOT {0})",
    "std.coalesce": "COALESCE({0}, {1})",
    "std.regex_search": "({0} ~ {1})",
    "std.math.abs": "ABS({0})",
    "std.math.floor": "CAST(FLOOR({0}) AS BIGINT)",
    "std.math.ceil": "CAST(CEIL({0}) AS BIGINT)",
    "std.math.pi": "PI()",
    "std.math.exp": "EXP({0})",
    "std.math.ln": "LN({0})",
    "std.math.log10": "LOG10({0})",
    "std.math.log": "(LOG10({1}) / LOG10({0}))",
    "std.math.sqrt": "SQRT({0})",
    "std.math.degrees": "DEGREES({0})",
    "std.math.radians": "RADIANS({0})",
    "std.math.cos": "COS({0})",
    "std.math.acos": "ACOS({0})",
    "std.math.sin": "SIN({0})",
    "std.math.asin": "ASIN({0})",
    "std.math.tan": "TAN({0})",
    "std.math.atan": "ATAN({0})",
    "std.math.pow": "POWER({1}, {0})",
    "std.math.round": "ROUND({1}, {0})",
    "std.text.lower": "LOWER({0})",
    "std.text.upper": "UPPER({0})",
    "std.text.ltrim": "LTRIM({0}, ' ')",
    "std.text.rtrim": "RTRIM({0}, ' ')",
    "std.text.trim": "TRIM(BOTH ' ' FROM {0})",
    "std.text.length": "CAST(CHARACTER_LENGTH({0}) AS BIGINT)",
    "std.text.extract": "SUBSTR({2}, {0}, {1})",
    "std.text.replace": "REPLACE({2}, {0}, {1})",
    "std.text.starts_with": "STARTS_WITH({1}, {0})",
    "std.text.contains": "CONTAINS({1}, {0})",
    "std.text.ends_with": "ENDS_WITH({1}, {0})",
    "std.date.now": "NOW()",
    "std.date.to_text": "TO_CHAR({1}, {0})",
    "std.date.trunc": "DATE_TRUNC({0}, {1})",
    **{
        f"std.date.{name}": f"CAST(DATE_PART('{part}', {{0}}) AS BIGINT)" for name, part in DATE_PARTS.items()
    },
}

_WHOLE_QUOTIENT: Final = "(({0} / {1}) - (({0} / {1}) % 1))"
_WHOLE_QUOTIENT_OF_LONG: Final = "TRUNC({0} / {1})"
_REPEATED_MAX: Final = 64

_DAY: Final = "(CAST({0} AS DATE) - DATE '1970-01-01')"
_EPOCH: Final = "FLOOR(DATE_PART('epoch', {0}) / %s)"
_DATE_POINTS: Final = {
    "year": "DATE_PART('year', {0})",
    "quarter": "(DATE_PART('year', {0}) * 4 + DATE_PART('quarter', {0}))",
    "month": "(DATE_PART('year', {0}) * 12 + DATE_PART('month', {0}))",
    "week": f"FLOOR(({_DAY} + 3) / 7.0e0)",
    "day": _DAY,
    "hour": _EPOCH % "3600",
    "minute": _EPOCH % "60",
    "second": _EPOCH % "1",
    "millisecond": "FLOOR(DATE_PART('epoch', {0}) * 1000)",
}
"""Where a date stands on a line that counts a unit; a difference counts the borders between two dates."""

DATE_UNITS: Final = tuple(_DATE_POINTS)

TYPES: Final = {
    **dict.fromkeys(("int", "int64", "bigint", "integer"), "BIGINT"),
    **dict.fromkeys(("float", "float64", "double", "real"), "DOUBLE"),
    **dict.fromkeys(("text", "string", "varchar"), "VARCHAR"),
    **dict.fromkeys(("bool", "boolean"), "BOOLEAN"),
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
}
"""What may stand behind `as`, and SQL's name of it."""

_UTC: Final = "ARROW_CAST({0}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
_TIME: Final = "ARROW_CAST({0}, 'Time64(Microsecond)')"
_PLAIN_MAX: Final = 1e9
_HOLE: Final = r"\{(\d)\}"


def as_sql(expression: Doc) -> Doc:
    """The expression with everything but column references, aggregates and plain literals rendered."""
    kind = expression["kind"]
    if "ColumnRef" in kind or kind.get("Literal") == "Null":
        return expression
    if "Operator" in kind and kind["Operator"]["name"] in AGGREGATES:
        return with_rendered_arguments(expression)
    return {"kind": {"SString": _joined(render(expression))}, "span": expression.get("span")}


def as_value(expression: Doc) -> Doc:
    """As `as_sql`; a number that stands alone gets a type, or `GROUP BY` takes it for a column's place."""
    literal = expression["kind"].get("Literal")
    if isinstance(literal, dict) and "Integer" in literal:
        sql = [_sql(f"CAST({literal['Integer']} AS BIGINT)")]
        return {"kind": {"SString": sql}, "span": expression.get("span")}
    return as_sql(expression)


def with_rendered_arguments(expression: Doc) -> Doc:
    operator = expression["kind"]["Operator"]
    arguments = [a if "Integer" in (a["kind"].get("Literal") or ()) else as_sql(a) for a in operator["args"]]
    if operator["name"] in _OF_FLOATS:
        arguments = [_as_float(a) for a in operator["args"]]
    return {**expression, "kind": {"Operator": {**operator, "args": arguments}}}


def _as_float(expression: Doc) -> Doc:
    """A product, and not a cast, because it is refused for what is no number."""
    pieces = fill("({0} * 1.0e0)", [render(expression)])
    return {"kind": {"SString": _joined(pieces)}, "span": expression.get("span")}


def render(expression: Doc) -> Pieces:
    kind = expression["kind"]
    if "Operator" in kind:
        return _operator(kind["Operator"]["name"], kind["Operator"]["args"], expression)
    if "Literal" in kind:
        return [_sql(literal_sql(kind["Literal"]))]
    if "Case" in kind:
        return _case(kind["Case"])
    if "Array" in kind:
        return _listed(kind["Array"])
    if "SString" in kind:
        return list(kind["SString"])
    return [{"Expr": {"expr": expression, "format": None}}]


def _operator(name: str, args: list[Doc], expression: Doc) -> Pieces:
    if name in _SPECIAL:
        return _SPECIAL[name](args)
    if name in _COMPARISONS:
        return fill(_COMPARISONS[name], [_compared(a) for a in args])
    if name in _TEMPLATES:
        return fill(_TEMPLATES[name], [render(a) for a in args])
    return [{"Expr": {"expr": with_rendered_arguments(expression), "format": None}}]


def fill(template: str, arguments: list[Pieces]) -> Pieces:
    """The template with arguments in its numbered holes."""
    pieces: Pieces = []
    position = 0
    for hole in re.finditer(_HOLE, template):
        pieces.append(_sql(template[position : hole.start()]))
        pieces += arguments[int(hole[1])]
        position = hole.end()
    return [*pieces, _sql(template[position:])]


def _equality(args: list[Doc], *, negated: bool) -> Pieces:
    """`x == null` asks whether x is null."""
    left, right = args
    if _is_null(left):
        left, right = right, left
    if _is_null(right):
        return fill("({0} IS NOT NULL)" if negated else "({0} IS NULL)", [render(left)])
    return fill("({0} <> {1})" if negated else "({0} = {1})", [_compared(left), _compared(right)])


def _compared(expression: Doc) -> Pieces:
    """An operand of a comparison. A plain `0.05` is compared exactly with decimals, and with statistics of
    files, where a float would make floats of the column."""
    literal = expression["kind"].get("Literal")
    if isinstance(literal, dict) and "Float" in literal and abs(literal["Float"]) < _PLAIN_MAX:
        text = repr(float(literal["Float"]))
        if "e" not in text:
            return [_sql(text if literal["Float"] >= 0 else f"({text})")]
    return render(expression)


def _whole_division(args: list[Doc]) -> Pieces:
    """The quotient without its fraction, of the operands' own type: 7 // 2 is an int, 7.0 // 2.0 a float.

    The text holds its operands twice, so long ones give a float instead.
    """
    operands = [render(a) for a in args]
    short = sum(len(o) for o in operands) <= _REPEATED_MAX
    return fill(_WHOLE_QUOTIENT if short else _WHOLE_QUOTIENT_OF_LONG, operands)


def _is_null(expression: Doc) -> bool:
    return bool(expression["kind"].get("Literal") == "Null")


def _concat(args: list[Doc]) -> Pieces:
    items: list[Doc] = []
    stack = list(reversed(args))
    while stack:
        item = stack.pop()
        operator = item["kind"].get("Operator")
        if operator and operator["name"] == "std.concat":
            stack.extend(reversed(operator["args"]))
        else:
            items.append(item)
    return [_sql("CONCAT"), *_listed(items)]


def _listed(items: list[Doc], item_of: Callable[[Doc], Pieces] | None = None) -> Pieces:
    pieces = [_sql("(")]
    for i, item in enumerate(items):
        rendered = (item_of or render)(item)
        pieces += [_sql(", "), *rendered] if i else rendered
    return [*pieces, _sql(")")]


def _in_array(args: list[Doc]) -> Pieces:
    items = args[1]["kind"].get("Array")
    listed = render(args[1]) if items is None else _listed(items, _compared)
    return [_sql("("), *_compared(args[0]), _sql(" IN "), *listed, _sql(")")]


def _cast(args: list[Doc]) -> Pieces:
    """`x | as int`; a timestamp is in UTC and counts microseconds, as Heddle's type of that name."""
    name = word_of(args[0]).lower()
    value = render(args[1])
    if name == "timestamp":
        return fill(_UTC, [value])
    if name == "time":
        return fill(_TIME, [value])
    return [_sql("CAST("), *value, _sql(f" AS {TYPES.get(name, 'VARCHAR')})")]


def _date_difference(args: list[Doc]) -> Pieces:
    point = _DATE_POINTS.get(word_of(args[0]).lower(), _DATE_POINTS["day"])
    start, end = fill(point, [render(args[1])]), fill(point, [render(args[2])])
    return [_sql("CAST(FLOOR("), *end, _sql(" - "), *start, _sql(") AS BIGINT)")]


def word_of(expression: Doc) -> str:
    """The word that a type or a unit is written as."""
    kind = expression["kind"]
    if "SString" in kind:
        return "".join(piece.get("String", "") for piece in kind["SString"])
    literal = kind.get("Literal")
    return str(literal["String"]) if isinstance(literal, dict) and "String" in literal else ""


def _case(arms: list[Doc]) -> Pieces:
    pieces = [_sql("CASE")]
    for i, arm in enumerate(arms):
        always = arm["condition"]["kind"].get("Literal") == {"Boolean": True}
        if always and i:
            pieces += [_sql(" ELSE "), *render(arm["value"])]
            break
        pieces += [_sql(" WHEN "), *render(arm["condition"]), _sql(" THEN "), *render(arm["value"])]
    return [*pieces, _sql(" END")]


def literal_sql(literal: Any) -> str:
    if literal == "Null":
        return "NULL"
    ((kind, value),) = literal.items()
    match kind:
        case "Integer":
            return str(value) if value >= 0 else f"({value})"
        case "Float":
            return _float_sql(float(value))
        case "Boolean":
            return "TRUE" if value else "FALSE"
        case "Date":
            return f"DATE '{value}'"
        case "Time":
            return _TIME.format(_text(value))
        case "Timestamp":
            return _UTC.format(_text(value))
        case "ValueAndUnit":
            return f"INTERVAL '{value['n']} {value['unit'].upper().rstrip('S')}'"
        case _:
            return _text(str(value))


def _float_sql(value: float) -> str:
    text = repr(value)
    text = text if "e" in text else f"{text}e0"
    return text if value >= 0 else f"({text})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _sql(text: str) -> Doc:
    return {"String": text}


def _joined(pieces: Pieces) -> Pieces:
    """Neighbouring fragments of SQL as one."""
    result: Pieces = []
    for piece in pieces:
        if "String" in piece and result and "String" in result[-1]:
            result[-1] = _sql(result[-1]["String"] + piece["String"])
        elif piece.get("String") != "":
            result.append(piece)
    return result


_SPECIAL: Final[dict[str, Callable[[list[Doc]], Pieces]]] = {
    "std.eq": lambda args: _equality(args, negated=False),
    "std.ne": lambda args: _equality(args, negated=True),
    "std.concat": _concat,
    "std.div_i": _whole_division,
    "std.array_in": _in_array,
    "std.as": _cast,
    "std.date.diff": _date_difference,
}

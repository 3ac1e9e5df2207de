"""What a statement gives to the parameters of a table: from the values of a call to plain values, each of its
parameter's type, as `--param` gives them to a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import pyarrow as pa

from heddle.core.parameter_values import example, fits
from heddle.core.planning import PlanFailure, planning
from heddle.core.record import record
from heddle.core.types import type_name
from heddle.database.errors import QueryError
from heddle.database.literals import literal
from heddle.database.model import TableInfo, TableParameter
from heddle.diagnostics import did_you_mean

if TYPE_CHECKING:
    from datafusion import SessionContext

    from heddle.database.statements import WrittenValue

CONSTANTS_MAX: Final = 1_000
"""Written values that are kept computed."""

Plain: TypeAlias = "bool | int | float | str | None"

_t = pa.types


@record(frozen=True, slots=True)
class Given:
    """A parameter of a table, and what the text of a statement writes for it."""

    parameter: TableParameter
    value: WrittenValue


def given_to(
    info: TableInfo, values: Sequence[WrittenValue] | None, fixed: Mapping[str, str]
) -> tuple[Given, ...]:
    """What a statement gives to a table, by the order of its parameters; None: it does not call it. `fixed`
    are parameters that take nothing from a statement, with the reason. Raises `QueryError`."""
    found = {given.parameter.name: given for given in _matched(info, values or (), fixed)}
    missing = next((p for p in info.parameters if p.required and p.name not in found), None)
    if missing is not None:
        raise QueryError(
            "invalid",
            f"`{_shown(info)}` needs a value for its parameter `{missing.name}`",
            help=f"such as {call_of(info)}",
        )
    return tuple(found[p.name] for p in info.parameters if p.name in found)


def call_of(info: TableInfo) -> str:
    """How the table is called, with all that it needs; with all that it takes where it needs nothing."""
    needed = [p for p in info.parameters if p.required] or info.parameters
    return f"{_shown(info)}({', '.join(f'{p.name} => …' for p in needed)})"


def bound_types(given: Sequence[Given]) -> Mapping[str, pa.DataType]:
    """The types of the statement's parameters that are values of a table by themselves."""
    return {
        name: pa.string() if _t.is_duration(of.parameter.type) else of.parameter.type
        for of in given
        if (name := of.value.parameter) is not None
    }


def plain_values(given: Sequence[Given], values: Mapping[str, object]) -> dict[str, Plain]:
    """By the parameters' names; `values` are those of the statement's own. Raises `QueryError`."""
    return {of.parameter.name: _converted(_raw(of.value, values), of.parameter) for of in given}


def _matched(info: TableInfo, values: Sequence[WrittenValue], fixed: Mapping[str, str]) -> Iterator[Given]:
    if values and not info.parameters and not fixed:
        raise QueryError("invalid", f"`{_shown(info)}` takes no parameters", help="leave out the parentheses")
    taken: set[str] = set()
    named = False
    for place, value in enumerate(values):
        named = named or value.name is not None
        if value.name is not None:
            parameter = _named(info, value.name, fixed)
        elif named:
            raise QueryError("invalid", "values without a name come before those that have one")
        elif place < len(info.parameters):
            parameter = info.parameters[place]
        else:
            count = len(info.parameters)
            wanted = f"takes {count} value{'' if count == 1 else 's'}" if count else "takes none"
            raise QueryError("invalid", f"`{_shown(info)}` {wanted}, and {len(values)} are given")
        if parameter.name in taken:
            raise QueryError("invalid", f"the parameter `{parameter.name}` is given twice")
        taken.add(parameter.name)
        yield Given(parameter, value)


def _named(info: TableInfo, name: str, fixed: Mapping[str, str]) -> TableParameter:
    """As written, or else but for capital letters."""
    exact = [p for p in info.parameters if p.name == name]
    found = exact or [p for p in info.parameters if p.name.lower() == name.lower()]
    if len(found) == 1:
        return found[0]
    reason = fixed.get(name) or next((r for own, r in fixed.items() if own.lower() == name.lower()), None)
    if reason is not None:
        raise QueryError(
            "invalid",
            f"the parameter `{name}` of `{_shown(info)}` takes nothing from a statement: {reason}",
            help=f"it is given at the start: --param {name}=…",
        )
    known = [p.name for p in info.parameters]
    near = did_you_mean(name, known)
    listed = ", ".join(f"`{each}`" for each in known)
    raise QueryError(
        "invalid",
        f"`{_shown(info)}` takes no parameter `{name}`",
        help=f"did you mean `{near}`?" if near else f"it takes {listed}" if known else None,
    )


def _shown(info: TableInfo) -> str:
    return f"{info.name.schema}.{info.name.name}"


def _raw(value: WrittenValue, values: Mapping[str, object]) -> object:
    if value.parameter is not None:
        return values[value.parameter]
    return _constant(value.sql({name: literal(values[name]) for _, name in value.parameters}))


@lru_cache(CONSTANTS_MAX)
def _constant(sql: str) -> pa.Scalar:
    """What a literal or a cast of one is."""
    try:
        with planning():
            (batch,) = _context().sql(f"SELECT {sql}").collect()
    except PlanFailure as failure:
        from heddle.database.asking import plain_message

        raise QueryError("invalid", plain_message(str(failure), ())) from failure
    return batch.column(0)[0]


@cache
def _context() -> SessionContext:
    from datafusion import SessionConfig, SessionContext

    return SessionContext(SessionConfig().with_target_partitions(1).with_information_schema(False))


def _converted(value: object, parameter: TableParameter) -> Plain:
    """Raises `QueryError` for what is not of the parameter's type."""
    type_ = parameter.type
    misfit = QueryError(
        "invalid",
        f"the value given for `{parameter.name}` is no {type_name(type_)}",
        help=f"give it {example(type_)}".replace('"', "'"),
    )
    try:
        plain = _plain(value, type_)
    except pa.ArrowInvalid as error:
        raise misfit from error
    if plain is None:
        return None
    if _t.is_string(type_) and not isinstance(plain, str):
        return str(plain).lower() if isinstance(plain, bool) else str(plain)
    if not fits(plain, type_):
        raise misfit
    if _t.is_integer(type_) or _t.is_floating(type_) or _t.is_boolean(type_):
        typed: Plain = pa.scalar(plain).cast(type_).as_py()
        return typed
    return plain


def _plain(value: object, wanted: pa.DataType) -> Plain:
    """The value as a setting holds it: dates, times and decimals as texts. Raises `QueryError` and
    `ArrowInvalid`."""
    try:
        scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise _no_value(type(value).__name__) from error
    while isinstance(scalar, pa.DictionaryScalar | pa.UnionScalar | pa.ExtensionScalar):
        scalar = scalar.value if scalar.value is not None else pa.scalar(None)
    type_ = scalar.type
    if not scalar.is_valid:
        return None
    if _t.is_boolean(type_) or _t.is_integer(type_) or _t.is_floating(type_) or _is_text(type_):
        plain: Plain = scalar.as_py()
        return plain
    if _t.is_decimal(type_):
        return format(scalar.as_py(), "f")
    if _t.is_date(type_) or _t.is_timestamp(type_):
        return _instant(scalar, wanted)
    if _t.is_time(type_):
        return str(scalar.as_py().isoformat())
    if _t.is_duration(type_):
        return f"{scalar.cast(pa.duration('us')).cast(pa.int64()).as_py()}us"
    raise _no_value(str(type_))


def _instant(scalar: pa.Scalar, wanted: pa.DataType) -> str:
    """A timestamp without a zone is one of UTC, and one at midnight is a date as well."""
    type_ = scalar.type
    if _t.is_timestamp(wanted) and not (_t.is_timestamp(type_) and type_.tz):
        scalar = scalar.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    elif _t.is_timestamp(type_):
        scalar = scalar.cast(pa.timestamp("us", type_.tz))
    value = scalar.as_py()
    if _t.is_date(wanted) and isinstance(value, datetime) and value.time() == time():
        value = value.date()
    return str(value.isoformat())


def _is_text(type_: pa.DataType) -> bool:
    return bool(_t.is_string(type_) or _t.is_large_string(type_) or _t.is_string_view(type_))


def _no_value(what: str) -> QueryError:
    return QueryError("invalid", f"a {what} cannot be the value of a parameter")

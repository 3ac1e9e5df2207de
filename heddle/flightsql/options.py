"""Options of a session: what a client sets by name, with the values that each takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias, TypeVar, get_args

from heddle.core.durations import duration_s
from heddle.core.record import record
from heddle.database.model import DEFAULT_SETTINGS, Language, Settings
from heddle.flightsql.frames import Compression
from heddle.flightsql.wire.flight_pb2 import SessionOptionValue, SetSessionOptionsResult

ENDPOINTS_MAX: Final = 16
TIMEOUT_S_MAX: Final = 7 * 24 * 3600.0
NAME_CHARS_MAX: Final = 1024

OptionValue: TypeAlias = str | bool | int | float | tuple[str, ...] | None
"""None: back to the default."""


@record(frozen=True, slots=True)
class Options:
    """`endpoints`: into how many streams an answer is divided; their rows have no order among each other."""

    settings: Settings = DEFAULT_SETTINGS
    ipc_compression: Compression = "none"
    endpoints: int = 1


DEFAULT_OPTIONS: Final = Options()

ErrorValue: TypeAlias = SetSessionOptionsResult.ErrorValue
INVALID_NAME: Final = SetSessionOptionsResult.ErrorValue.INVALID_NAME
INVALID_VALUE: Final = SetSessionOptionsResult.ErrorValue.INVALID_VALUE


T = TypeVar("T", bound=str)


class _InvalidValue(ValueError):
    pass


Setter: TypeAlias = Callable[[Options, OptionValue], Options]


def changed(
    options: Options, asked: Mapping[str, SessionOptionValue], places: frozenset[tuple[str, str]]
) -> tuple[Options, dict[str, ErrorValue]]:
    """The options with those that are right, and why others are not. `places` are the catalogs and schemas
    that the viewer sees."""
    errors: dict[str, ErrorValue] = {}
    for name, given in asked.items():
        setter = _SETTERS.get(name)
        if setter is None:
            errors[name] = INVALID_NAME
            continue
        try:
            candidate = setter(options, _value(given))
        except _InvalidValue:
            errors[name] = INVALID_VALUE
            continue
        if name in {"catalog", "schema"} and not _is_there(name, candidate.settings, places):
            errors[name] = INVALID_VALUE
            continue
        options = candidate
    return options, errors


def shown(options: Options, default_catalog: str) -> dict[str, SessionOptionValue]:
    """All options with the values that hold."""
    settings = options.settings
    return {
        "catalog": SessionOptionValue(string_value=settings.catalog or default_catalog),
        "schema": SessionOptionValue(string_value=settings.schema or ""),
        "language": SessionOptionValue(string_value=settings.language),
        "timeout": SessionOptionValue(double_value=settings.timeout_s or 0.0),
        "rows_max": SessionOptionValue(int64_value=settings.rows_max or 0),
        "ipc_compression": SessionOptionValue(string_value=options.ipc_compression),
        "endpoints": SessionOptionValue(int64_value=options.endpoints),
    }


def _value(given: SessionOptionValue) -> OptionValue:
    match given.WhichOneof("option_value"):
        case "string_value":
            return given.string_value
        case "bool_value":
            return given.bool_value
        case "int64_value":
            return given.int64_value
        case "double_value":
            return given.double_value
        case "string_list_value":
            return tuple(given.string_list_value.values)
        case _:
            return None


def _is_there(name: str, settings: Settings, places: frozenset[tuple[str, str]]) -> bool:
    if name == "catalog":
        return settings.catalog is None or any(catalog == settings.catalog for catalog, _ in places)
    return settings.schema is None or any(
        schema == settings.schema and settings.catalog in {None, catalog} for catalog, schema in places
    )


def _name(value: OptionValue) -> str | None:
    match value:
        case None | "":
            return None
        case str() if len(value) <= NAME_CHARS_MAX:
            return value
        case _:
            raise _InvalidValue


def _one_of(value: OptionValue, allowed: tuple[T, ...]) -> T:
    """The first is the default."""
    wanted = allowed[0] if value is None else value.lower() if isinstance(value, str) else value
    for each in allowed:
        if each == wanted:
            return each
    raise _InvalidValue


def _whole(value: OptionValue, most: int) -> int | None:
    """None and 0 for the default."""
    match value:
        case None:
            return None
        case bool() | float() | tuple():
            raise _InvalidValue
        case str():
            if not value.isdecimal() or not value.isascii():
                raise _InvalidValue
            number = int(value) if len(value) < 20 else most + 1
        case int():
            number = value
    if not 0 <= number <= most:
        raise _InvalidValue
    return number or None


def _seconds(value: OptionValue) -> float | None:
    match value:
        case None:
            return None
        case bool() | tuple():
            raise _InvalidValue
        case str():
            seconds = duration_s(value)
            if seconds is None:
                try:
                    seconds = float(value)
                except ValueError:
                    raise _InvalidValue from None
        case int() | float():
            seconds = float(value)
    if not 0 <= seconds <= TIMEOUT_S_MAX:
        raise _InvalidValue
    return seconds or None


def _catalog(options: Options, value: OptionValue) -> Options:
    return replace(options, settings=replace(options.settings, catalog=_name(value)))


def _schema(options: Options, value: OptionValue) -> Options:
    return replace(options, settings=replace(options.settings, schema=_name(value)))


def _language(options: Options, value: OptionValue) -> Options:
    language: Language = _one_of(value, get_args(Language))
    return replace(options, settings=replace(options.settings, language=language))


def _timeout(options: Options, value: OptionValue) -> Options:
    return replace(options, settings=replace(options.settings, timeout_s=_seconds(value)))


def _rows_max(options: Options, value: OptionValue) -> Options:
    return replace(options, settings=replace(options.settings, rows_max=_whole(value, 2**62)))


def _compression(options: Options, value: OptionValue) -> Options:
    compression: Compression = _one_of(value, get_args(Compression))
    return replace(options, ipc_compression=compression)


def _endpoints(options: Options, value: OptionValue) -> Options:
    return replace(options, endpoints=_whole(value, ENDPOINTS_MAX) or 1)


_SETTERS: Final[Mapping[str, Setter]] = {
    "catalog": _catalog,
    "schema": _schema,
    "language": _language,
    "timeout": _timeout,
    "rows_max": _rows_max,
    "ipc_compression": _compression,
    "endpoints": _endpoints,
}

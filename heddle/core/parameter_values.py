"""Whether a value can be what a parameter takes. Values are plain, as settings are: a text may stand for a
value of any type, because a command line has nothing else."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from heddle.core.types import type_name

_EXAMPLES: Final = {
    "int": "a whole number, like 10",
    "float": "a number, like 0.5",
    "bool": "true or false",
    "date": 'a date, like "2026-01-31"',
    "timestamp": 'a time, like "2026-01-31T12:00:00Z"',
    "string": 'text in quotes, like "text"',
}


def fits(value: object, type_: pa.DataType) -> bool:
    """Whether a value, perhaps a text from the command line, can be read as the type.

    Arrow reads no durations: those are checked when they are used.
    """
    if pa.types.is_string(type_) or pa.types.is_binary(type_) or pa.types.is_duration(type_):
        return isinstance(value, str)
    if not isinstance(value, bool | int | float | str):
        return False
    try:
        pa.scalar(value).cast(type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def example(type_: pa.DataType) -> str:
    """Words for a value that would do."""
    return _EXAMPLES.get(type_name(type_), "such a value")

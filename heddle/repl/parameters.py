"""Values that `\\param` gives to the parameters of statements. A value is kept as it was typed and read when
a statement says of which type it has to be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pyarrow as pa

from heddle.core.types import type_name
from heddle.database.errors import QueryError


def values_for(parameters: pa.Schema, given: Mapping[str, str]) -> list[object]:
    """In the order of the statement's parameters, which are named (`$since`) or numbered (`$1`, `?`). Raises
    `QueryError` for one that has no value."""
    return list(_values(parameters, given))


def _values(parameters: pa.Schema, given: Mapping[str, str]) -> Iterator[object]:
    for number, field in enumerate(parameters, 1):
        name = field.name.lstrip("$")
        key = name if name in given else str(number)
        if key not in given:
            shown = name if re.fullmatch(r"\w+", name) else str(number)
            raise QueryError(
                "invalid",
                f"the parameter `${shown}` has no value",
                help=f"give it one by `\\param {shown} VALUE`",
            )
        yield _value(key, given[key], field.type)


def _value(name: str, text: str, type_: pa.DataType) -> object:
    """What the text says as it stands, or as a value of the type that is known."""
    if text.lower() == "null":
        return None
    quoted = re.fullmatch(r"'((?:[^']|'')*)'", text, re.DOTALL)
    plain = quoted[1].replace("''", "'") if quoted else text
    if not pa.types.is_null(type_):
        try:
            return pa.scalar(plain).cast(type_)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise QueryError(
                "invalid", f"`{text}` is no {type_name(type_)}, of which type the parameter `${name}` is"
            ) from error
    if quoted:
        return plain
    if plain.lower() in ("true", "false"):
        return plain.lower() == "true"
    if re.fullmatch(r"[+-]?\d{1,18}", plain):
        return int(plain)
    if re.fullmatch(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?", plain):
        return float(plain)
    return plain

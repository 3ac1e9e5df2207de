"""Types of parameters that DataFusion cannot tell, from where they stand: a value for a column of the table
that a command changes, or a count of rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

if TYPE_CHECKING:
    from heddle.database.statements import ReadStatement

_COUNT: Final = re.compile(r"\b(?:LIMIT|OFFSET)\s+\Z", re.IGNORECASE)
_UPDATED: Final = re.compile(r'\s*\) ELSE (?:"(?:[^"]|"")*"\.)?"((?:[^"]|"")*)" END')
"""What stands behind the value of an UPDATE, as `rewriting_sql` writes it."""


def with_types(
    parameters: pa.Schema, read: ReadStatement, target: pa.Schema | None, filled: Sequence[str]
) -> pa.Schema:
    """The parameters with the types that can be told. `target` has the columns of the table that is changed;
    `filled` are those that the rows of VALUES are for."""
    known = dict(_found(read, target, filled))
    return pa.schema(
        [
            f.with_type(known[f.name]) if pa.types.is_null(f.type) and f.name in known else f
            for f in parameters
        ]
    )


def _found(read: ReadStatement, target: pa.Schema | None, filled: Sequence[str]) -> Mapping[str, pa.DataType]:
    found: dict[str, pa.DataType] = {}
    for place, name in read.parameter_places:
        before, behind = read.text[: place.start], read.text[place.end :]
        if _COUNT.search(before):
            found.setdefault(name, pa.int64())
        if target is None:
            continue
        updated = _UPDATED.match(behind)
        if updated is not None and before.rstrip().endswith("("):
            found.setdefault(name, target.field(updated[1].replace('""', '"')).type)
    if target is not None:
        for name, index in read.value_columns:
            if index < len(filled):
                found.setdefault(name, target.field(filled[index]).type)
    return found

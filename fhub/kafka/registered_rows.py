"""Values that are read one by one, as rows: what cannot be a row is told, the others become columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from fhub.cells import Misfit
from fhub.kafka.decoding import Bad, Decoded, fitting, joined

_CANNOT_HOLD: Final = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeError, ValueError)


def rows_of(
    values: Sequence[bytes | None],
    read: Callable[[bytes | None], Mapping[str, Any]],
    found: pa.Schema,
    wanted: pa.Schema,
) -> Decoded:
    """`read` gives a row of the columns of `found` or raises `Misfit`; of these the rows have those that are
    `wanted`. Raises `ValueError` for a wanted column that is of another type."""
    check_wanted(found, wanted)
    rows: list[Mapping[str, Any]] = []
    bad: list[Bad] = []
    for index, value in enumerate(values):
        try:
            row = read(value)
            null = [f"`{f.name}`" for f in wanted if not f.nullable and row.get(f.name) is None]
            if null:
                raise Misfit(f"{', '.join(null)} is null")
            rows.append(row)
        except Misfit as misfit:
            bad.append(Bad(index, str(misfit)))
    try:
        return Decoded(_table(rows, found, wanted), tuple(bad))
    except _CANNOT_HOLD as error:
        if len(values) == 1:
            return Decoded(wanted.empty_table(), (Bad(0, f"it does not fit the columns: {error}"),))
    parts = [rows_of([value], read, found, wanted) for value in values]
    return joined(parts, [1] * len(parts), wanted)


def check_wanted(found: pa.Schema, wanted: pa.Schema) -> None:
    lacking = [name for name in wanted.names if name not in found.names]
    if lacking:
        there = ", ".join(f"`{name}`" for name in found.names)
        raise ValueError(f"the registered schema has no `{lacking[0]}`; it has {there}")
    for field in wanted:
        fitting(pa.chunked_array([], found.field(field.name).type), field)


def _table(rows: Sequence[Mapping[str, Any]], found: pa.Schema, wanted: pa.Schema) -> pa.Table:
    columns = []
    for field in wanted:
        values = [row.get(field.name) for row in rows]
        columns.append(fitting(pa.chunked_array([pa.array(values, found.field(field.name).type)]), field))
    return pa.Table.from_arrays(columns, schema=wanted)

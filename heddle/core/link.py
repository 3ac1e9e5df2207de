"""What a step of a chain takes from the table before it, and what the table behind it must be.

A chain is steps of one plugin that run in one call. `Link` is made by the engine, from the types of the
program; the plugin holds the tables between the steps to it, since nobody else sees them.
"""

from __future__ import annotations

import pyarrow as pa

from heddle.core.casting import CastError, cast_column
from heddle.core.record import record
from heddle.core.signature import Rows


@record(frozen=True, slots=True)
class Link:
    """`takes` are the columns that the step is given, `gives` is the table behind it; a field that is not
    nullable has no null. `returns` are the columns of `gives` that the step itself returns; behind a `map`
    the others stay as they were. With `open` it may return more."""

    takes: pa.Schema
    gives: pa.Schema
    returns: frozenset[str]
    open: bool
    rows: Rows

    def taken(self, table: pa.Table) -> pa.Table | None:
        """What the step is given of the table before it; None when that does not fit."""
        if _is(table, self.takes):
            return table
        columns: dict[str, pa.ChunkedArray] = {}
        for field in self.takes:
            column = _fitting(table, field)
            if column is None:
                return None
            columns[field.name] = column
        return pa.table(columns) if columns else table.select([])

    def given(self, table: pa.Table, taken: pa.Table, returned: pa.Table) -> pa.Table | None:
        """The table behind the step, of the one before it and what the step returned; None when that is not
        what the step promises."""
        if not self._has_rows(taken.num_rows, returned.num_rows):
            return None
        if len(self.returns) == len(self.gives) and _is(returned, self.gives):
            return returned
        own = set(returned.column_names)
        if len(own) < returned.num_columns or not self.returns <= own:
            return None
        if not self.open and not all(self._stayed(name, taken, returned) for name in own - self.returns):
            return None
        columns: list[pa.ChunkedArray] = []
        for field in self.gives:
            mine = field.name in own and (self.open or field.name in self.returns)
            if not mine and self.rows != "map":
                return None
            column = _fitting(returned if mine else table, field)
            if column is None:
                return None
            columns.append(column)
        if not columns:
            return returned.select([])
        return pa.Table.from_arrays(columns, names=self.gives.names)

    def _has_rows(self, before: int, behind: int) -> bool:
        match self.rows:
            case "map":
                return behind == before
            case "filter":
                return behind <= before
            case _:
                return True

    def _stayed(self, name: str, taken: pa.Table, returned: pa.Table) -> bool:
        """Whether a column that travels past the step came back as it went in."""
        if self.rows != "map" or name not in self.gives.names or name not in taken.column_names:
            return False
        column = taken.column(name)
        return bool(returned.column(name) is column or returned.column(name).equals(column))


def _is(table: pa.Table, schema: pa.Schema) -> bool:
    """Whether a table has these columns and no others, in this order, with no null where none may be."""
    found = table.schema
    if found.names != schema.names or found.types != schema.types:
        return False
    return all(field.nullable or not table.column(place).null_count for place, field in enumerate(schema))


def _fitting(table: pa.Table, field: pa.Field) -> pa.ChunkedArray | None:
    """A column as a field wants it; None when it is not there, of another type, or has a null too many."""
    place = table.schema.get_field_index(field.name)
    if place < 0:
        return None
    try:
        column = cast_column(table.column(place), field.type)
    except CastError:
        return None
    return None if column.null_count and not field.nullable else column

"""A statement of a viewer, ready to be run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from heddle.database.answers import Answer
from heddle.database.errors import QueryError
from heddle.database.model import TableName


class Statement:
    """`schema` is that of its answers; where parameters have no values yet, as far as it can be told.
    `parameters` has a field for each, of type null where it is not known. `tables` are those that a query
    reads; one that `is_constant` gives one row, and reads nothing for it. One that `is_update` has no rows;
    one that `writes` changes tables. Thread-safe."""

    def __init__(
        self,
        text: str,
        schema: pa.Schema,
        parameters: pa.Schema,
        run: Callable[[Sequence[object], str | None], Answer],
        *,
        is_update: bool = False,
        writes: bool = False,
        tables: tuple[TableName, ...] = (),
        is_constant: bool = False,
    ) -> None:
        self.text = text
        self.tables = tables
        self.is_constant = is_constant
        self.schema = schema
        self.parameters = parameters
        self.is_update = is_update
        self.writes = writes
        self._run = run

    def run(self, values: Sequence[object] = (), *, transaction: str | None = None) -> Answer:
        """Raises `QueryError`."""
        if len(values) != len(self.parameters):
            wanted = f"the statement has {len(self.parameters)} parameters"
            raise QueryError("invalid", f"{wanted}, and {len(values)} values came")
        return self._run(values, transaction)

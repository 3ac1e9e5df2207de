"""A kept table as it was when its reading began, whatever happens to the table meanwhile."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Final, Self

from heddle.core.config import ConfigValue
from heddle.database.kept_manifest import KeptTable
from heddle.database.kept_parts import Parts
from heddle.std.mapped import FILES_SETTING


class Reading:
    """`step` and `config` are those of the reader that gives the rows. A context manager that closes it; one
    that nothing refers to any more is closed as well."""

    step: Final = "arrow"

    def __init__(self, table: KeptTable, parts: Parts) -> None:
        """The parts of the table are held."""
        self.table = table
        self.config = self.config_of(table, parts)
        self._parts = parts
        self._forgotten = weakref.finalize(self, parts.let_go_later, table.parts)
        self._forgotten.atexit = False

    @staticmethod
    def config_of(table: KeptTable, parts: Parts) -> Mapping[str, ConfigValue]:
        return {"path": str(parts.folder), FILES_SETTING: [part.file for part in table.parts]}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Rows that are mapped already stay readable. More than once does no harm."""
        if self._forgotten.detach() is not None:
            self._parts.let_go(self.table.parts)

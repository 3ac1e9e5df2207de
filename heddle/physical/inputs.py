"""What a fragment reads: files, a frame, or batches of another stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from heddle.core.config import ConfigValue
from heddle.core.record import record
from heddle.physical.batches import Batches
from heddle.physical.frames import Frame


@record(frozen=True, slots=True)
class FileBinding:
    """A reader of `std/io`: an engine reads the files itself. `columns` are the names of all of them."""

    step: str
    config: Mapping[str, ConfigValue]
    columns: tuple[str, ...]


FragmentInput: TypeAlias = FileBinding | Frame | Batches
"""A stream comes from another stage of the same task and gives at least one batch; there is one at most."""

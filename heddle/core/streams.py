"""What the settings of a stream step say of its reading, whatever stream it is.

A stream is *bounded* when its settings say where its reading ends. A bounded stream without `commit_every` is
read in one turn, so that a program means the same over it as over a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

BOUNDS: Final = ("until", "max_rows", "max_wait")
"""Settings of stream steps; each of them bounds the reading."""
COMMIT_EVERY: Final = "commit_every"
"""The setting of stream steps that says how long a turn waits for rows: a duration such as "500ms"."""
TURN: Final = "{turn}"
"""Stands in the path of a file that is written anew in every turn."""


def is_bounded(config: Mapping[str, object]) -> bool:
    """Whether a stream with these settings comes to an end."""
    return any(config.get(name) is not None for name in BOUNDS)


def takes_turns(config: Mapping[str, object]) -> bool:
    """Whether a stream with these settings is read in more than one turn."""
    return not is_bounded(config) or config.get(COMMIT_EVERY) is not None

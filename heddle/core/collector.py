"""Python's search for cyclic garbage, paused where much is made and none of it is garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused(*, keeping: bool) -> Iterator[None]:
    """With `keeping`, what was made meanwhile is to live long, and the next search does not walk it.

    A search while a large tree grows takes longer than building it; while the libraries of a run are
    imported, a tenth of the time. Inside of another pause this does nothing.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if keeping and not gc.get_freeze_count():
            # Freezing moves all objects aside at once, and letting go puts them into the oldest generation.
            gc.freeze()
            gc.unfreeze()
        gc.enable()

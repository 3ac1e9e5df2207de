"""How this process uses threads and memory, beside what a run's budget says.

DataFusion's runtime reads the number of its worker threads once, when it is first used. A table fed from
Python blocks a worker while it waits, and the plans below it need workers too, so there are many more
workers than cores.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

WORKER_THREADS: Final = 64

PURGE_DELAY_MS: Final = 1000

M_ARENA_MAX: Final = -8
"""glibc's number of this option of `mallopt`."""


def prepare_runtime() -> None:
    """Call before the first import of datafusion.

    Its allocator otherwise takes huge pages, of which a stream of batches keeps a fifth more than it uses,
    and gives a batch's pages back at once, to ask for as many again for the next one.
    glibc's otherwise has a heap for each of our many threads, and gives none of them back.
    """
    os.environ.setdefault("TOKIO_WORKER_THREADS", str(WORKER_THREADS))
    os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
    os.environ.setdefault("MIMALLOC_PURGE_DELAY", str(PURGE_DELAY_MS))
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if set_option is not None:
            set_option(M_ARENA_MAX, max(2, os.cpu_count() or 1))

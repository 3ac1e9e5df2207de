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

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
"""glibc's numbers of these options of `mallopt`."""

KEPT_BYTES: Final = 32 << 20
"""The most that glibc takes for `M_MMAP_THRESHOLD`."""


def prepare_runtime() -> None:
    """Call before the first import of datafusion.

    Its allocator otherwise takes huge pages, of which a stream of batches keeps a fifth more than it uses,
    and gives a batch's pages back at once, to ask for as many again for the next one.
    glibc's otherwise has a heap for each of our many threads, and gives none of them back.
    """
    os.environ.setdefault("TOKIO_WORKER_THREADS", str(WORKER_THREADS))
    os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
    os.environ.setdefault("MIMALLOC_PURGE_DELAY", str(PURGE_DELAY_MS))
    _set_option("MALLOC_ARENA_MAX", M_ARENA_MAX, max(2, os.cpu_count() or 1))


def keep_message_memory() -> None:
    """For a process that takes large messages, one after the other.

    grpcio makes bytes of each. glibc's allocator otherwise gives their memory back and asks for as much again
    for the next message, which takes longer than all else about it: the system clears each page. So each
    heap keeps up to `KEPT_BYTES` that are free at its end.
    """
    _set_option("MALLOC_MMAP_THRESHOLD_", M_MMAP_THRESHOLD, KEPT_BYTES)
    _set_option("MALLOC_TRIM_THRESHOLD_", M_TRIM_THRESHOLD, KEPT_BYTES)


def _set_option(variable: str, option: int, value: int) -> None:
    """Of glibc's allocator, unless the variable of the environment says it."""
    if sys.platform == "linux" and variable not in os.environ:
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if set_option is not None:
            set_option(option, value)

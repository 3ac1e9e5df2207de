"""How this process uses DataFusion's runtime: the number of its threads, and threads with a deep stack.

The runtime reads the number of its worker threads once, when it is first used. A table fed from Python
blocks a worker while it waits, and the plans below it need workers too, so there are many more workers
than cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

WORKER_THREADS: Final = 64
STACK_BYTES: Final = 64 << 20

_STACK_LOCK = threading.Lock()


def prepare_runtime() -> None:
    """Call before the first import of datafusion.

    Its allocator otherwise takes huge pages, of which a stream of batches keeps a fifth more than it uses.
    """
    os.environ.setdefault("TOKIO_WORKER_THREADS", str(WORKER_THREADS))
    os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")


def deep_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """A started thread whose stack is deep enough to plan any fragment."""
    with _STACK_LOCK:
        previous = threading.stack_size(STACK_BYTES)
        try:
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
        finally:
            threading.stack_size(previous)
    return thread

"""How this process uses DataFusion's runtime: the number of its threads.

The runtime reads the number of its worker threads once, when it is first used. A table fed from Python
blocks a worker while it waits, and the plans below it need workers too, so there are many more workers
than cores.
"""

from __future__ import annotations

import os
from typing import Final

WORKER_THREADS: Final = 64


def prepare_runtime() -> None:
    """Call before the first import of datafusion.

    Its allocator otherwise takes huge pages, of which a stream of batches keeps a fifth more than it uses.
    """
    os.environ.setdefault("TOKIO_WORKER_THREADS", str(WORKER_THREADS))
    os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")

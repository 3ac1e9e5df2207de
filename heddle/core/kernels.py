"""Arrow's compute kernels, loaded with the first call: importing them takes as long as a small run.

`from heddle.core import kernels as pc` stands for `import pyarrow.compute as pc`.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    import pyarrow.compute

    return getattr(pyarrow.compute, name)

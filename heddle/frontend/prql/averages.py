"""Averages and deviations of columns: a cast to a float in the place of the product that checks for numbers.

`expressions.py` writes `AVG((x * 1.0e0))`, which is refused where `x` is no number. Once that is settled a
cast gives the same, and costs DuckDB less.
"""

from __future__ import annotations

import re
from typing import Final

_PRODUCT: Final = " * 1.0e0))"
_QUOTED_OR_PRODUCT: Final = (
    r"""'(?:[^']|'')*'"""
    r"""|(?P<function>AVG|STDDEV)\(\((?P<column>"(?:[^"]|"")*"(?:\."(?:[^"]|"")*")?) \* 1\.0e0\)\)"""
    r"""|"(?:[^"]|"")*\""""
)


def with_casts(sql: str) -> str:
    """The SQL with `AVG(CAST("x" AS DOUBLE))` in the place of `AVG(("x" * 1.0e0))`."""
    if _PRODUCT not in sql:
        return sql
    return re.sub(_QUOTED_OR_PRODUCT, _cast, sql)


def _cast(found: re.Match[str]) -> str:
    function = found["function"]
    return found[0] if function is None else f"{function}(CAST({found['column']} AS DOUBLE))"

"""Plainer forms of what prqlc and `expressions.py` write, which planners read better.

Callers look for `ORDER BY 1` and a product of `1.0e0` first: most queries have neither, and never load this.

    OVER (ORDER BY 1)      ->  OVER ()
    AVG(("x" * 1.0e0))     ->  AVG(CAST("x" AS DOUBLE))
"""

from __future__ import annotations

import re
from typing import Final

_QUOTED_OR_CONSTANT: Final = (
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(?P<order> ?ORDER BY 1(?=\))|ORDER BY 1 (?=ROWS ))"""
)
_QUOTED_OR_PRODUCT: Final = (
    r"""'(?:[^']|'')*'"""
    r"""|(?P<function>AVG|STDDEV)\(\((?P<column>"(?:[^"]|"")*"(?:\."(?:[^"]|"")*")?) \* 1\.0e0\)\)"""
    r"""|"(?:[^"]|"")*\""""
)


def without_constant_order(sql: str) -> str:
    """Windows without an order, which prqlc writes for its target with a constant; strings and names stay.

    The constant orders nothing, and hides from planners that a window is a whole partition. It stays where a
    frame is a range of values (`RANGE BETWEEN 1 PRECEDING …`), which must have an order.
    """
    return re.sub(_QUOTED_OR_CONSTANT, lambda found: "" if found["order"] else found[0], sql)


def with_casts(sql: str) -> str:
    """Averages and deviations of columns with a cast in the place of the product that checks for numbers.

    `expressions.py` writes the product, which is refused where `x` is no number. Once that is settled a cast
    gives the same, and costs DuckDB less.
    """
    return re.sub(_QUOTED_OR_PRODUCT, _cast, sql)


def _cast(found: re.Match[str]) -> str:
    function = found["function"]
    return found[0] if function is None else f"{function}(CAST({found['column']} AS DOUBLE))"

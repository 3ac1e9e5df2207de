"""Windows without an order, which prqlc writes for its target as `OVER (… ORDER BY 1 …)`.

The constant orders nothing, and hides from planners that a window is a whole partition. It stays where a
frame is a range of values (`RANGE BETWEEN 1 PRECEDING …`), which must have an order.
"""

from __future__ import annotations

import re
from typing import Final

_CONSTANT: Final = "ORDER BY 1"
_QUOTED_OR_CONSTANT: Final = (
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(?P<order> ?ORDER BY 1(?=\))|ORDER BY 1 (?=ROWS ))"""
)


def without_constant_order(sql: str) -> str:
    """The SQL with `OVER ()` in the place of `OVER (ORDER BY 1)`; strings and names stay as they are."""
    if _CONSTANT not in sql:
        return sql
    return re.sub(_QUOTED_OR_CONSTANT, lambda found: "" if found["order"] else found[0], sql)

"""The checker: a syntax tree becomes a typed program, or diagnostics.

    declarations -> calls and statements (names) -> rows (types) -> nodes

Names are resolved first, for the whole program; then every relation gets its row. A mistake is reported
once, where it is: what depends on it has an open row and causes no further findings.
"""

from heddle.frontend.checker.check import CheckOutcome, check

__all__ = ["CheckOutcome", "check"]

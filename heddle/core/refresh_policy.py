"""When the kept rows of a materialized output are computed anew, as programs and `heddle.toml` write it."""

from __future__ import annotations

from typing import Final, Literal

from heddle.core.durations import DURATION_HELP, duration_s
from heddle.core.record import record


@record(frozen=True, slots=True)
class RefreshPolicy:
    """`every_s` is set for "every". In all of them a statement may ask for it too."""

    when: Literal["on start", "every", "manual"]
    every_s: float | None = None

    def __str__(self) -> str:
        return self.when if self.every_s is None else f"every {self.every_s:g} s"


REFRESH_HELP: Final = f'it is true, "on start", "manual" or "every 5m"; {DURATION_HELP}'
"""`true` is "on start", `false` that no rows are kept."""


def refresh_policy(text: str) -> RefreshPolicy | None:
    """None when the text is none."""
    match text:
        case ("on start" | "manual") as when:
            return RefreshPolicy(when)
        case _:
            every_s = duration_s(text.removeprefix("every ")) if text.startswith("every ") else None
            return RefreshPolicy("every", every_s) if every_s else None


def refresh_switch(on: bool) -> RefreshPolicy | None:
    """What `true` and `false` stand for; None: no rows are kept."""
    return RefreshPolicy("on start") if on else None

"""`\\watch`: the last statement again and again until ^C."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from heddle.errors import UsageError

if TYPE_CHECKING:
    from heddle.repl.session import Session

EVERY_S: Final = 2.0
_USAGE: Final = "\\watch [SECONDS [TIMES]]"


def watch(session: Session, words: list[str]) -> int:
    """A failure ends it. The result is the exit code. Raises `HeddleError`."""
    statement = session.last
    if statement is None:
        raise UsageError("there is no statement to watch", help="run one, then `\\watch`")
    every_s = _number(words[0]) if words else EVERY_S
    times = int(_number(words[1])) if len(words) > 1 else None
    with session.console.unpaged():
        return _again_and_again(session, statement, every_s, times)


def _again_and_again(session: Session, statement: str, every_s: float, times: int | None) -> int:
    ran = 0
    while times is None or ran < times:
        if ran and not session.interrupts.wait(every_s):
            session.console.clear_line()
            return 0
        session.console.say(f"every {every_s:g} s, at {time.strftime('%H:%M:%S')} (^C ends it)")
        session.query(statement)
        ran += 1
    return 0


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < 1e6:
        raise UsageError(f"`{text}` is no number above 0", help=f"it is `{_USAGE}`")
    return number

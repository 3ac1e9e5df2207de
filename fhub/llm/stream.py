"""Answers that come in pieces: server-sent events, each with some of the text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

TOLD_CHARS: Final = 80
"""A told piece ends with a line, or has about this many characters."""


class StreamText:
    """What the events of one answer say so far; `take` gets their bytes in pieces of any size.

    `ended`: the server said that this was all. `error` is what it said instead.
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self.text = ""
        self.finish: str | None = None
        self.usage: Any = None
        self.error: str | None = None
        self.ended = False
        self._tell = tell
        self._told = 0
        self._rest = b""

    def take(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            name, _, value = line.rstrip(b"\r").partition(b":")
            if name == b"data":
                self._event(value.strip())
        if self._tell is not None:
            self._tell_more(self._tell)

    def _event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.ended = True
            return
        try:
            event = json.loads(data)
            if "error" in event:
                self.error = str(event["error"].get("message"))
                return
            self.usage = event.get("usage") or self.usage
            for choice in event.get("choices", ())[:1]:
                self.text += choice.get("delta", {}).get("content") or ""
                self.finish = choice.get("finish_reason") or self.finish
        except (ValueError, TypeError, AttributeError):
            self.error = "an event is no JSON of OpenAI's form"

    def _tell_more(self, tell: Callable[[str], None]) -> None:
        over = self.ended or self.finish is not None
        while (rest := self.text[self._told :]) and (over or "\n" in rest or len(rest) >= TOLD_CHARS):
            line, newline, _ = rest.partition("\n")
            if not newline and not over and len(line) < TOLD_CHARS:
                return
            self._told += len(line) + len(newline)
            if line.strip():
                tell(line)

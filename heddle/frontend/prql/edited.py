"""A query's text on its way to prqlc, and the way back from its offsets to the program's.

Two things happen to a text: characters beyond ASCII in names and strings are spelled with ASCII words
(prqlc counts bytes, and its own error messages count characters), and the normaliser edits it. Both are
kept as segments, so that every offset that prqlc reports leads to a span of the program.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from heddle.core.record import record
from heddle.diagnostics import Span

_FOREIGN = r"[^\x00-\x7f]"
_SPELLED = r"Zu([0-9a-f]{6})Z"


@record(frozen=True, slots=True)
class Edit:
    """`text` instead of the range `[start, end)`."""

    start: int
    end: int
    text: str


@record(frozen=True, slots=True)
class EditedText:
    """`text`, and for segments of it (by start offset, ascending) where they come from.

    `origins[i]` is the offset in the program at which segment i starts; a segment with `copied[i]` false
    stands as a whole for the empty or replaced place there, `widths[i]` characters long.
    """

    text: str
    starts: tuple[int, ...]
    origins: tuple[int, ...]
    widths: tuple[int, ...]
    copied: tuple[bool, ...]

    @classmethod
    def of(cls, text: str, origin: int) -> EditedText:
        return cls(text, (0,), (origin,), (len(text),), (True,))

    def edit(self, edits: Sequence[Edit]) -> EditedText:
        """The text with edits applied; they do not overlap."""
        if not edits:
            return self
        pieces: list[str] = []
        segments: list[tuple[int, int, int, bool]] = []
        size = position = 0

        def copy(start: int, end: int) -> None:
            nonlocal size
            for piece_start, piece_end, origin, width, copied in self._pieces(start, end):
                segments.append((size + piece_start - start, origin, width, copied))
                assert piece_end > piece_start
            pieces.append(self.text[start:end])
            size += end - start

        for edit in sorted(edits, key=lambda e: (e.start, e.end)):
            copy(position, edit.start)
            origin = self.span(edit.start, edit.end)
            if edit.text:
                segments.append((size, origin.start, origin.end - origin.start, False))
                pieces.append(edit.text)
                size += len(edit.text)
            position = edit.end
        copy(position, len(self.text))
        if not segments:
            return EditedText.of("", self.origins[0])
        starts, origins, widths, copied = zip(*segments, strict=True)
        return EditedText("".join(pieces), starts, origins, widths, copied)

    def span(self, start: int, end: int) -> Span:
        """The program's span for a range of the text."""
        size = len(self.text)
        start, end = max(0, min(start, size)), max(0, min(end, size))
        first = self._origin(start)
        if end <= start:
            return Span(first[0], first[0])
        last = self._origin(end - 1)
        return Span(first[0], max(last[1], first[0]))

    def _origin(self, offset: int) -> tuple[int, int]:
        """Where one character comes from: its start and end in the program."""
        i = max(0, bisect_right(self.starts, offset) - 1)
        origin = self.origins[i]
        if self.copied[i]:
            at = origin + offset - self.starts[i]
            return at, at + 1
        return origin, origin + self.widths[i]

    def _pieces(self, start: int, end: int) -> list[tuple[int, int, int, int, bool]]:
        """The segments within a range: (start, end, origin, width, copied)."""
        found: list[tuple[int, int, int, int, bool]] = []
        i = max(0, bisect_right(self.starts, start) - 1)
        while start < end:
            limit = self.starts[i + 1] if i + 1 < len(self.starts) else len(self.text)
            stop = min(limit, end)
            if stop > start:
                skipped = start - self.starts[i] if self.copied[i] else 0
                width = stop - start if self.copied[i] else self.widths[i]
                found.append((start, stop, self.origins[i] + skipped, width, self.copied[i]))
            start, i = max(start, stop), i + 1
        return found


def to_ascii(text: EditedText) -> EditedText:
    """Spell each character beyond ASCII as a word (`é` as `Zu0000e9Z`)."""
    if text.text.isascii():
        return text
    edits = [Edit(m.start(), m.end(), f"Zu{ord(m[0]):06x}Z") for m in re.finditer(_FOREIGN, text.text)]
    return text.edit(edits)


def spelled(name: str) -> str:
    return name if name.isascii() else re.sub(_FOREIGN, lambda m: f"Zu{ord(m[0]):06x}Z", name)


def unspelled(text: str) -> str:
    """Undo `to_ascii`, in anything that prqlc gives back."""
    return re.sub(_SPELLED, lambda m: chr(int(m[1], 16)), text) if "Zu" in text else text

"""Make legal PRQL of the looser forms that Heddle understands.

A text enters that prqlc does not accept and leaves with edits: transforms on one line are separated by
`|`, bare lists get braces, a query without `from` reads `input`, conditions in SQL's words get PRQL's
operators, `concat(a, b)` becomes a call. What is legal already is left alone.
"""

from __future__ import annotations

from dataclasses import field
from typing import Final

from heddle.core.record import record
from heddle.frontend.prql.edited import Edit, EditedText
from heddle.frontend.prql.names import bare_head, dotted_end, relation_argument
from heddle.frontend.prql.words import CLOSE, OPEN, TRANSFORMS, Word, end_of_group, scan

_LISTS: Final = ("select", "derive", "sort", "aggregate")
_LOGIC: Final = {"and": "&&", "or": "||", "not": "!"}
_DECLARES: Final = ("let", "type", "module", "import", "prql")


def normalise(text: EditedText) -> EditedText:
    """The text itself when nothing is to be done."""
    words = scan(text.text)
    writer = _Writer(words)
    writer.pipeline(0, len(words))
    writer.head()
    return text.edit(writer.edits)


@record(slots=True, eq=False)
class _Writer:
    words: list[Word]
    edits: list[Edit] = field(default_factory=list)

    def insert(self, at: int, text: str) -> None:
        self.edits.append(Edit(at, at, text))

    def enclose(self, start: int, opener: str, end: int, closer: str) -> None:
        """Brackets around everything that was inserted at the same places before."""
        self.edits.insert(0, Edit(start, start, opener))
        self.insert(end, closer)

    def replace(self, word: Word, text: str) -> None:
        self.edits.append(Edit(word.start, word.end, text))

    def cut_to_next(self, i: int, text: str) -> None:
        """Put a text in the place of a word and of the space behind it."""
        word = self.words[i]
        end = self.words[i + 1].start if i + 1 < len(self.words) else word.end
        self.edits.append(Edit(word.start, end, text))

    # --- pipelines --------------------------------------------------------------------------

    def head(self) -> None:
        """`from input |` before a query that starts with another transform, `from` before a bare name."""
        start = next((i for i, w in enumerate(self.words) if w.kind != "line"), None)
        if start is None:
            return
        first = self.words[start]
        if first.is_name(*_DECLARES) or first.is_mark("@"):
            return
        if first.kind == "name" and first.text in TRANSFORMS - {"from"}:
            self.edits.insert(0, Edit(first.start, first.start, "from input | "))
        elif bare_head(self.words) is not None:
            self.edits.insert(0, Edit(first.start, first.start, "from "))

    def pipeline(self, lo: int, hi: int) -> None:
        """The transforms in `words[lo:hi]`."""
        start = i = lo
        while i < hi:
            word = self.words[i]
            if word.kind == "mark" and word.text in OPEN:
                i = end_of_group(self.words, i)
                continue
            if word.kind == "line" or word.is_mark("|"):
                self.transform(start, i)
                start = i + 1
            elif i > start and self._begins_next(start, i, hi):
                self.transform(start, i)
                self.insert(word.start, "| ")
                start = i
            i += 1
        self.transform(start, min(hi, len(self.words)))

    def _begins_next(self, start: int, i: int, hi: int) -> bool:
        """Whether the word is the name of a transform that follows another on the same line."""
        word, before = self.words[i], self.words[i - 1]
        if word.kind != "name" or word.text not in TRANSFORMS - {"from"} or i + 1 >= hi:
            return False
        if i - 1 == start and before.text in TRANSFORMS:
            return False
        after = self.words[i + 1]
        if before.kind not in ("name", "number", "string", "fstring") and before.text not in CLOSE:
            return False
        opens = after.kind != "mark" or after.text in OPEN or after.is_mark("-", "+", "!")
        return opens and after.kind != "line"

    def transform(self, lo: int, hi: int) -> None:
        """One transform with its arguments."""
        if lo >= hi:
            return
        head = self.words[lo]
        if head.kind == "mark":
            self.expression(lo, hi, condition=False)
        elif head.is_name(*_LISTS):
            edits = len(self.edits)
            if head.text == "sort":
                lo, hi = self._sort_by(lo, hi)
            changed = len(self.edits) > edits
            self.expression(lo + 1, hi, condition=False)
            self._braces(lo + 1, hi, always=changed)
        elif head.is_name("group"):
            self._group(lo, hi)
        elif head.is_name("join"):
            self._join(lo, hi)
        else:
            self.expression(lo + 1, hi, condition=head.is_name("filter"))

    # --- arguments --------------------------------------------------------------------------

    def _braces(self, lo: int, hi: int, *, always: bool = False) -> None:
        """Braces around a list that is more than one name or group."""
        if lo >= hi or (self._is_one(lo, hi) and not always):
            return
        last = hi - 1
        if self.words[last].is_mark(","):
            self.replace(self.words[last], "")
            last -= 1
        self.enclose(self.words[lo].start, "{", self.words[last].end, "}")

    def _sort_by(self, lo: int, hi: int) -> tuple[int, int]:
        """`sort by a desc, b asc` -> `sort -a, b`; gives the range that is left."""
        if (
            lo + 1 < hi
            and self.words[lo + 1].is_name("by")
            and lo + 2 < hi
            and self.words[lo + 2].kind == "name"
        ):
            self.cut_to_next(lo + 1, "")
            lo += 1
        for i in range(lo + 1, hi):
            word, before = self.words[i], self.words[i - 1]
            if not word.is_name("desc", "asc") or before.kind != "name" or i - 1 <= lo:
                continue
            self.edits.append(Edit(before.end, word.end, ""))
            if word.text == "desc":
                start = next(
                    j for j in range(i - 1, lo, -1) if dotted_end(self.words, j) == i and self._begins(j)
                )
                self.insert(self.words[start].start, "-")
            if i == hi - 1:
                hi -= 1
        return lo, hi

    def _begins(self, i: int) -> bool:
        return not self.words[i - 1].is_mark(".")

    def _is_one(self, lo: int, hi: int) -> bool:
        word = self.words[lo]
        if word.kind == "mark" and word.text in OPEN:
            return end_of_group(self.words, lo) >= hi
        return word.kind == "name" and dotted_end(self.words, lo) >= hi

    def _group(self, lo: int, hi: int) -> None:
        """`group by a, b (…)`: braces around what stands before the pipeline."""
        first = lo + 1
        if first < hi and self.words[first].is_name("by"):
            self.cut_to_next(first, "")
            first += 1
        last = self._last_group(first, hi)
        if last is None:
            return
        self.expression(first, hi, condition=False)
        self._braces(first, last)

    def _last_group(self, lo: int, hi: int) -> int | None:
        i, last = lo, None
        while i < hi:
            if self.words[i].kind == "mark" and self.words[i].text in OPEN:
                last = i if self.words[i].text == "(" else None
                i = end_of_group(self.words, i)
            else:
                i, last = i + 1, None
        return last

    def _join(self, lo: int, hi: int) -> None:
        """`join t where a = b and c`, `join t on …`, `join t using a, b`."""
        relation = relation_argument(self.words, lo)
        if relation is None:
            self.expression(lo + 1, hi, condition=False)
            return
        first = dotted_end(self.words, relation)
        while first + 1 < hi and self.words[first].is_name("side") and self.words[first + 1].is_mark(":"):
            first += 3
        if first >= hi:
            return
        if self.words[first].is_name("using"):
            self._using(first, hi)
            return
        if self.words[first].is_name("where", "on"):
            self.cut_to_next(first, "")
            first += 1
        if first >= hi:
            return
        one_group = self.words[first].is_mark("(", "{") and end_of_group(self.words, first) >= hi
        self.expression(first, hi, condition=True)
        if one_group:
            self._key_list(first, hi)
        else:
            self.enclose(self.words[first].start, "(", self.words[hi - 1].end, ")")

    def _using(self, lo: int, hi: int) -> None:
        names = [w for w in self.words[lo + 1 : hi] if w.kind == "name"]
        if names:
            keys = " && ".join(f"=={w.text}" for w in names)
            self.edits.append(Edit(self.words[lo].start, self.words[hi - 1].end, f"({keys})"))

    def _key_list(self, lo: int, hi: int) -> None:
        """`(==a, ==b)`: commas between keys mean `&&`."""
        inner = self.words[lo + 1 : hi - 1]
        if inner and inner[0].is_mark("=="):
            for word in inner:
                if word.is_mark(","):
                    self.replace(word, " &&")
            if self.words[lo].text == "{":
                self.replace(self.words[lo], "(")
                self.replace(self.words[hi - 1], ")")

    def expression(self, lo: int, hi: int, *, condition: bool) -> None:
        """Words inside a transform; nested pipelines are normalised as such."""
        i = lo
        while i < hi:
            word = self.words[i]
            after = self.words[i + 1] if i + 1 < hi else None
            if (
                word.is_name("concat")
                and after is not None
                and after.is_mark("(")
                and after.start == word.end
            ):
                end = end_of_group(self.words, i + 1)
                self._concat(i, end, condition)
                i = end
                continue
            if word.is_mark("(") and after is not None and after.kind == "name" and after.text in TRANSFORMS:
                end = end_of_group(self.words, i)
                self.pipeline(i + 1, end - 1)
                i = end
                continue
            if condition:
                i += self._condition_word(i, hi)
            i += 1

    def _concat(self, lo: int, end: int, condition: bool) -> None:
        """`concat(a, "-", b)` -> `(concat (a) ("-") (b))`, which the tree turns into an f-string."""
        self.replace(self.words[lo + 1], " (")
        i = lo + 2
        while i < end - 1:
            word = self.words[i]
            if word.kind == "mark" and word.text in OPEN:
                i = end_of_group(self.words, i)
                continue
            if word.is_mark(","):
                self.cut_to_next(i, ") (")
            i += 1
        self.expression(lo + 2, end - 1, condition=condition)
        self.enclose(self.words[lo].start, "(", self.words[end - 1].end, ")")

    def _condition_word(self, i: int, hi: int) -> int:
        """One word of a condition; gives how many words beyond it were read."""
        word = self.words[i]
        after = self.words[i + 1] if i + 1 < hi else None
        if word.is_mark("=") and i > 0:
            self.replace(word, "==")
        elif word.is_mark("<") and after is not None and after.is_mark(">") and after.start == word.end:
            self.edits.append(Edit(word.start, after.end, "!="))
            return 1
        elif word.is_name("is"):
            return self._is_null(i, hi)
        elif word.is_name(*_LOGIC) and after is not None and not after.is_mark(",", ")", ".", "="):
            if word.text == "not":
                self.cut_to_next(i, "!")
            else:
                self.replace(word, _LOGIC[word.text])
        return 0

    def _is_null(self, i: int, hi: int) -> int:
        rest = [w.text for w in self.words[i + 1 : min(i + 3, hi)]]
        if rest[:1] == ["null"]:
            self.replace(self.words[i], "==")
            return 0
        if rest == ["not", "null"]:
            self.replace(self.words[i], "!=")
            self.cut_to_next(i + 1, "")
            return 1
        return 0

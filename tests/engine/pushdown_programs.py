"""Random tables with awkward values, and random queries over them, for comparing what a database makes of a
query with what Heddle does."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa

from heddle.core.types import TIMESTAMP

ROWS = 120

TEXTS = (
    "",
    " ",
    "a",
    "A",
    "b",
    "ab",
    "Ab",
    "a b",
    "ä",
    "Z",
    "z",
    "ß",
    "日本",
    "😀",
    "it's",
    'say "x"',
    "a\\b",
    "%",
    "_",
    "@k",
)
FLOATS = (0.0, 1.5, -1.5, 0.1, 2.5, float("nan"), float("inf"), float("-inf"), 1e300, -1e-300, 3.0)
AMOUNTS = (0.0, -0.0, 1.25, -2.5, 10.0, 0.5, 1e6)
"""With no rounding in their sums, in whatever order they are added up."""
INTS = (0, 1, -1, 5, 2**63 - 1, -(2**63), 2**53 + 1)
DAYS = (date(1970, 1, 1), date(2024, 2, 29), date(1969, 12, 31), date(2023, 12, 31), date(2024, 12, 30))
FIRST = datetime(2024, 1, 1, tzinfo=UTC)

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("k", pa.int64()),
        pa.field("small", pa.int32()),
        pa.field("big", pa.int64()),
        pa.field("f", pa.float64()),
        pa.field("g", pa.float64()),
        pa.field("amount", pa.float64()),
        pa.field("price", pa.decimal128(10, 2)),
        pa.field("t", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("flag", pa.bool_()),
        pa.field("day", pa.date32()),
        pa.field("at", TIMESTAMP),
    ]
)


def random_table(chance: random.Random, rows: int = ROWS) -> pa.Table:
    """Each value but `id` is null now and then; `kind` and `k` have few values, to group and join by."""
    made = [
        {
            "id": number,
            "k": chance.randrange(6),
            "small": chance.choice((0, 1, -7, 2**31 - 1, -(2**31), chance.randrange(100))),
            "big": chance.choice((*INTS, chance.randrange(1000))),
            "f": chance.choice((*FLOATS, chance.uniform(-5, 5))),
            "g": chance.choice((0.0, -0.0, 0.1, 1.5, float("inf"), float("-inf"), 1e300, -1e-300)),
            "amount": chance.choice(AMOUNTS),
            "price": Decimal(chance.randrange(-20, 200)) / 4,
            "t": chance.choice(TEXTS),
            "kind": chance.choice(("a", "b", "B", "é", "")),
            "flag": chance.random() < 0.5,
            "day": chance.choice((*DAYS, date(2024, 1, 1) + timedelta(chance.randrange(400)))),
            "at": FIRST + timedelta(microseconds=chance.randrange(-(10**13), 10**13)),
        }
        for number in range(rows)
    ]
    for row in made:
        for name in SCHEMA.names[1:]:
            if chance.random() < 0.12:
                row[name] = None
    return pa.Table.from_pylist(made, SCHEMA)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A query over the tables `things` and `others`. `sorted`: by a key, so that the order of rows counts."""

    text: str
    joined: bool
    sorted: bool


def random_pipeline(chance: random.Random) -> Pipeline:
    return _Writer(chance).pipeline()


class _Writer:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def pipeline(self) -> Pipeline:
        chance = self._chance
        lines: list[str] = []
        joined = chance.random() < 0.2
        if joined:
            return Pipeline("\n        ".join(self._join()), True, False)
        for _ in range(chance.choice((0, 1, 1, 2))):
            lines.append(f"filter {self.condition()}")
        match chance.randrange(7):
            case 0 | 1:
                lines += self._grouped()
                return Pipeline("\n        ".join(lines), False, False)
            case 2:
                lines.append(f"aggregate {{ {', '.join(self._aggregates())} }}")
                return Pipeline("\n        ".join(lines), False, False)
            case 3:
                names = chance.sample(("kind", "k", "flag", "day", "t"), 2)
                lines += [f"select {{ {', '.join(names)} }}", f"group {{ {', '.join(names)} }} (take 1)"]
                return Pipeline("\n        ".join(lines), False, False)
            case 4 | 5:
                lines.append(f"derive {{ {', '.join(self._derived())} }}")
            case _:
                pass
        if chance.random() < 0.4:
            names = ["id", *chance.sample(SCHEMA.names[1:], 4)]
            lines.append(f"select {{ {', '.join(names)} }}")
            if chance.random() < 0.5:
                lines.append(f"sort {{ {self._keys(names)}, id }}")
                return self._taken(lines)
        elif chance.random() < 0.5:
            lines.append(f"sort {{ {self._keys(SCHEMA.names)}, id }}")
            return self._taken(lines)
        return Pipeline("\n        ".join(lines or ["select { id, t }"]), False, False)

    def _taken(self, lines: list[str]) -> Pipeline:
        if self._chance.random() < 0.7:
            lines.append(self._chance.choice(("take 7", "take 3..9", "take 1", "take 5..")))
        return Pipeline("\n        ".join(lines), False, True)

    def _keys(self, names: list[str]) -> str:
        keys = [n for n in self._chance.sample(names, 2) if n not in ("id", "g", "amount")]
        return ", ".join(f"{self._chance.choice(('', '-'))}{key}" for key in keys) or "-id"

    def _join(self) -> list[str]:
        chance = self._chance
        key = chance.choice(
            ("this.k == that.id", "this.id == that.k", "this.t == that.t", "this.day == that.day")
        )
        side = chance.choice(("", "side:left "))
        lines = [f"filter {self.condition()}"] if chance.random() < 0.5 else []
        lines.append(f"join {side}o = others ({key})")
        lines.append("select { input.id, input.t, input.k, other = o.id, o.kind, o.at, o.price }")
        if chance.random() < 0.4:
            tests = ("other == null", "kind != null", "other > 3", 'kind == "a"')
            lines.append(f"filter {chance.choice(tests)}")
        if chance.random() < 0.4:
            lines.append(
                "group kind (aggregate { n = count this, c = count other, m = max other, p = sum price })"
            )
        return lines

    def _grouped(self) -> list[str]:
        chance = self._chance
        keys = chance.sample(("kind", "k", "flag", "t", "day"), chance.choice((1, 1, 2)))
        if chance.random() < 0.25:
            made = chance.choice(("(day | date.year)", '(t ?? "none")', "(at | date.month)", "(k == 3)"))
            return [f"group {{ made = {made} }} (aggregate {{ {', '.join(self._aggregates(('t', 'k')))} }})"]
        lines = [f"group {{ {', '.join(keys)} }} (aggregate {{ {', '.join(self._aggregates(keys))} }})"]
        if chance.random() < 0.3:
            lines.append(chance.choice(("filter n > 3", "filter n == 1 || n > 4")))
        if chance.random() < 0.3:
            lines.append(f"sort {{ {', '.join(chance.choice(('', '-')) + key for key in keys)} }}")
        return lines

    def _aggregates(self, keys: Sequence[str] = ()) -> list[str]:
        """Those that take none of the columns that are grouped by."""
        pool = [
            "c = count t",
            "d = count_distinct t",
            "dk = count_distinct k",
            "s = sum k",
            "ss = sum small",
            "sa = sum amount",
            "sp = sum price",
            "ak = average k",
            "aa = average amount",
            "ap = average price",
            "mi = min big",
            "ma = max small",
            "mt = min t",
            "xt = max t",
            "md = min day",
            "xa = max at",
            "mp = min price",
            "mm = min amount",
            "mg = max k",
            "df = count_distinct big",
            "cs = sum (case [flag => k, true => 0])",
            "pp = average (price + k)",
            "al = all (k > 1)",
            "an = any (small == 1)",
            "small = sum k",
            "amount = max small",
        ]
        pool = [text for text in pool if not any(key in re.findall(r"\w+", text) for key in keys)]
        return ["n = count this", *self._chance.sample(pool, self._chance.randrange(1, 5))]

    def _derived(self) -> list[str]:
        pool = [
            "e1 = small * 2 + 1",
            'e2 = t ?? "none"',
            f'e3 = case [{self.condition()} => kind, true => "q"]',
            f"e4 = case [{self.condition()} => 1, {self.condition()} => 2]",
            "e5 = price * price",
            "e6 = price + 1",
            'e7 = f"{t}-{k}"',
            "e8 = k ?? 0",
            f"e9 = {self.condition()}",
            "e10 = (at | date.year)",
            "e11 = (day | date.month)",
            "e12 = (at | date.hour)",
            "e13 = (t | text.length)",
            "e14 = -k",
            "e15 = amount * 2",
            "e16 = amount / 4",
            "e17 = amount ?? 0",
            "e18 = small + 1",
            "e19 = (day | date.year)",
            "e20 = small - k",
            "e21 = (day | date.week)",
            "e22 = (at | date.weekday)",
            "e23 = (day | date.quarter)",
            "e24 = (at | date.day_of_year)",
            "e25 = (day | date.day)",
            "e26 = (at | date.minute)",
            "e27 = (at | date.week)",
            "e28 = (day | date.weekday)",
            "e29 = (t | text.upper)",
            "small = small * 2",
            'kind = t ?? "none"',
            "flag = k == 3",
        ]
        return self._chance.sample(pool, self._chance.randrange(1, 4))

    def condition(self, depth: int = 0) -> str:
        chance = self._chance
        if depth < 2 and chance.random() < 0.35:
            left, right = self.condition(depth + 1), self.condition(depth + 1)
            return chance.choice((f"({left}) && ({right})", f"({left}) || ({right})", f"!({left})"))
        compare = chance.choice(("==", "!=", "<", "<=", ">", ">="))
        text = chance.choice(TEXTS)
        quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return chance.choice(
            (
                f"k {compare} {chance.randrange(6)}",
                f"small {compare} {chance.choice((0, 5, 2147483647, -7))}",
                f"big {compare} {chance.choice((0, 5, 2**63 - 1, 2**53))}",
                f"g {compare} {chance.choice((0.0, 0.1, 1.5, 3))}",
                f"amount {compare} {chance.choice((0.1, 1.25, 10))}",
                f"price {compare} {chance.choice(('5', '0.1', '12.34', '-1.5'))}",
                f"t {compare} {quoted}",
                f'kind {compare} "a"',
                f"t {compare} kind",
                f"k {compare} id",
                f"g {compare} amount",
                f"small {compare} big",
                "flag",
                "flag == true",
                f"day {compare} @2024-02-29",
                f"at {compare} @2024-01-03T10:00:00",
                f"{chance.choice(SCHEMA.names[1:])} {chance.choice(('==', '!='))} null",
                f"(t | text.{chance.choice(('starts_with', 'ends_with', 'contains'))} {quoted})",
                f"(t | text.length) {compare} 2",
                f"(k | in {chance.choice(('1..3', '2..2', '..4'))})",
                f"(small + k) {compare} 5",
                f"(price * 2) {compare} 20",
                f"(day | date.month) {compare} 6",
                f'(t ?? "x") {compare} "x"',
                '(t ~= "[ab]")',
                f"(k | in [1, {chance.randrange(6)}])",
            )
        )

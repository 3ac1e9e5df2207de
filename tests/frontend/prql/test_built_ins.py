"""prqlc's built-in functions as our declarations: the same queries come out as over prqlc's own."""

from __future__ import annotations

import json

import prqlc
import pytest

from heddle.frontend.prql import built_ins
from heddle.frontend.prql.native import parse_text

TRANSFORMS = [
    "filter a > 1 && b != 2 || !(c == null)",
    "select {x = a + b * 2 - c / 3, y = a // 2, z = a % 2, w = -a}",
    "derive {x = (a ?? 0), y = (t ~= 'x'), z = a >= 1 && a <= 2 && a < 3}",
    "sort {-a, b} | take 3..5",
    "group {a} (aggregate {n = count b, s = sum b, m = average c, d = stddev c, x = min b, y = max b})",
    "group {a} (sort b | take 1)",
    "derive {x = a ** 2}",
    "aggregate {n = std.count this, s = std.sum b}",
    "aggregate {n = count this, d = count_distinct a, all_of = all b, any_of = any b, c = concat_array t}",
    "window rolling:3 (sort a | derive {x = sum b})",
    "window rows:-1..1 (sort a | derive {x = sum b})",
    "window range:-1..1 (derive {x = sum b})",
    "window expanding:true (derive {x = sum b})",
    "sort a | derive {x = lag 1 b, y = lead 2 b, n = row_number this, r = rank b, d = rank_dense b}",
    "sort a | derive {x = first b, y = last b}",
    "join other (this.a == that.a)",
    "join side:left other (==a) | select {this.a, other.b}",
    "append other",
    "derive {x = (a | in 1..5), y = (b | in [1, 2])}",
    "derive {x = (a | as int)}",
    "loop (derive {a = a + 1} | filter a < 3)",
    "derive {x = (a | math.floor), y = math.round 2 a, z = (a | math.pow 2), p = math.pi}",
    "derive {x = (t | text.lower), n = (t | text.length), e = (t | text.extract 0 2)}",
    "filter (t | text.contains 'x') && (t | text.starts_with 'y')",
    "derive {x = (d | date.to_text '%Y'), y = date.diff day d d}",
    "select {t, date}",
    "filter count > 1 | select {min, text}",
    "derive {x = case [a > 1 => 'big', true => 'small']}",
    "derive {x = f'{t}!', y = s'NOW()'}",
]
OWN = [
    "intersect other",
    "remove other",
    "append by:name other",
]


def resolved(text: str, *, own: bool) -> object:
    statements = json.dumps(parse_text(f"from r | {text}"))
    if not own:
        built_in = built_ins.declarations(statements)
        assert built_in is not None
        statements = f"[{built_in}, {statements[1:]}"
    try:
        return json.loads(prqlc.pl_to_rq(f'{{"name": "Project", "stmts": {statements}}}'))
    except ValueError as error:
        return [e["reason"] for e in json.loads(str(error))["inner"]]


@pytest.mark.parametrize("text", TRANSFORMS)
def test_a_query_means_the_same_as_over_the_library_of_prqlc(text: str) -> None:
    assert resolved(text, own=False) == resolved(text, own=True)


@pytest.mark.parametrize("text", OWN)
def test_what_is_not_declared_is_left_to_prqlc(text: str) -> None:
    assert built_ins.declarations(json.dumps(parse_text(f"from r | {text}"))) is None


def test_the_declarations_are_those_of_the_installed_release() -> None:
    assert prqlc.__version__ in built_ins.VERSIONS, "compare them with its std.prql, then add the release"

"""Queries with their answers, computed by hand: what PRQL means, whatever the engine below makes of SQL."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.frontend.prql.queries import rows_of

D = dt.date
Rows = list[tuple[object, ...]]

IN_ORDER: list[tuple[str, Rows]] = [
    # arithmetic
    ("select {x = pieces / 2} | take 3", [(3.5,), (-3.5,), (1.5,)]),
    ("select {x = pieces // 2}", [(3,), (-3,), (1,), (5,), (0,)]),
    ("select {x = amount // 2}", [(4.0,), (-1.0,), (10.0,), (None,), (0.0,)]),
    ("select {x = pieces // 2 * 2 + 1}", [(7,), (-5,), (3,), (11,), (1,)]),
    ("select {x = pieces % 4}", [(3,), (-3,), (3,), (2,), (0,)]),
    ("select {x = 2 + 3 * 4 - 1} | take 1", [(13,)]),
    ("select {x = (2 + 3) * (4 - 1)} | take 1", [(15,)]),
    ("select {x = 10 - (3 - 2)} | take 1", [(9,)]),
    ("select {x = 12 / (3 / 2)} | take 1", [(8.0,)]),
    ("select {x = -pieces} | take 2", [(-7,), (7,)]),
    ("select {x = 2 ** 3 ** 2} | take 1", [(512.0,)]),
    ("derive {x = pieces + 1} | derive {y = x * 2} | select {y} | take 2", [(16,), (-12,)]),
    ("select {x = 7 // 2 / 2} | take 1", [(1.5,)]),
    # null
    ("filter note == null | select {id}", [(3,)]),
    ("filter note != null | select {id}", [(1,), (2,), (4,), (5,)]),
    ("filter null == user_id | select {id}", [(5,)]),
    ("filter amount > 0 | select {id}", [(1,), (3,)]),
    ("filter !(amount > 0) | select {id}", [(2,), (5,)]),
    ("select {x = amount ?? 1.5} | take 4", [(9.5,), (-2.5,), (20.0,), (1.5,)]),
    ("select {x = amount + 1} | take 3..4", [(21.0,), (None,)]),
    ("filter paid | select {id}", [(1,), (4,)]),
    ("filter !paid | select {id}", [(2,), (5,)]),
    ("filter paid == null || pieces == 0 | select {id}", [(3,), (5,)]),
    ("filter pieces > 0 && paid || id == 2 | select {id}", [(1,), (2,), (4,)]),
    # take and sort
    ("take 2 | select id", [(1,), (2,)]),
    ("take 2..3 | select id", [(2,), (3,)]),
    ("take 4.. | select id", [(4,), (5,)]),
    ("take ..1 | select id", [(1,)]),
    ("sort {-pieces} | select id", [(4,), (1,), (3,), (5,), (2,)]),
    ("sort {paid, -id} | select id", [(5,), (2,), (4,), (1,), (3,)]),
    ("sort {-pieces} | take 2 | sort {id} | select id", [(1,), (4,)]),
    ("sort {pieces * pieces, id} | take 3 | select id", [(5,), (3,), (1,)]),
    ("sort {-id} | filter pieces > 0 | take 2 | select {id}", [(4,), (3,)]),
    ("sort {-id} | derive {id = id + 1} | select {id} | take 2", [(6,), (5,)]),
    # text
    ('filter note ~= "^gift" | select id', [(1,), (5,)]),
    ('select {x = f"{id}:{note}"} | take 2', [("1:gift",), ("2:Rush 100%",)]),
    ("select {x = text.upper note} | take 1", [("GIFT",)]),
    ("select {x = (note | text.lower)} | take 2..2", [("rush 100%",)]),
    ("select {x = text.length note} | take 3", [(4,), (9,), (None,)]),
    ("select {x = text.extract 2 3 note} | take 1", [("ift",)]),
    ('select {x = text.replace "gift" "box" note} | take 5..5', [("box wrap",)]),
    ('filter (text.starts_with "gi" note) | select id', [(1,), (5,)]),
    ('filter (text.contains "0%" note) | select id', [(2,)]),
    ('filter (text.contains "%" note) | select id', [(2,)]),
    ('filter (text.ends_with "_b" note) | select id', [(4,)]),
    ("select {x = text.trim '  a '} | take 1", [("a",)]),
    ('select {x = "it\'s"} | take 1', [("it's",)]),
    # math
    ("select {x = math.round 0 2.5, y = math.round 1 amount} | take 1", [(3.0, 9.5)]),
    ("select {x = math.floor amount, y = math.ceil amount} | take 2", [(9, 10), (-3, -2)]),
    ("select {x = math.abs pieces} | take 2", [(7,), (7,)]),
    ("select {x = math.pow 2 pieces} | take 1", [(49.0,)]),
    ("select {x = math.log 2 8, y = math.sqrt 9} | take 1", [(3.0, 3.0)]),
    # dates
    ("filter day > @2024-01-10 | select id", [(1,), (3,), (4,)]),
    ("select {x = day + 1days} | take 1", [(D(2024, 2, 1),)]),
    ("select {x = day + 1months} | take 1", [(D(2024, 2, 29),)]),
    ("select {x = date.diff day day @2024-02-02} | take 2", [(2,), (32,)]),
    ("select {x = date.diff month day @2024-03-01} | take 1", [(2,)]),
    ("select {x = date.diff year day @2023-12-31} | take 1", [(-1,)]),
    ("select {x = date.diff week @2024-01-07 @2024-01-08} | take 1", [(1,)]),
    ("select {x = date.diff hour at @2024-02-01T01:30:00} | take 1", [(2,)]),
    ("filter at > @2024-01-15T12:30:00 | select id", [(1,), (4,)]),
    ('select {x = date.to_text "%Y/%m" day} | take 1', [("2024/01",)]),
    ('select {x = (date.trunc "month" at | as date)} | take 1', [(D(2024, 1, 1),)]),
    ('filter day == ("2024-01-02" | as date) | select id', [(5,)]),
    ("select {y = date.year day, m = date.month day, d = (day | date.day)} | take 1", [(2024, 1, 31)]),
    ("select {q = date.quarter day, n = date.day_of_year day} | take 1", [(1, 31)]),
    ("select {x = date.week @2021-01-03, y = date.weekday @2021-01-03} | take 1", [(53, 7)]),
    ("select {h = date.hour at, m = date.minute at} | take 1", [(23, 0)]),
    ("select {x = date.second @1969-12-31T23:59:58.9} | take 1", [(58,)]),
    ("group {m = date.month day} (aggregate {n = count this})", [(1, 5)]),
    ("let half = d -> (date.month d) // 7 + 1\nfrom input\nselect {x = half day}\ntake 1", [(1,)]),
    ("derive {date = day} | select {x = date.year date} | take 1", [(2024,)]),
    # case, in, as
    (
        'select {x = case [pieces > 5 => "many", pieces < 0 => "less", true => "few"]}',
        [("many",), ("less",), ("few",), ("many",), ("few",)],
    ),
    ("select {x = case [pieces > 5 => 1]} | take 2", [(1,), (None,)]),
    ("select {x = case [true => pieces]} | take 1", [(7,)]),
    ("filter (pieces | in 0..7) | select id", [(1,), (3,), (5,)]),
    ("filter (pieces | in [3, 10]) | select id", [(3,), (4,)]),
    ('filter (note | in ["gift"]) | select id', [(1,)]),
    ("select {x = (amount | as int), y = (pieces | as text)} | take 2", [(9, "7"), (-2, "-7")]),
    # aggregates
    (
        "aggregate {n = count this, s = sum pieces, a = average pieces, lo = min amount, hi = max note}",
        [(5, 13, 2.6, -2.5, "gift wrap")],
    ),
    ("aggregate {d = count_distinct user_id, any_paid = any paid, all_paid = all paid}", [(3, True, False)]),
    ("filter id > 9 | aggregate {s = sum pieces, n = count this, m = max pieces}", [(0, 0, None)]),
    ("aggregate {x = (sum pieces) / (count this)}", [(2.6,)]),
    (
        "group user_id (aggregate {s = sum pieces}) | sort user_id",
        [(10, 10), (20, -7), (30, 10), (None, 0)],
    ),
    ("group user_id (aggregate {n = count this} | filter n > 1)", [(10, 2)]),
    ("group {positive = pieces > 0} (aggregate {n = count this}) | sort n", [(False, 2), (True, 3)]),
    ("filter pieces > 0 | group user_id (sort {-pieces} | take 1) | sort id | select id", [(1,), (4,)]),
    ("select {paid} | group paid (take 1) | sort paid", [(False,), (True,), (None,)]),
    ("sort {-pieces} | take 3 | group user_id (aggregate {n = count this}) | sort {-n}", [(10, 2), (30, 1)]),
    ("sort {-pieces, id} | take 3 | group paid (aggregate {s = sum id}) | sort paid", [(True, 5), (None, 3)]),
    (
        "group user_id (aggregate {s = sum pieces}) | sort {-s, user_id} | take 3\n"
        "derive {big = s > 5} | group big (aggregate {n = count this}) | sort n",
        [(False, 1), (True, 2)],
    ),
    ("aggregate {concat_array note}", [("giftRush 100%a_bgift wrap",)]),
    # windows
    ("sort id | derive {x = lag 1 id, y = lead 1 id} | select {x, y} | take 2", [(None, 2), (1, 3)]),
    (
        "sort id | window rolling:2 (derive {x = sum pieces}) | select x",
        [(7,), (0,), (-4,), (13,), (10,)],
    ),
    (
        "sort id | window expanding:true (derive {x = sum pieces}) | select x",
        [(7,), (0,), (3,), (13,), (13,)],
    ),
    ("derive {x = sum pieces} | select {x} | take 1", [(13,)]),
    (
        "group user_id (sort id | derive {x = row_number this}) | sort id | select x",
        [(1,), (1,), (2,), (1,), (1,)],
    ),
    (
        "group user_id (sort id | derive {x = last id, y = first id}) | sort id | select {x, y} | take 1",
        [(3, 1)],
    ),
    ("sort pieces | derive {x = rank pieces} | select x", [(1,), (2,), (3,), (4,), (5,)]),
    ("derive {x = id - (min id)} | select x | sort x", [(0,), (1,), (2,), (3,), (4,)]),
    ("derive {x = first id, y = last id} | select {x, y} | take 1", [(1, 5)]),
    ("derive {t = sum pieces} | filter pieces * 2 > t | select id", [(1,), (4,)]),
    ("group {kind = 2} (aggregate {n = count this})", [(2, 5)]),
    ("filter pieces > (average pieces) | select id | sort id", [(1,), (3,), (4,)]),
    # joins
    (
        "join users (==user_id) | select {id, users.note} | sort id",
        [(1, "regular"), (2, "new"), (3, "regular")],
    ),
    (
        "join side:left users (==user_id) | select {id, user_id, users.Country} | sort id",
        [(1, 10, "GB"), (2, 20, "US"), (3, 10, "GB"), (4, 30, None), (5, None, None)],
    ),
    (
        "join side:right users (==user_id) | select {id, user_id} | sort {user_id, id}",
        [(1, 10), (3, 10), (2, 20), (None, 40)],
    ),
    (
        "join side:full users (==user_id) | select {id, user_id} | sort {user_id, id}",
        [(1, 10), (3, 10), (2, 20), (4, 30), (None, 40), (5, None)],
    ),
    ("join side:left users (==user_id) | filter users.user_id == null | select id | sort id", [(4,), (5,)]),
    (
        "join users (==user_id) | join v=users (==user_id) | select {id, v.Country} | sort id | take 2",
        [(1, "GB"), (2, "US")],
    ),
    ('join users (this.user_id == that.user_id && that.note == "new") | select id', [(2,)]),
    (
        "select {id, user_id} | join other=orders (==user_id && ==id) | select {id, other.pieces} | sort id",
        [(1, 7), (2, -7), (3, 3), (4, 10)],
    ),
    # sets
    ("select user_id | append (from users | select user_id) | aggregate {n = count this}", [(8,)]),
    (
        "filter user_id != null | select user_id | remove (from users | select user_id) | sort user_id",
        [(30,)],
    ),
    (
        "select user_id | group user_id (take 1) | intersect (from users | select user_id) | sort user_id",
        [(10,), (20,)],
    ),
    (
        "select {id, user_id} | take 1 | append by:name (from users | select {Country, user_id} | take 1)"
        " | sort id",
        [(1, 10, None), (None, 10, "GB")],
    ),
    # functions, local relations, names
    ("let twice = x -> x * 2\nfrom input\nselect {x = twice (pieces + 1)}\ntake 1", [(16,)]),
    ("let more = id by:1 -> id + by\nfrom input\nselect {x = (id | more by:5)}\ntake 1", [(6,)]),
    ("let id = amount -> amount * 2\nfrom input\nselect {x = id pieces}\ntake 1", [(14,)]),
    ("let big = (from orders | filter pieces > 5)\nfrom big\nselect id", [(1,), (4,)]),
    ("derive {pieces = pieces + 1} | select {pieces} | take 1", [(8,)]),
    ("derive {this_id = this.id} | select {this_id} | take 1", [(1,)]),
    ("select !{amount, pieces, note, paid, day, at} | take 1", [(1, 10)]),
    ("select {Big = id, `with space` = pieces} | filter Big == 1 && `with space` == 7", [(1, 7)]),
    ("from odd | select {`select`, `Mixed Case`, `größe`}", [(1, "x", 1.5), (2, "y", 2.5)]),
    ('from odd | filter `größe` > 2 | select {`quo"te`, x = "größe – 漢"}', [(False, "größe – 漢")]),
    ("from odd | sort {-`Mixed Case`} | select {`Mixed Case`}", [("y",), ("x",)]),
    (
        "derive {count = id, date = day, min = pieces} | filter count == 2 | select {count, date, min}",
        [(2, D(2024, 1, 1), -7)],
    ),
    ("derive {sum = pieces, rank = id} | aggregate {s = sum sum, r = max rank}", [(13, 5)]),
    ("from orders | aggregate {orders = count this, total = sum orders.pieces}", [(5, 13)]),
    ("derive {text = note} | filter text == 'gift' | select {l = text.upper text, text}", [("GIFT", "gift")]),
    ("filter true | select {x = null, y = id} | take 1", [(None, 1)]),
    ("from input\n# a comment (\nfilter id == 1 # another\nselect id", [(1,)]),
    (
        "select {k = id} | take 2 | loop (filter k < 3 | select {k = k + 1}) | sort k",
        [(1,), (2,), (2,), (3,), (3,)],
    ),
    # forms that the normaliser knows
    ("from input filter id > 3 select id, pieces", [(4, 10), (5, 0)]),
    ("filter id = 2 or paid and pieces > 8 select id", [(2,), (4,)]),
    ("filter note is not null and pieces <> 7 select id", [(2,), (4,), (5,)]),
    ('select x = concat(id, "-", pieces + 1) take 1', [("1-8",)]),
    (
        "join users where input.user_id = users.user_id and id > 1 select id, Country sort id",
        [(2, "US"), (3, "GB")],
    ),
    ("sort pieces desc take 1 select id", [(4,)]),
    ("group by user_id, paid (aggregate n = count this) sort n desc take 1 select n", [(1,)]),
    ("join users using user_id select id, user_id sort id", [(1, 10), (2, 20), (3, 10)]),
]


@pytest.mark.parametrize(("text", "expected"), IN_ORDER, ids=[text[:60] for text, _ in IN_ORDER])
def test_answer(text: str, expected: Rows) -> None:
    assert rows_of(text) == expected


def test_sort_puts_nulls_last_and_first_when_it_descends() -> None:
    assert rows_of("sort amount | select id")[-1] == (4,)
    assert rows_of("sort {-amount} | select id")[0] == (4,)

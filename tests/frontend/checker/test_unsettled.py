"""A path that is a parameter without a value: no other finding follows from it."""

from __future__ import annotations

from tests.frontend.checker.checked import check

JOINED = """
step a = io.parquet { path: "@a" }

step users = io.csv { path: "data/users.csv" }

workflow W {
  (from a | join b=users (x == id) | select { x, y })
    > joined

  (from joined | join users (y == name) | derive { z = x })
    | io.print
}
"""


def codes(text: str, **params: str) -> set[str]:
    return {d.code for d in check(text, params=params).diagnostics}


def test_a_join_with_an_unbound_path_is_only_told_about_the_value() -> None:
    assert codes(JOINED) == {"HD0406", "HD0804"}


def test_a_join_of_rows_that_stay_unknown_must_say_which_side() -> None:
    text = """import "./steps" steps

workflow W {
  (from W2.a | join b=W2.b (x == id) | select { x, y })
    > joined
}

workflow W2 {
  [{ id: 1 }]
    | steps.same
    > a

  [{ id: 1 }]
    | steps.same
    > b
}
"""
    assert "HD0603" in codes(text)


def test_other_mistakes_are_told_all_the_same() -> None:
    wrong = JOINED.replace("derive { z = x }", "derive { z = text.lowr x }")
    assert "HD0607" in codes(wrong.replace("join users (y == name) | ", ""))

"""Parameters in statements: what is one, and what is put in its place."""

from __future__ import annotations

import pytest

from heddle.core.statements import parameter_names, with_placeholders


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT 1", ()),
        ("SELECT @a, @b, @a", ("a", "b")),
        ("WHERE id=@id AND t::date < @day::date", ("id", "day")),
        ("WHERE e = 'x@y.z' AND f = '@no' AND g = 'it''s @no'", ()),
        ('SELECT "@no", `@no`, $$ @no $$ -- @no\n/* @no */ + @yes', ("yes",)),
        ("SELECT @@version, me@home", ()),
        ("SELECT 'open @no", ("no",)),
    ],
)
def test_names_in_a_statement(text: str, names: tuple[str, ...]) -> None:
    assert parameter_names(text) == names


def test_placeholders_stand_where_the_parameters_stood() -> None:
    text = "SELECT '@no' WHERE a = @a AND b = ANY(@b) AND c = @a -- @no"
    shown = "SELECT '@no' WHERE a = $a AND b = ANY($b) AND c = $a -- @no"
    assert with_placeholders(text, lambda name: f"${name}") == shown

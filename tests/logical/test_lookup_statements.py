"""Statements of lookups cut down, and those that are left alone."""

from __future__ import annotations

import pytest

from heddle.logical.lookup_statements import narrowed, without_values

COLUMNS = ("user_id", "country", "name")


@pytest.mark.parametrize(
    ("statement", "wanted", "expected"),
    [
        (
            "SELECT id AS user_id, country, name FROM users WHERE id = @user_id",
            {"user_id", "country"},
            "SELECT id AS user_id, country FROM users WHERE id = @user_id",
        ),
        (
            "SELECT u.id AS user_id, u.country, upper(u.name) AS name FROM users u WHERE u.id = @id LIMIT 1",
            {"user_id"},
            "SELECT u.id AS user_id, upper(u.name) AS name FROM users u WHERE u.id = @id LIMIT 1",
        ),
        ("select * from users where id = @user_id", {"name"}, 'select "name" from users where id = @user_id'),
        ("SELECT user_id, country, name FROM users WHERE user_id = @id", set(), "SELECT user_id FROM users"),
        ("SELECT id user_id, country, name FROM users", {"country"}, "SELECT id user_id, country FROM users"),
        ("SELECT * FROM users JOIN teams USING (id) WHERE id = @id", {"name"}, None),
        ("SELECT DISTINCT user_id, country, name FROM users WHERE user_id = @id", {"name"}, None),
        ("SELECT user_id, country, name FROM users WHERE user_id = @id ORDER BY country", {"name"}, None),
        ("SELECT user_id, country, name FROM users UNION SELECT 1, 'a', 'b'", {"name"}, None),
        ("WITH u AS (SELECT 1) SELECT user_id, country, name FROM u", {"name"}, None),
        ("SELECT user_id, country, name, more FROM users", {"name"}, None),
        ("VALUES (1, 2, 3)", {"name"}, None),
        ("SELECT 'unterminated FROM users", {"name"}, None),
    ],
)
def test_only_columns_that_are_read(statement: str, wanted: set[str], expected: str | None) -> None:
    found = narrowed(statement, "postgres", COLUMNS, wanted)
    assert (found and found[0].startswith(expected)) if expected else found is None


def test_a_name_that_is_spoken_of_stays() -> None:
    """ClickHouse lets conditions speak of the names that a SELECT gives."""
    text = "SELECT id AS user_id, land AS country, name FROM users WHERE country = 'DE' AND id = @user_id"
    assert narrowed(text, "clickhouse", COLUMNS, {"user_id"}) == (
        "SELECT id AS user_id, land AS country FROM users WHERE country = 'DE' AND id = @user_id",
        ("user_id", "country"),
    )


@pytest.mark.parametrize(
    ("statement", "values", "expected"),
    [
        (
            "SELECT id AS user_id, country, name FROM users WHERE id = @user_id",
            {"user_id"},
            ("SELECT id AS user_id, country, name FROM users WHERE 1 = 1", {"user_id": "user_id"}),
        ),
        (
            "SELECT u.id AS user_id, u.country, name FROM users u WHERE @c = u.country AND u.a AND u.id = @i",
            {"i", "c"},
            (
                "SELECT u.id AS user_id, u.country, name FROM users u WHERE 1 = 1 AND u.a AND 1 = 1",
                {"i": "user_id", "c": "country"},
            ),
        ),
        (
            "SELECT id AS user_id, country, name FROM users WHERE id = @user_id AND born > @since",
            {"user_id"},
            (
                "SELECT id AS user_id, country, name FROM users WHERE 1 = 1 AND born > @since",
                {"user_id": "user_id"},
            ),
        ),
        ("SELECT id AS user_id, country, name FROM users WHERE id >= @user_id", {"user_id"}, None),
        ("SELECT id AS user_id, country, name FROM users WHERE id = @user_id OR admin", {"user_id"}, None),
        ("SELECT id AS user_id, country, name FROM users WHERE NOT id = @user_id", {"user_id"}, None),
        ("SELECT id AS user_id, country, name FROM users WHERE (id = @user_id)", {"user_id"}, None),
        ("SELECT id AS user_id, country, name FROM users WHERE id = @user_id LIMIT 1", {"user_id"}, None),
        ("SELECT max(id) AS user_id, country, name FROM users WHERE id = @user_id", {"user_id"}, None),
        ("SELECT own AS user_id, country, name FROM users WHERE id = @user_id", {"user_id"}, None),
        ("SELECT id AS user_id, country, @user_id AS name FROM users WHERE id = @user_id", {"user_id"}, None),
        ("SELECT id AS user_id, country, name FROM users WHERE id = @user_id + 1", {"user_id"}, None),
        ("SELECT id AS user_id, country, name FROM f(@user_id) WHERE id = @user_id", {"user_id"}, None),
    ],
)
def test_the_statement_for_all_values(
    statement: str, values: set[str], expected: tuple[str, dict[str, str]] | None
) -> None:
    assert without_values(statement, "postgres", COLUMNS, values) == expected

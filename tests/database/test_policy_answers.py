"""Row filters and masks under whatever a client asks: what is hidden has no effect that can be seen.

Two databases differ only in what a policy hides from the viewer: hidden rows, and the hidden parts of masked
values. Every statement must end the same in both: the same rows, or the same error with the same words. The
hidden values are markers that stand nowhere else, so that they can also be looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heddle.core.refresh_policy import RefreshPolicy
from heddle.database.database import Database
from heddle.database.errors import QueryError
from heddle.database.model import LOCAL, Viewer
from heddle.database.policy import Policy
from heddle.serve_settings import PolicySettings, Role, ServeSettings

PROGRAM = """\
workflow W {
  io.parquet { path: "people.parquet" }
    > people

  [
    { person: 1, animal: "cat", legs: 4 }
    { person: 2, animal: "hen", legs: 2 }
    { person: 5, animal: "cat", legs: 3 }
    { person: 9, animal: "dog", legs: 4 }
  ]
    > pets

  io.parquet { path: "people.parquet" }
    > secrets
}
"""
VIEWER = Viewer("north", ("analyst",))
POLICY = Policy(
    ServeSettings(
        roles={"analyst": Role("analyst", sees=("W.people", "W.pets"), writes=("scratch.*",))},
        policies=(
            PolicySettings(
                "people",
                ("W.people",),
                "region = current_user",
                {"card": "last4", "email": "null", "mood": "initial", "pay": "pay - pay % 1000"},
            ),
        ),
    )
)
MARKER = re.compile(r"marker|7777|6666", re.IGNORECASE)


@dataclass(frozen=True)
class Hidden:
    """What the two databases do not have in common."""

    names: tuple[str, ...]
    ids: tuple[int, ...]
    pay: int
    word: str
    digits: str


ONE = Hidden(("Marker-a", "12", "Marker-b"), (7777001, 2, 7777003), 101, "marker-one", "77770000")
OTHER = Hidden(("66660", "Marker-c"), (6666001, 6666002), 902, "marker-two", "66660000")
NONE = Hidden((), (), 500, "marker-three", "66667777")


def people(hidden: Hidden) -> pa.Table:
    """Three rows of the north, which the viewer sees, between those of the south, which are hidden."""
    ids = [1, 2, 4]
    south = len(hidden.ids)
    return pa.table(
        {
            "id": pa.array([*hidden.ids[:1], *ids, *hidden.ids[1:]], pa.int64()),
            "name": [*hidden.names[:1], "Ada", "Bob", "17", *hidden.names[1:]],
            "region": [*["south"][:south], *["north"] * 3, *["south"] * max(0, south - 1)],
            "card": [*["7777000099991234"][:south], *[f"{hidden.digits}4321{i}234" for i in ids]]
            + ["x"] * max(0, south - 1),
            "email": [*["marker@x.y"][:south], *[f"{hidden.word}{i}@x.y" for i in ids]]
            + [None] * max(0, south - 1),
            "mood": [*["Marker"][:south], f"g{hidden.word}", None, f"b{hidden.word}"]
            + ["Z"] * max(0, south - 1),
            "pay": pa.array(
                [*[7777001][:south], 3000 + hidden.pay, 5000 + hidden.pay, hidden.pay]
                + [0] * max(0, south - 1),
                pa.int64(),
            ),
        }
    )


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, ...]]:
    """Views: rows are computed for each query."""
    yield from _databases(tmp_path_factory, {})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, ...]]:
    """Materialized outputs: rows are kept."""
    yield from _databases(tmp_path_factory, {"W.people": RefreshPolicy("on start")})


def _databases(
    tmp_path_factory: pytest.TempPathFactory, materialize: Mapping[str, RefreshPolicy]
) -> Iterator[tuple[Database, ...]]:
    opened: list[Database] = []
    try:
        for number, hidden in enumerate((ONE, OTHER, NONE)):
            folder = tmp_path_factory.mktemp(f"hidden{number}")
            pq.write_table(people(hidden), folder / "people.parquet", row_group_size=2)
            (folder / "program.he").write_text(PROGRAM)
            path = folder / "program.he"
            opened.append(Database.open([path], policy=POLICY, materialize=materialize))
        yield tuple(opened)
    finally:
        for database in opened:
            database.close()


def outcome(
    database: Database, text: str, values: tuple[object, ...] = (), viewer: Viewer = VIEWER
) -> object:
    """How a statement ends: its columns and rows, or its error."""
    try:
        answer = database.prepare(text, viewer).run(values)
        rows = [row for batch in answer.batches() for row in batch.to_pylist()]
    except QueryError as error:
        return error.kind, error.message, error.help
    return str(answer.schema), sorted(map(repr, rows))


def check(databases: tuple[Database, ...], text: str, values: tuple[object, ...] = ()) -> object:
    """The outcome, which is the same everywhere and shows no marker."""
    first, *others = (outcome(database, text, values) for database in databases)
    assert others == [first] * len(others), text
    asked = {found.lower() for found in MARKER.findall(text)}
    assert not {found.lower() for found in MARKER.findall(repr(first))} - asked, text
    return first


SAID: list[tuple[str, tuple[object, ...]]] = [
    ("SELECT * FROM people", ()),
    ("SELECT * FROM W.people p JOIN pets ON p.id = pets.person", ()),
    ("SELECT count(*), sum(id), min(name), max(card), count(DISTINCT region) FROM people", ()),
    ("SELECT name FROM people WHERE region = 'south' OR 1 = 1", ()),
    ("SELECT * FROM (SELECT * FROM people UNION ALL SELECT * FROM people) WHERE region <> 'north'", ()),
    ("WITH t AS (SELECT * FROM people) SELECT a.name, b.name FROM t a, t b WHERE a.id < b.id", ()),
    ("SELECT animal FROM pets WHERE person IN (SELECT id FROM people)", ()),
    ("SELECT animal, (SELECT max(name) FROM people WHERE id >= person) AS n FROM pets", ()),
    ("SELECT animal FROM pets WHERE EXISTS (SELECT 1 FROM people WHERE region = 'south')", ()),
    ("SELECT name, row_number() OVER (ORDER BY id), lag(name) OVER (ORDER BY id) FROM people", ()),
    ("SELECT * FROM people WHERE name = $1 OR id > $2", ("Marker-a", 7_000_000)),
    ("SELECT sum(id) FROM people WHERE card LIKE ?", ("7777%",)),
    # What fails on a hidden value only.
    ("SELECT id FROM people WHERE 1 / (id - 7777001) < 5", ()),
    ("SELECT id FROM people WHERE 1 / (id - 6666002) < 5", ()),
    ("SELECT CAST(substr(name, 1, 7) AS BIGINT) FROM people WHERE region = 'south'", ()),
    ("SELECT id FROM people WHERE CAST(name AS BIGINT) = 17 AND region = 'north' AND id = 4", ()),
    ("SELECT id, CASE WHEN region = 'south' THEN 1 / (id - id) ELSE 0 END AS x FROM people", ()),
    ("SELECT id FROM people WHERE 1 / (CASE WHEN region = 'south' THEN 0 ELSE 1 END) = 1", ()),
    ("SELECT p.id FROM people p JOIN pets ON 1 / (p.id - 7777001) < 1 AND p.id = pets.person", ()),
    ("SELECT sum(id) FROM people HAVING 1 / (max(id) - 7777003) < 1", ()),
    ("SELECT id FROM people WHERE 10 / (pay - 101) <> 7", ()),
    ("SELECT id FROM people ORDER BY 1 / (id - 7777001)", ()),
    ("SELECT id FROM people WHERE 1 / coalesce(id - id, 0) = 1", ()),
    # What names the rows below the policy by the words that plans have for them.
    ("SELECT * FROM people, r0", ()),
    ("SELECT * FROM people, 'r0'", ()),
    ("SELECT * FROM people, table_0", ()),
    ('WITH "null" AS (SELECT * FROM people) SELECT * FROM people, ?', ("r0",)),
    ('WITH "null" AS (SELECT * FROM people) SELECT * FROM "null", $1', ("r0",)),
    ("WITH r0 AS (SELECT 1 AS id) SELECT * FROM people, r0", ()),
    ("WITH ? AS (SELECT 1) SELECT * FROM people", ("r0",)),
    ("SELECT * FROM people, W.?", ("secrets",)),
    ("SELECT * FROM people AS r0", ()),
    ("SELECT * FROM people WHERE id IN (TABLE r0)", ()),
    ("SELECT id /* /* */ , name FROM r0 */ FROM people", ()),
    ("SELECT E'\\' || name FROM r0 -- ' FROM people", ()),
    ("SELECT $$ ' || name FROM r0 -- ' $$ FROM people", ()),
    ("SELECT {# '} #} id FROM people", ()),
    ("SELECT * FROM people, 'people.parquet'", ()),
    ("SELECT * FROM people, read_parquet('people.parquet')", ()),
    ("EXPLAIN SELECT * FROM people", ()),
    ("EXPLAIN ANALYZE SELECT * FROM people", ()),
    ("SELECT * FROM secrets", ()),
    ("SELECT * FROM W.secrets JOIN people USING (id)", ()),
    ("SELECT nothing FROM people", ()),
    ("SELECT * FROM pepole", ()),
    ("SELECT * FROM system.columns", ()),
    ("SELECT * FROM information_schema.columns", ()),
    ("SELECT * FROM system.policies", ()),
]


@pytest.mark.parametrize(("text", "values"), SAID, ids=[text for text, _ in SAID])
def test_what_is_hidden_changes_nothing(
    databases: tuple[Database, ...], text: str, values: tuple[object, ...]
) -> None:
    check(databases, text, values)


@pytest.mark.parametrize(("text", "values"), SAID, ids=[text for text, _ in SAID])
def test_what_is_hidden_of_kept_rows_changes_nothing(
    kept: tuple[Database, ...], text: str, values: tuple[object, ...]
) -> None:
    check(kept, text, values)


def test_how_many_rows_are_kept_is_not_told(kept: tuple[Database, ...]) -> None:
    text = "SELECT output, refresh_state, rows FROM system.outputs WHERE output = 'people'"
    assert check(kept, "SELECT count(*) AS n FROM people") == ("n: int64", ["{'n': 3}"])
    shown = check(kept, text)
    assert "'rows': None" in repr(shown)
    assert "'rows': 6" in repr(outcome(kept[0], text, viewer=LOCAL))
    sizes = "SELECT rows, size_bytes FROM system.tables WHERE \"table\" = 'people'"
    assert "'size_bytes': None" in repr(check(kept, sizes))


def test_the_viewer_sees_the_rest(databases: tuple[Database, ...]) -> None:
    """Else the tests above would hold for a server that shows nothing."""
    found = check(databases, "SELECT id, name, region, card, email, mood, pay FROM people ORDER BY id")
    assert isinstance(found, tuple)
    assert found[1] == [
        repr(dict(zip(("id", "name", "region", "card", "email", "mood", "pay"), row, strict=True)))
        for row in (
            (1, "Ada", "north", "****1234", None, "g***", 3000),
            (2, "Bob", "north", "****2234", None, None, 5000),
            (4, "17", "north", "****4234", None, "b***", 0),
        )
    ]
    assert check(databases, "SELECT count(*) AS n FROM people") == ("n: int64", ["{'n': 3}"])
    assert check(databases, "SELECT sum(id) AS n FROM people WHERE id = ?", (2,)) == (
        "n: int64",
        ["{'n': 2}"],
    )


def test_an_admin_sees_all(databases: tuple[Database, ...]) -> None:
    """Else the markers would be nowhere."""
    found = repr([outcome(database, "SELECT * FROM people", viewer=LOCAL) for database in databases])
    assert {match.lower() for match in MARKER.findall(found)} == {"marker", "7777", "6666"}
    assert "restricted" not in repr(outcome(databases[0], "EXPLAIN SELECT * FROM people", viewer=LOCAL))


def test_what_is_copied_is_what_is_seen(databases: tuple[Database, ...]) -> None:
    for database in databases:
        outcome(database, "CREATE TABLE scratch.copied AS SELECT * FROM people")
    assert check(databases, "SELECT count(*) AS n FROM scratch.copied") == ("n: int64", ["{'n': 3}"])
    for database in databases:
        outcome(database, "DROP TABLE scratch.copied")


COLUMNS = ("id", "name", "region", "card", "email", "mood", "pay")
NUMBERS = st.sampled_from(
    ["id", "pay", "length(name)", "1", "0", "3000", "7777001", "101", "6666002", "pets.legs"]
)
TEXTS = st.sampled_from(["name", "region", "card", "email", "mood", "'south'", "'Marker-a'", "'17'", "'x'"])
number = st.deferred(
    lambda: (
        NUMBERS
        | st.builds("({} {} {})".format, number, st.sampled_from(["+", "-", "*", "/", "%"]), number)
        | st.builds("CAST({} AS BIGINT)".format, text)
        | st.builds("coalesce({}, {})".format, number, number)
        | st.builds("CASE WHEN {} THEN {} ELSE {} END".format, condition, number, number)
    )
)
text = st.deferred(
    lambda: (
        TEXTS
        | st.builds("upper({})".format, text)
        | st.builds("concat({}, {})".format, text, text)
        | st.builds("coalesce({}, {})".format, text, text)
        | st.builds("CASE WHEN {} THEN {} END".format, condition, text)
    )
)
condition = st.deferred(
    lambda: (
        st.builds("{} {} {}".format, number, st.sampled_from(["<", "=", ">", "<>"]), number)
        | st.builds("{} {} {}".format, text, st.sampled_from(["<", "=", "<>"]), text)
        | st.builds("{} LIKE {}".format, text, st.sampled_from(["'Mark%'", "'%7777%'", "'%'"]))
        | st.builds("{} IS NULL".format, text)
        | st.builds("({} AND {})".format, condition, condition)
        | st.builds("({} OR {})".format, condition, condition)
        | st.builds("NOT ({})".format, condition)
        | st.builds("people.id IN (SELECT id FROM people WHERE {})".format, bare)
        | st.builds("EXISTS (SELECT 1 FROM people AS inside WHERE {})".format, bare)
        | st.just("people.id = ?")
    )
)
bare = st.sampled_from(
    ["region = 'south'", "1 / (id - 7777001) < 2", "CAST(name AS BIGINT) > 1", "pay > 101"]
)
FROM = st.sampled_from(
    [
        "people CROSS JOIN (SELECT 4 AS legs) AS pets",
        "people JOIN pets ON people.id = pets.person",
        "people LEFT JOIN pets ON people.id < pets.person",
        "pets RIGHT JOIN people ON people.id = pets.person",
        "(SELECT * FROM people WHERE region <> 'west') AS people CROSS JOIN (SELECT 2 AS legs) AS pets",
        "(SELECT * FROM people UNION ALL SELECT * FROM people) AS people, (SELECT 1 AS legs) AS pets",
    ]
)
statements = st.one_of(
    st.builds("SELECT {} AS x, {} AS y FROM {} WHERE {}".format, number, text, FROM, condition),
    st.builds("SELECT people.* FROM {} WHERE {} ORDER BY {}".format, FROM, condition, number),
    st.builds(
        "SELECT {} AS x, count(*) AS n, max({}) AS y FROM {} WHERE {} GROUP BY 1".format,
        text,
        number,
        FROM,
        condition,
    ),
    st.builds(
        "SELECT sum({}) AS x, count(DISTINCT {}) AS y FROM {} HAVING max({}) <> 0".format,
        number,
        text,
        FROM,
        number,
    ),
    st.builds(
        "SELECT x FROM (SELECT {} AS x, {} AS y FROM {}) WHERE y IS NOT NULL".format, number, text, FROM
    ),
    st.builds(
        "SELECT {} AS x, rank() OVER (PARTITION BY {} ORDER BY {}) AS r FROM {}".format,
        text,
        text,
        number,
        FROM,
    ),
    st.builds("EXPLAIN SELECT {} AS x FROM {}".format, text, FROM),
)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(statement=statements, value=st.sampled_from([1, 2, 7777001, 6666002]))
def test_what_is_hidden_changes_no_statement(
    databases: tuple[Database, ...], statement: str, value: int
) -> None:
    check(databases, statement, (value,) * statement.count("?"))


def test_what_a_refresh_failed_of_is_not_told(tmp_path: Path) -> None:
    """A value of a hidden row makes it fail."""
    (tmp_path / "program.he").write_text("""\
import "std/col" col

workflow W {
  [
    { id: 1, region: "north", name: "7" }
    { id: 2, region: "south", name: "Marker" }
  ]
    > raw

  raw
    | col.cast { name: "int" }
    > people
}
""")
    always = {"W.people": RefreshPolicy("on start")}
    own = Policy(ServeSettings(policies=(PolicySettings("own", ("W.people",), "region = current_user"),)))
    with Database.open([tmp_path / "program.he"], policy=own, materialize=always) as database:
        told = outcome(database, "SELECT * FROM people", viewer=LOCAL)
        assert MARKER.search(repr(told)), told
        hidden = outcome(database, "SELECT * FROM people")
        assert hidden == ("unavailable", "a restricted output cannot be had at the moment", None)
        assert outcome(database, "REFRESH TABLE W.people")[0] == "denied"  # type: ignore[index]

"""What is pushed into real databases, seen in their own logs, where values and types are awkward."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.errors import StageError
from tests.engine.databases import ClickHouseDatabase, Database, PostgresqlDatabase
from tests.engine.pushdown_programs import SCHEMA
from tests.engine.pushdown_runs import lay_out, run_program
from tests.services.clickhouse import ClickHouse
from tests.services.postgresql import Postgresql

NAN, INF = float("nan"), float("inf")
EVIL = (
    "'); DROP TABLE things; --",
    "it's",
    'a"b',
    "back\\slash",
    "\\'",
    "@k",
    "$$",
    "日本",
    "%",
    "🙂 ' \\ \"",
)


@pytest.fixture(scope="module")
def pg(postgresql: Postgresql) -> PostgresqlDatabase:
    return PostgresqlDatabase(postgresql)


@pytest.fixture(scope="module")
def ch(clickhouse: ClickHouse) -> Iterator[ClickHouseDatabase]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLICKHOUSE_PASSWORD", clickhouse.password)
        yield ClickHouseDatabase(clickhouse)


@pytest.fixture(params=["pg", "ch"])
def database(request: pytest.FixtureRequest) -> Database:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Database)
    return found


def things(**columns: list[object]) -> pa.Table:
    """Rows that have these columns and nulls in the others."""
    count = len(next(iter(columns.values())))
    given = {"id": list(range(count)), **columns}
    arrays = [pa.array(given.get(field.name, [None] * count), field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def of_things(database: Database, query: str) -> str:
    """The body of a workflow."""
    return f'  {database.source("table")} {{ table: "things" }}\n    | (from input | {query})'


def test_nan_is_the_largest_number(database: Database, tmp_path: Path) -> None:
    database.load("things", things(f=[0.0, 1.5, NAN, INF, -INF, None]))
    expected = {
        "f > 1.5": [2, 3],
        "f >= 1.5": [1, 2, 3],
        "f < 1.5": [0, 4],
        "f != 1.5": [0, 2, 3, 4],
        "!(f > 1.5)": [0, 1, 4],
        "1.5 < f": [2, 3],
    }
    bodies = {f"W{n}": of_things(database, f"filter {text}") for n, text in enumerate(expected)}
    ran = run_program(lay_out(database, bodies, tmp_path))
    found = [sorted(row["id"] for row in ran.rows(name)) for name in bodies]  # type: ignore[type-var]
    assert dict(zip(expected, found, strict=True)) == expected
    assert ran.pushed == len(expected)


def test_texts_stay_texts(database: Database, tmp_path: Path) -> None:
    database.load("things", things(t=[*EVIL, *(f"{text} " for text in EVIL), None]))
    quoted = ['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in EVIL]
    bodies = {
        f"W{number}": of_things(database, f"filter t == {text} | select {{ id, u = {text} }}")
        for number, text in enumerate(quoted)
    }
    ran = run_program(lay_out(database, bodies, tmp_path))
    assert [ran.rows(name) for name in bodies] == [[{"id": n, "u": text}] for n, text in enumerate(EVIL)]
    assert ran.pushed == len(EVIL)


def test_the_servers_log_has_the_statement(pg: PostgresqlDatabase, tmp_path: Path) -> None:
    pg.load("things", things(k=[1, 1, 2, None], amount=[1.0, 2.0, 4.0, 8.0]))
    query = "filter k != null | group k (aggregate { s = sum amount }) | sort k"
    path = lay_out(pg, {"W": of_things(pg, query)}, tmp_path)
    mark = pg.server.mark()
    assert run_program(path).rows("W") == [{"k": 1, "s": 3.0}, {"k": 2, "s": 4.0}]
    (pushed,) = _read(pg, mark)
    assert "GROUP BY" in pushed and "IS NOT NULL" in pushed and '"t"' not in pushed
    mark = pg.server.mark()
    assert run_program(path, pushdown=False).rows("W") == [{"k": 1, "s": 3.0}, {"k": 2, "s": 4.0}]
    (whole,) = _read(pg, mark)
    assert "GROUP BY" not in whole and "WHERE" not in whole


def _read(pg: PostgresqlDatabase, mark: int) -> list[str]:
    return [s.text for s in pg.server.statements(mark) if s.text.startswith("COPY") and "things" in s.text]


def test_parameters_of_the_workflow_are_bound(pg: PostgresqlDatabase, tmp_path: Path) -> None:
    pg.load("things", things(k=[1, 2, 3, 3], t=["a", "b", "b'; --", "b"]))
    source = pg.source('query { query: "SELECT * FROM things WHERE t = @kind -- that kind;" }')
    body = f"  {source}\n    | (from input | filter k > 1 | select {{ id, k }})"
    path = lay_out(pg, {"W": body}, tmp_path, header="(kind: string)")
    mark = pg.server.mark()
    ran = run_program(path, params={"kind": "b'; --"})
    assert ran.rows("W") == [{"id": 2, "k": 3}] and ran.pushed == 1
    assert not any("b'; --" in s.text for s in pg.server.statements(mark))


def test_texts_of_postgresql_are_compared_by_their_bytes(pg: PostgresqlDatabase, tmp_path: Path) -> None:
    """Whatever the column's own type and collation say."""
    pg.run(
        "DROP TABLE IF EXISTS words",
        "DROP TYPE IF EXISTS mood",
        "DROP COLLATION IF EXISTS loose",
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad')",
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE TABLE words (id bigint, loose text COLLATE loose, mood mood, code char(4), number uuid)",
        "INSERT INTO words VALUES (1, 'a', 'sad', 'x', '00000000-0000-0000-0000-00000000000a'), "
        "(2, 'A', 'ok', 'x y', NULL), (3, 'b', 'glad', NULL, NULL), (4, 'a', 'glad', 'x', NULL)",
    )
    queries = (
        'filter loose == "a" | select { id }',
        'filter loose == "a" | aggregate { n = count this }',
        'filter (loose | in ["a", "b"]) | aggregate { n = count this }',
        "group loose (aggregate { n = count this })",
        "aggregate { n = count_distinct loose, low = min mood, high = max mood }",
        "select { mood, id } | sort { mood, id } | take 2",
        'filter mood > "ok" | select { id }',
        'filter code == "x" | aggregate { n = count this }',
        'filter code == "x   " | aggregate { n = count this }',
        "filter code != null | select { id, l = (code | text.length) } | filter l == 4",
        'filter (number | text.ends_with "a") | select { id, number }',
    )
    source = pg.source('table { table: "words" }')
    bodies = {f"W{n}": f"  {source}\n    | (from input | {q})" for n, q in enumerate(queries)}
    path = lay_out(pg, bodies, tmp_path)
    there, here = run_program(path), run_program(path, pushdown=False)
    for name, query in zip(bodies, queries, strict=True):
        assert sorted(map(repr, there.rows(name))) == sorted(map(repr, here.rows(name))), query
    assert there.pushed == len(queries) - 3, there.stayed


def test_an_index_answers(pg: PostgresqlDatabase, tmp_path: Path) -> None:
    pg.load("things", things(t=["a", "b", None]))
    query = 'filter t == "a" | aggregate { n = count this }'
    (statement,) = run_program(lay_out(pg, {"W": of_things(pg, query)}, tmp_path)).asked["W"]
    plan = pg.fetch("SET enable_seqscan = off", f"EXPLAIN {statement}")
    assert "Index Cond: (t = 'a'::text)" in plan and "CASE" in plan


def test_a_sum_that_does_not_fit_is_an_error(pg: PostgresqlDatabase, tmp_path: Path) -> None:
    pg.load("things", things(big=[2**63 - 1, 1]))
    path = lay_out(pg, {"W": of_things(pg, "aggregate { s = sum big }")}, tmp_path)
    with pytest.raises(StageError, match="bigint out of range"):
        run_program(path)


def test_clickhouse_is_asked_for_no_more_than_is_read(ch: ClickHouseDatabase, tmp_path: Path) -> None:
    ch.load("things", things(k=[1, 2, 2], kind=["a", "b", "a"], amount=[1.0, 2.0, 4.0]))
    query = 'filter kind == "a" | filter (amount | math.floor) > 0 | select { amount }'
    path = lay_out(ch, {"W": of_things(ch, query)}, tmp_path)
    mark = ch.server.mark()
    assert sorted(row["amount"] for row in run_program(path).rows("W")) == [1.0, 4.0]  # type: ignore[type-var]
    (read,) = [q for q in ch.server.queries(mark) if not q.sql.startswith("DESCRIBE")]
    assert "'a'" in read.sql and '"k"' not in read.sql and read.result_rows == 2

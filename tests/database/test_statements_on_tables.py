"""Statements that change tables of the scratch schema, and that ask the system's tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.core.refresh_policy import RefreshPolicy
from heddle.database.errors import QueryError
from heddle.database.model import LOCAL, SCRATCH_SCHEMA, SYSTEM_SCHEMA, TableName, Viewer
from heddle.database.system_tables import SystemTable, column, table_of_rows
from heddle.errors import UsageError
from tests.database.asking import Asked, asking

PROGRAM = """
workflow Sales {
  [
    { region: "north", amount: 10 }
    { region: "south", amount: 5 }
    { region: "north", amount: 7 }
  ]
    > orders

  (from orders | group region (aggregate { total = sum amount }))
    > totals
}
"""
ANNA = Viewer("anna")
MANUAL = {"Sales.totals": RefreshPolicy("manual")}


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    with asking(tmp_path, {"sales.he": PROGRAM}) as found:
        yield found


def refused(asked: Asked, text: str, *values: object) -> tuple[str, str]:
    with pytest.raises(QueryError) as error:
        asked.updated(text, *values)
    return error.value.kind, error.value.message


def test_a_table_from_its_making_to_its_end(asked: Asked) -> None:
    assert asked.updated("CREATE TABLE t (id INT NOT NULL, name VARCHAR, price DECIMAL(10, 2))") == 0
    assert asked.updated("INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', 2), (3, NULL, NULL)") == 3
    assert asked.updated("INSERT INTO t (name, id) SELECT region, amount FROM Sales.orders") == 3
    assert asked.updated("UPDATE t SET price = price * 2, name = name || '!' WHERE id < 3") == 2
    assert asked.updated("DELETE FROM t WHERE name = 'north' OR id = 3") == 3
    rows = asked.rows("SELECT id, name, CAST(price AS VARCHAR) AS price FROM scratch.t ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        (1, "a!", "3.00"),
        (2, "b!", "4.00"),
        (5, "south", None),
    ]
    assert asked.updated("ALTER TABLE t RENAME TO u") == 0
    assert asked.updated("TRUNCATE u") == 3
    assert asked.rows("SELECT * FROM u") == []
    assert asked.updated("DROP TABLE u") == 0
    assert asked.updated("DROP TABLE IF EXISTS u") == 0
    assert refused(asked, "DROP TABLE u")[0] == "not_found"


def test_a_table_made_of_a_query(asked: Asked) -> None:
    assert asked.updated("CREATE TABLE big AS SELECT * FROM totals WHERE total > 10") == 1
    assert asked.updated("CREATE TABLE IF NOT EXISTS big AS SELECT 1 AS other") == 0
    assert asked.rows("SELECT * FROM big") == [{"region": "north", "total": 17}]
    assert refused(asked, "CREATE TABLE big AS SELECT 1 AS x")[0] == "exists"
    assert asked.updated("CREATE OR REPLACE TABLE big AS SELECT 1 AS other") == 1
    assert asked.rows("SELECT b.other, o.region FROM big b, orders o WHERE o.amount = 5") == [
        {"other": 1, "region": "south"}
    ]


def test_parameters_in_changes(asked: Asked) -> None:
    asked.updated("CREATE TABLE t (a BIGINT, b VARCHAR)")
    for number in range(3):
        assert asked.updated("INSERT INTO t VALUES (?, ?)", number, f"it's {number}") == 1
    assert asked.updated("UPDATE t SET b = ?, a = a + ? WHERE b = ?", "new", 10, "it's 1") == 1
    assert asked.updated("DELETE FROM t WHERE a = $1", 0) == 1
    assert asked.rows("SELECT * FROM t ORDER BY a") == [{"a": 2, "b": "it's 2"}, {"a": 11, "b": "new"}]


def test_what_does_not_fit_changes_nothing(asked: Asked) -> None:
    asked.updated("CREATE TABLE t (a INT NOT NULL, day DATE)")
    asked.updated("INSERT INTO t VALUES (1, '2024-05-01')")
    for text, message in (
        ("INSERT INTO t VALUES (NULL, NULL)", "the column `a` of `t` is never null"),
        ("INSERT INTO t (day) VALUES ('2024-05-01')", "there is no value for `a`, which is never null"),
        ("INSERT INTO t VALUES (1.5, NULL)", "the column `a` of `t` holds int32, and does not take float"),
        ("INSERT INTO t VALUES (1, 'soon')", "the column `day` of `t` holds date, and does not take string"),
        ("INSERT INTO t VALUES (1)", "2 columns are to be filled, and the query has 1"),
        ("UPDATE t SET a = NULL", "the column `a` of `t` is never null"),
        ("UPDATE t SET b = 1", "there is no column `b`"),
    ):
        kind, found = refused(asked, text)
        assert kind == "invalid"
        assert message in found
    assert [str(row["day"]) for row in asked.rows("SELECT * FROM t")] == ["2024-05-01"]


def test_only_scratch_tables_change(asked: Asked) -> None:
    for text in (
        "INSERT INTO Sales.orders VALUES ('x', 1)",
        "DELETE FROM Sales.orders",
        "UPDATE Sales.orders SET amount = 1",
        "DROP TABLE Sales.orders",
        "TRUNCATE Sales.orders",
        "ALTER TABLE Sales.orders RENAME TO x",
        "CREATE TABLE Sales.other (a INT)",
        "DELETE FROM system.queries",
    ):
        assert refused(asked, text)[0] == "denied", text


def test_a_change_means_the_scratch_table_even_where_an_output_has_its_name(asked: Asked) -> None:
    asked.updated("CREATE TABLE orders AS SELECT * FROM Sales.orders WHERE amount < 6")
    assert asked.updated("UPDATE orders SET amount = amount + 1") == 1
    assert asked.updated("DELETE FROM orders WHERE orders.amount > 100") == 0
    assert asked.rows("SELECT * FROM scratch.orders") == [{"region": "south", "amount": 6}]


def test_a_transaction_is_seen_from_inside(asked: Asked) -> None:
    asked.updated("CREATE TABLE t (a BIGINT)")
    database = asked.database
    inside = database.begin(LOCAL)
    asked.updated("INSERT INTO t VALUES (1)", transaction=inside)
    asked.updated("UPDATE t SET a = a + 1", transaction=inside)
    assert asked.rows("SELECT * FROM t") == []
    assert asked.rows("SELECT * FROM t", transaction=inside) == [{"a": 2}]
    assert refused(asked, "INSERT INTO t VALUES (5)")[0] == "conflict"
    with pytest.raises(QueryError, match="there is no such transaction"):
        database.end(inside, ANNA, commit=False)
    database.end(inside, LOCAL, commit=True)
    assert asked.rows("SELECT * FROM t") == [{"a": 2}]


def test_rows_are_put_in(asked: Asked) -> None:
    target = TableName(asked.database.catalog, SCRATCH_SCHEMA, "t")
    rows = pa.record_batch({"a": [1, 2], "b": ["x", None]})
    for mode in ("create", "append"):
        with asked.database.ingest(target, rows.schema, mode, LOCAL) as ingest:  # type: ignore[arg-type]
            ingest.write(rows)
            assert ingest.commit() == 2
    assert asked.rows("SELECT count(*) AS n, sum(a) AS s FROM t") == [{"n": 4, "s": 6}]
    (info,) = [info for info in asked.database.tables(LOCAL) if info.name == target]
    assert (info.kind, info.writable, info.schema) == ("TABLE", True, rows.schema)


def test_tables_stay_in_a_folder(tmp_path: Path) -> None:
    for count in (1, 2):
        with asking(tmp_path, {"sales.he": PROGRAM}, scratch=tmp_path / "kept") as asked:
            asked.updated("CREATE TABLE IF NOT EXISTS t (a BIGINT)")
            asked.updated("INSERT INTO t VALUES (1)")
            assert len(asked.rows("SELECT * FROM t")) == count


def test_a_materialized_output(tmp_path: Path) -> None:
    with asking(tmp_path, {"sales.he": PROGRAM}, materialize=MANUAL) as asked:
        with pytest.raises(QueryError, match=r"`Sales.totals` has no rows") as error:
            asked.rows("SELECT * FROM totals")
        assert error.value.kind == "unavailable"
        assert asked.updated("REFRESH TABLE Sales.totals") == 2
        assert asked.rows("SELECT * FROM totals ORDER BY total") == [
            {"region": "south", "total": 5},
            {"region": "north", "total": 17},
        ]
        kinds = asked.rows("SELECT output, kind, refresh, refresh_state, rows FROM system.outputs ORDER BY 1")
        assert [tuple(row.values()) for row in kinds] == [
            ("orders", "VIEW", None, None, None),
            ("totals", "TABLE", "manual", "done", 2),
        ]
        assert refused(asked, "REFRESH TABLE Sales.orders")[0] == "unsupported"


def test_an_output_to_materialize_that_is_not_there(tmp_path: Path) -> None:
    policies = {"Sales.totls": RefreshPolicy("manual")}
    with (
        pytest.raises(UsageError, match=r"names the output `Sales.totls`, which is not there") as error,
        asking(tmp_path, {"sales.he": PROGRAM}, materialize=policies),
    ):
        pass
    assert error.value.help == "did you mean `Sales.totals`?"


def test_what_the_system_tells(asked: Asked) -> None:
    asked.updated("CREATE TABLE t (a BIGINT NOT NULL)")
    assert asked.rows("SELECT program, workflows FROM system.programs") == [
        {"program": "sales.he", "workflows": 1}
    ]
    assert asked.rows("SELECT workflow, outputs FROM system.workflows") == [
        {"workflow": "Sales", "outputs": 2}
    ]
    assert asked.rows("SELECT output, type FROM system.outputs ORDER BY output") == [
        {"output": "orders", "type": "{region: string, amount: int}"},
        {"output": "totals", "type": "{region: string, total: int}"},
    ]
    assert asked.rows('SELECT "column", type, nullable FROM system.columns WHERE "table" = \'t\'') == [
        {"column": "a", "type": "int", "nullable": False}
    ]
    assert asked.rows("SELECT kind, writable, rows FROM system.tables WHERE \"table\" = 't'") == [
        {"kind": "TABLE", "writable": True, "rows": 0}
    ]
    for name in ("resources", "plugins", "parameters"):
        assert asked.rows(f"SELECT * FROM system.{name}") == []


def test_queries_tell_of_themselves(asked: Asked) -> None:
    asked.rows("SELECT * FROM orders", viewer=ANNA)
    with pytest.raises(QueryError):
        asked.updated("DROP TABLE nothing")
    seen = asked.rows("SELECT viewer, text, state, error FROM system.queries ORDER BY started_at")
    assert [tuple(row.values()) for row in seen[:2]] == [
        ("anna", "SELECT * FROM orders", "finished", None),
        ("local", "DROP TABLE nothing", "failed", "not_found"),
    ]
    own = asked.rows("SELECT DISTINCT viewer FROM system.queries", viewer=ANNA)
    assert own == [{"viewer": "anna"}]
    assert refused(asked, "KILL 'nothing'") == ("not_found", "there is no query `nothing`")


def test_a_query_is_ended_by_its_id(asked: Asked) -> None:
    answer = asked.database.prepare("SELECT * FROM orders", LOCAL).run()
    running = asked.rows("SELECT query_id, text FROM system.queries WHERE state = 'running'")
    assert running == [{"query_id": answer.query_id, "text": "SELECT * FROM orders"}]
    asked.updated(f"KILL '{answer.query_id}'")
    with pytest.raises(QueryError) as error:
        list(answer.batches())
    assert error.value.kind == "cancelled"
    ended = asked.rows("SELECT state FROM system.queries WHERE query_id = ?", answer.query_id)
    assert ended == [{"state": "cancelled"}]


def test_a_table_of_ones_own_in_the_system_schema(asked: Asked) -> None:
    schema = pa.schema([column("viewer", pa.string(), "Who asks")])

    def rows(viewer: Viewer) -> pa.Table:
        return table_of_rows(schema, [(viewer.name,)])

    asked.database.system.add(
        SystemTable("me", schema, rows, "Who I am"), SystemTable("secret", schema, rows, admin_only=True)
    )
    assert asked.rows("SELECT * FROM system.me", viewer=ANNA) == [{"viewer": "anna"}]
    assert asked.rows("SELECT * FROM system.secret") == [{"viewer": "local"}]
    with pytest.raises(QueryError) as error:
        asked.rows("SELECT * FROM system.secret", viewer=ANNA)
    assert error.value.kind == "denied"
    infos = {i.name.name: i for i in asked.database.tables(LOCAL) if i.name.schema == SYSTEM_SCHEMA}
    assert (infos["me"].kind, infos["me"].remarks) == ("SYSTEM TABLE", "Who I am")


def test_words_about_tables(asked: Asked) -> None:
    asked.updated("CREATE TABLE t (a BIGINT NOT NULL, b VARCHAR)")
    assert {"Sales", "scratch", "system"} <= {row["schema_name"] for row in asked.rows("SHOW SCHEMAS")}
    assert "totals" in {row["table_name"] for row in asked.rows("SHOW TABLES")}
    assert [tuple(row.values()) for row in asked.rows("DESCRIBE scratch.t")] == [
        ("a", "int", "NO"),
        ("b", "string", "YES"),
    ]
    assert refused(asked, "BEGIN")[0] == "unsupported"

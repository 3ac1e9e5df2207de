"""Statements that are no queries, as typed commands; the rest of a text stays word for word."""

from __future__ import annotations

import pyarrow as pa
import pytest
from datafusion import SessionContext
from hypothesis import given
from hypothesis import strategies as st

from heddle.database import commands
from heddle.database.commands import Assignment, Command, InnerText
from heddle.database.dml import read_command
from heddle.database.errors import QueryError
from heddle.database.rewriting_sql import (
    column_of,
    delete_query,
    insert_columns,
    insert_query,
    update_query,
)
from heddle.database.targets import writable_table

SCHEMA = pa.schema([("a", pa.int64()), ("Amount", pa.float64()), ("is_updated", pa.string())])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "SELECT 1",
        "with t as (select 1) select * from t",
        "(select 1)",
        "VALUES (1)",
        "EXPLAIN DELETE FROM t",
        "-- DROP TABLE t\nselect 1",
        "/* CREATE */ select 1",
        "deleted",
    ],
)
def test_what_is_no_command(text: str) -> None:
    assert read_command(text) is None


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("DROP TABLE t", commands.DropTable(("t",))),
        ("drop table if exists Scratch.T;", commands.DropTable(("scratch", "t"), if_exists=True)),
        ('DROP TABLE "A ""b"". c"', commands.DropTable(('A "b". c',))),
        ("/* a */ -- b\n TRUNCATE TABLE cat.scratch.t ;;", commands.Truncate(("cat", "scratch", "t"))),
        ("truncate t", commands.Truncate(("t",))),
        ("alter table t rename to u", commands.RenameTable(("t",), "u")),
        ("REFRESH TABLE Sales.totals", commands.Refresh(("sales", "totals"))),
        ('refresh "Sales"."totals"', commands.Refresh(("Sales", "totals"))),
        ("KILL 'ab''c'", commands.Kill("ab'c")),
        ("kill query 12ab", commands.Kill("12ab")),
        ("show tables", commands.ShowTables()),
        ("SHOW TABLES FROM Sales", commands.ShowTables("sales")),
        ("show schemas", commands.ShowSchemas()),
        ("describe a.b", commands.Describe(("a", "b"))),
        ("SHOW COLUMNS FROM t", commands.Describe(("t",))),
        ("BEGIN", commands.TransactionWord("begin")),
        ("start transaction isolation level serializable", commands.TransactionWord("begin")),
        ("commit;", commands.TransactionWord("commit")),
        ("ROLLBACK", commands.TransactionWord("rollback")),
        (
            "CREATE TABLE t AS SELECT 1 AS x -- one",
            commands.CreateTableAs(("t",), InnerText("SELECT 1 AS x", 18)),
        ),
        (
            "create or replace temp table t as (select 1)",
            commands.CreateTableAs(("t",), InnerText("(select 1)", 34), or_replace=True),
        ),
        (
            "INSERT INTO s.t SELECT ';' FROM u",
            commands.Insert(("s", "t"), None, InnerText("SELECT ';' FROM u", 16)),
        ),
        (
            'insert into t (a, "B c") values (1, $1), (?, $$it\'s$$)',
            commands.Insert(
                ("t",), ("a", "B c"), InnerText("values (1, $1), (?, $$it's$$)", 25), values=True
            ),
        ),
        ("insert into t (select 1)", commands.Insert(("t",), None, InnerText("(select 1)", 14))),
        ("DELETE FROM t", commands.Delete(("t",), None, None)),
        (
            "delete from t as x where x.a in (select a from u where b)",
            commands.Delete(("t",), "x", InnerText("x.a in (select a from u where b)", 25)),
        ),
        (
            "UPDATE t SET a = f(1, 2), \"B\" = 'x, WHERE y' WHERE a = ?",
            commands.Update(
                ("t",),
                None,
                (Assignment("a", InnerText("f(1, 2)", 17)), Assignment("B", InnerText("'x, WHERE y'", 32))),
                InnerText("a = ?", 51),
            ),
        ),
    ],
)
def test_commands(text: str, command: Command) -> None:
    assert read_command(text) == command


def test_columns_of_a_new_table() -> None:
    found = read_command(
        'CREATE TABLE IF NOT EXISTS t (id BIGINT NOT NULL, "A b" varchar(20), c DECIMAL(10, 2) NULL, '
        "d timestamp, e TIMESTAMP WITH TIME ZONE, f int[], g bytea, h boolean)"
    )
    assert found == commands.CreateTable(
        ("t",),
        pa.schema(
            [
                pa.field("id", pa.int64(), nullable=False),
                ("A b", pa.string()),
                ("c", pa.decimal128(10, 2)),
                ("d", pa.timestamp("ns")),
                ("e", pa.timestamp("ns", "UTC")),
                ("f", pa.list_(pa.int32())),
                ("g", pa.binary()),
                ("h", pa.bool_()),
            ]
        ),
        if_not_exists=True,
    )


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("DROP TABLE", "invalid", "the statement ends where the name of a table is expected"),
        ("DROP TABLE\n  'x'", "invalid", "the name of a table is expected where `'x'` stands: 2:3"),
        (
            "DROP TABLE t CASCADE",
            "invalid",
            "the end of the statement is expected where `CASCADE` stands: 1:14",
        ),
        ("DROP VIEW v", "unsupported", "DROP VIEW is not there"),
        ("DROP TABLE a.b.c.d", "invalid", "a table's name has three parts at most, `a.b.c.d` has more"),
        ("DROP TABLE 'x", "invalid", "a quote is left open: 1:12"),
        ("TRUNCATE t; TRUNCATE u", "invalid", "one statement at a time"),
        ("CREATE VIEW v AS SELECT 1", "unsupported", "CREATE VIEW is not there"),
        ("CREATE TABLE t ()", "invalid", "the name of a column is expected where `)` stands: 1:17"),
        ("CREATE TABLE t (a)", "invalid", "the type of a column is expected where `)` stands: 1:18"),
        ("CREATE TABLE t (a foo)", "invalid", "`foo`, the type of the column `a`, is unknown"),
        ("CREATE TABLE t (a int) AS b))", "unsupported", "a list of columns before AS is not there"),
        ("CREATE TABLE t (a int, A int)", "invalid", "two columns are called `a`"),
        ("CREATE TABLE t (a int PRIMARY KEY)", "unsupported", "PRIMARY of the column `a` is not there"),
        ("CREATE TABLE t (a int, PRIMARY KEY (a))", "unsupported", "the constraint PRIMARY is not there"),
        ("CREATE TABLE t (a int DEFAULT 1)", "unsupported", "DEFAULT of the column `a` is not there"),
        ("INSERT t VALUES (1)", "invalid", "`INTO` is expected where `t` stands: 1:8"),
        ("INSERT INTO t", "invalid", "the statement ends where a query or VALUES is expected"),
        ("INSERT INTO t DEFAULT VALUES", "unsupported", "INSERT with DEFAULT is not there"),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "unsupported", "INSERT with ON is not there"),
        ("UPDATE t SET a = 1 FROM u", "unsupported", "UPDATE with FROM is not there"),
        ("UPDATE t SET (a, b) = (1, 2)", "unsupported", "SET with a list of columns is not there"),
        ("UPDATE t SET a = (1", "invalid", "the statement ends where `)` is expected"),
        ("UPDATE t SET a = 1)", "invalid", "no more parentheses than were opened is expected"),
        ("UPDATE t SET", "invalid", "the statement ends where the name of a column is expected"),
        ("DELETE FROM t USING u", "unsupported", "DELETE with USING is not there"),
        ("DELETE FROM t WHERE a RETURNING *", "unsupported", "DELETE with RETURNING is not there"),
        ("ALTER TABLE t ADD COLUMN x int", "unsupported", "ALTER TABLE with ADD is not there"),
        ("SHOW GRANTS", "unsupported", "SHOW GRANTS is not there"),
        ("KILL", "invalid", "the statement ends where the id of a query"),
    ],
)
def test_what_cannot_be_read(text: str, kind: str, message: str) -> None:
    with pytest.raises(QueryError) as error:
        read_command(text)
    assert error.value.kind == kind
    assert error.value.message.startswith(message)


@given(
    st.sampled_from(["CREATE TABLE ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "KILL ", "ALTER TABLE "]),
    st.text(alphabet=st.sampled_from("ab.,()'\"$;=-/*?\n SETWHEREVALUES"), max_size=60),
)
def test_any_text_is_read_or_refused(head: str, rest: str) -> None:
    try:
        read_command(head + rest)
    except QueryError as error:
        assert error.kind in ("invalid", "unsupported")


def rows_of(sql: str, **tables: pa.Table) -> list[dict[str, object]]:
    context = SessionContext()
    context.catalog().register_schema("scratch", _scratch(tables))
    return context.sql(sql).to_pylist()


def _scratch(tables: dict[str, pa.Table]) -> object:
    from datafusion.catalog import Schema

    context = SessionContext()
    schema = Schema.memory_schema()
    for name, table in tables.items():
        context.register_record_batches(name, [table.to_batches()])
        schema.register_table(name, context.table(name))
    return schema


TABLE = pa.table(
    {
        "a": [1, 2, None],
        "Amount": [10.0, 20.0, 30.0],
        "is_updated": ["x", "y", "z"],
    },
    schema=SCHEMA,
)


def update(text: str) -> list[dict[str, object]]:
    command = read_command(text)
    assert isinstance(command, commands.Update)
    return rows_of(update_query(command, SCHEMA), t=TABLE)


def test_an_update_gives_all_rows_and_marks_those_that_it_changed() -> None:
    rows = update('UPDATE t SET amount = "Amount" + 1, a = a * 10 WHERE a >= 2 -- only those')
    assert [list(row.values()) for row in rows] == [
        [1, 10.0, "x", False],
        [20, 21.0, "y", True],
        [None, 30.0, "z", False],
    ]
    assert list(rows[0]) == ["a", "Amount", "is_updated", "is_updated_"]


def test_values_are_computed_for_changed_rows_alone() -> None:
    rows = update("UPDATE t AS q SET a = 10 / (q.a - 1) WHERE q.a <> 1")
    assert [row["a"] for row in rows] == [1, 10, None]


def test_an_update_of_everything() -> None:
    assert [row["a"] for row in update("UPDATE t SET a = 7")] == [7, 7, 7]


def test_parameters_keep_their_order() -> None:
    command = read_command("UPDATE t SET is_updated = ?, a = ? WHERE a = ?")
    assert isinstance(command, commands.Update)
    text = update_query(command, SCHEMA)
    places = [text.index(part) for part in ('(?\n) ELSE "t"."is_updated"', '(?\n) ELSE "t"."a"', "a = ?")]
    assert places == sorted(places)
    assert text.count("?") == 3


def test_a_delete_gives_the_rows_that_stay() -> None:
    for text, expected in (
        ("DELETE FROM t WHERE a = 1 -- one", [2, None]),
        ("DELETE FROM t x WHERE x.a IS NULL", [1, 2]),
        ("DELETE FROM t", []),
    ):
        command = read_command(text)
        assert isinstance(command, commands.Delete)
        assert [row["a"] for row in rows_of(delete_query(command, SCHEMA), t=TABLE)] == expected


def test_rows_of_an_insert() -> None:
    command = read_command("INSERT INTO t (AMOUNT, a) VALUES (1.5, 2), (2.5, NULL) -- two")
    assert isinstance(command, commands.Insert)
    assert insert_columns(command, SCHEMA) == ("Amount", "a")
    assert [list(row.values()) for row in rows_of(insert_query(command))] == [[1.5, 2], [2.5, None]]


def test_names_of_columns() -> None:
    schema = pa.schema([("Id", pa.int64()), ("name", pa.string()), ("NAME", pa.string())])
    assert column_of("id", schema) == "Id"
    assert column_of("name", schema) == "name"
    with pytest.raises(QueryError, match="there is no column `nmae`") as error:
        column_of("nmae", schema)
    assert error.value.help == "did you mean `name`?"
    command = read_command("UPDATE t SET Id = 1, id = 2")
    assert isinstance(command, commands.Update)
    with pytest.raises(QueryError, match="the column `Id` is set twice"):
        update_query(command, schema)


def test_only_the_scratch_schema_is_writable() -> None:
    assert writable_table(("t",), "heddle") == "t"
    assert writable_table(("scratch", "t"), "heddle") == "t"
    assert writable_table(("heddle", "scratch", "t"), "heddle") == "t"
    for parts in (("sales", "t"), ("other", "scratch", "t"), ("system", "queries")):
        with pytest.raises(QueryError) as error:
            writable_table(parts, "heddle")
        assert error.value.kind == "denied"

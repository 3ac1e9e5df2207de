"""How forms of queries are written for each database, and which stay here, with the reason."""

from __future__ import annotations

import pyarrow as pa
import pytest

from heddle.core.types import TIMESTAMP, Column, RowType
from heddle.logical.dialects import dialect_of
from heddle.logical.dialects.dialect import Dialect
from heddle.logical.dialects.terms import Refused, Relation, RelationColumn
from heddle.logical.pushed_queries import parsed
from heddle.logical.pushed_selects import conditions, translated
from heddle.logical.sql_sources import one_select

COLUMNS = {
    "i": pa.int64(),
    "s": pa.int32(),
    "f": pa.float64(),
    "m": pa.decimal128(10, 2),
    "t": pa.string(),
    "u": pa.large_string(),
    "b": pa.bool_(),
    "d": pa.date32(),
    "at": TIMESTAMP,
    "local": pa.timestamp("us"),
    "list": pa.list_(pa.int64()),
}
THINGS = Relation('"things"', tuple(RelationColumn(n, type_, native=True) for n, type_ in COLUMNS.items()))


def dialect(name: str) -> Dialect:
    found = dialect_of(name)
    assert found is not None
    return found


def where(name: str, condition: str) -> str:
    tree = parsed(f'SELECT 1 FROM "q" WHERE {condition}').args["where"].this
    return " AND ".join(conditions(tree, THINGS, "q", dialect(name)))


def select(name: str, sql: str, **columns: pa.DataType) -> str:
    row = RowType(tuple(Column(column, type_) for column, type_ in columns.items()))
    relations = {"things": THINGS, "others": THINGS}
    return translated(parsed(sql), relations, dialect(name), row).text(dialect(name))


@pytest.mark.parametrize(
    ("name", "condition", "expected"),
    [
        ("postgres", '"i" > 5 AND "b"', '("q"."i" > 5) AND "q"."b"'),
        (
            "postgres",
            """"t" = 'a'""",
            """(CAST("q"."t" AS text) = 'a' AND CASE WHEN CAST("q"."t" AS text) COLLATE "C" = 'a' """
            """THEN TRUE ELSE FALSE END)""",
        ),
        ("postgres", """"t" < 'it''s'""", """(CAST("q"."t" AS text) COLLATE "C" < 'it''s')"""),
        ("postgres", """NOT "t" = 'a\\b'""", """(NOT (CAST("q"."t" AS text) COLLATE "C" = E'a\\\\b'))"""),
        ("postgres", '"m" > 0.05', '(CAST("q"."m" AS numeric(10,2)) > 0.05)'),
        ("postgres", '"s" + 1 > 2', '((CAST("q"."s" AS bigint) + 1) > 2)'),
        ("postgres", """"d" >= DATE '2024-03-01'""", """("q"."d" >= DATE '2024-03-01')"""),
        ("clickhouse", '"f" > 5', '(("q"."f" > 5.0e0) OR isNaN("q"."f"))'),
        ("clickhouse", '"f" < 5', '("q"."f" < 5.0e0)'),
        ("clickhouse", """"t" = 'a\\b'""", """(CAST("q"."t" AS Nullable(String)) = 'a\\\\b')"""),
        ("clickhouse", '"i" IN (1, 2)', '("q"."i" IN (1, 2))'),
        ("clickhouse", 'NOT "i" IN (1, 2)', '(NOT (("q"."i" = 1) OR ("q"."i" = 2)))'),
        ("clickhouse", '"m" > 0.05', """("q"."m" > toDecimal128('0.05', 2))"""),
        ("duckdb", """STARTS_WITH("t", 'a')""", """STARTS_WITH(CAST("q"."t" AS VARCHAR), 'a')"""),
        ("duckdb", """"t" LIKE '%a'""", """ENDS_WITH(CAST("q"."t" AS VARCHAR), 'a')"""),
        ("duckdb", """"t" NOT LIKE 'a%'""", """(NOT STARTS_WITH(CAST("q"."t" AS VARCHAR), 'a'))"""),
        (
            "duckdb",
            '"i" NOT IN (1, 2) AND "t" IS NOT NULL',
            '(NOT ("q"."i" IN (1, 2))) AND ("q"."t" IS NOT NULL)',
        ),
        ("duckdb", '"i" NOT BETWEEN 1 AND 2', '(NOT (("q"."i" >= 1) AND ("q"."i" <= 2)))'),
        ("duckdb", '"list" IS NULL', '("q"."list" IS NULL)'),
    ],
)
def test_a_condition_is_written(name: str, condition: str, expected: str) -> None:
    assert where(name, condition) == expected


@pytest.mark.parametrize(
    ("name", "condition", "reason"),
    [
        ("postgres", '"i" + 1 > 2', "`+` fails in PostgreSQL when its result needs more than 64 bits"),
        ("postgres", '-"i" > 2', "`-` of the smallest whole number fails in PostgreSQL"),
        ("postgres", '"f" * 2 > 1', "`*` of floats fails in PostgreSQL when it leaves their range"),
        ("postgres", '"f" / 2 > 1', "`/` fails in PostgreSQL for a zero"),
        ("postgres", '"i" / 2 > 1', "`//` divides in another way in PostgreSQL"),
        ("postgres", '"i" % 2 = 1', "`%` is not known to mean the same in PostgreSQL"),
        ("postgres", '"i" > 0.5', "a whole number and a fraction are compared as floats"),
        ("postgres", '"m" = "f"', "a decimal(10,2) and a float meet in another way in PostgreSQL"),
        ("postgres", """"t" ~ 'a+'""", "a pattern (`~=`) is not known to mean the same in PostgreSQL"),
        ("postgres", """UPPER("t") = 'A'""", "`text.upper` is not known to mean the same in PostgreSQL"),
        ("postgres", """"u" = 'a'""", "string may be another type in PostgreSQL"),
        ("postgres", '"local" = "local"', "timestamp[us] may be another type in PostgreSQL"),
        ("postgres", '"d" = "at"', "a date is compared with a timestamp"),
        ("postgres", """"t" = 'a\0b'""", "a text has a NUL character"),
        ("postgres", """"t" LIKE 'a_b'""", "`like` is not known to mean the same in PostgreSQL"),
        (
            "clickhouse",
            '"f" = "f"',
            "NaN equals itself and is the largest number, which is not so in ClickHouse",
        ),
        ("clickhouse", '"m" * 2 > 1', "`*` of decimals may have another type in ClickHouse"),
        ("clickhouse", """"d" < DATE '1812-01-01'""", "ClickHouse has dates of the years 1900 to 2299"),
        ("duckdb", '"i" * 2 > 1', "`*` fails in DuckDB when its result needs more than 64 bits"),
    ],
)
def test_a_condition_stays(name: str, condition: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        where(name, condition)
    assert str(refused.value) == reason


def test_groups_and_aggregates_are_written() -> None:
    items = '"t", COUNT(*) AS "n", COALESCE(SUM("i"), 0) AS "a", MIN("f") AS "l"'
    sql = f'SELECT {items} FROM "things" GROUP BY "t"'
    columns = {"t": pa.string(), "n": pa.int64(), "a": pa.int64(), "l": pa.float64()}
    assert select("postgres", sql, **columns) == (
        'SELECT CAST("things"."t" AS text) COLLATE "C" AS "t", COUNT(*) AS "n", '
        'COALESCE(CAST(SUM("things"."i") AS bigint), 0) AS "a", '
        'MIN(CAST("things"."f" AS double precision)) AS "l" FROM "things" AS "things" '
        'GROUP BY CAST("things"."t" AS text) COLLATE "C"'
    )


def test_a_left_join_gives_nulls_in_clickhouse() -> None:
    sql = 'SELECT a."i", b."d" FROM "things" AS a LEFT JOIN "others" AS b ON a."i" = b."i"'
    with pytest.raises(Refused, match="`local` may have no nulls in ClickHouse, which the join makes"):
        select("clickhouse", sql, i=pa.int64(), d=pa.date32())


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (
            'SELECT "i" FROM "things" UNION ALL SELECT "i" FROM "others"',
            "`append` is not known to mean the same",
        ),
        ('SELECT "i" FROM "things" AS a JOIN "things" AS b ON a."i" = b."i"', "read in several places"),
        ('SELECT a."i" FROM "things" a JOIN "others" b ON a."i" > b."i"', "only joins by equal columns"),
        ('SELECT a."i" FROM "things" a FULL JOIN "others" b ON a."i" = b."i"', "only inner and left joins"),
        ('SELECT ROW_NUMBER() OVER () AS "i" FROM "things"', "a window or a numbered row"),
        ('SELECT "s" AS "i" FROM "things"', "`i` would be int32 and not int in PostgreSQL"),
        ('SELECT "i" AS "j" FROM "things"', "its columns have other names"),
        ('SELECT "i" FROM "things" ORDER BY 1', "sorted by the place of a column"),
        ('SELECT "i" FROM "things" GROUP BY 1', "groups by the place of a column"),
        ('SELECT "i" FROM "things" FOR UPDATE', "`locks` is not known"),
    ],
)
def test_a_query_stays(sql: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason.replace("(", r"\(")):
        select("postgres", sql, i=pa.int64())


def test_a_name_that_is_cut_off_stays() -> None:
    name = "ä" * 32
    with pytest.raises(Refused, match="cuts the name"):
        select("postgres", f'SELECT "i" AS "{name}" FROM "things"', **{name: pa.int64()})


@pytest.mark.parametrize(
    ("name", "table", "expected"),
    [
        ("postgres", "sales.Orders", '"sales"."orders"'),
        ("postgres", 'sales."Orders"', '"sales"."Orders"'),
        ("clickhouse", "sales.Orders", '"sales"."Orders"'),
        ("duckdb", "main.orders", '"main"."orders"'),
    ],
)
def test_a_table_is_named(name: str, table: str, expected: str) -> None:
    assert dialect(name).table(table) == expected


@pytest.mark.parametrize(
    ("text", "inner", "ordered"),
    [
        ("SELECT * FROM a WHERE x = @x", "SELECT * FROM a WHERE x = @x", False),
        ("SELECT ';' FROM a; -- all of it", "SELECT ';' FROM a", False),
        (
            "WITH b AS (SELECT 1) SELECT * FROM b ORDER BY 1",
            "WITH b AS (SELECT 1) SELECT * FROM b ORDER BY 1",
            True,
        ),
        ("SELECT 1 UNION SELECT 2", "SELECT 1 UNION SELECT 2", False),
    ],
)
def test_a_statement_stands_in_another(text: str, inner: str, ordered: bool) -> None:
    assert one_select(text, dialect("postgres")) == (inner, ordered)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT 1; SELECT 2", "its statement is not one SELECT"),
        ("INSERT INTO a VALUES (1) RETURNING x", "its statement is not one SELECT"),
        ("WITH b AS (DELETE FROM a RETURNING x) SELECT * FROM b", "does more than to select rows"),
        ("SELECT * FROM a FOR UPDATE", "does more than to select rows"),
        ("SELECT * INTO b FROM a", "does more than to select rows"),
        ("SELECT 'open", "cannot be read here"),
    ],
)
def test_a_statement_stands_alone(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        one_select(text, dialect("postgres"))


def test_nothing_is_known_of_other_databases() -> None:
    assert dialect_of("oracle") is None

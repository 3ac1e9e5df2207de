"""Queries in DuckDB's dialect: they mean what DuckDB says, over what the viewer sees, and reach nothing
else."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from heddle.database.database import Database
from heddle.database.duckdb_reading import read_duckdb
from heddle.database.errors import QueryError
from heddle.database.model import LOCAL, Settings, Viewer
from heddle.database.policy import Policy
from heddle.serve_settings import EVERYONE, PolicySettings, Role, ServeSettings
from tests.database.asking import Asked, asking
from tests.waiting import PATIENCE_S, until

DUCKDB = Settings(language="duckdb")
PROGRAM = """\
workflow Sales {
  [
    { a: 1, b: "x", c: 1.5 }
    { a: 2, b: "y", c: null }
    { a: null, b: null, c: -2.0 }
    { a: 7, b: "X", c: 0.25 }
  ]
    > t

  [{ a: 1, d: "q" }, { a: 3, d: "r" }, { a: 7, d: null }]
    > u
}
"""
TABLES = {
    "t": pa.table(
        {
            "a": pa.array([1, 2, None, 7], pa.int64()),
            "b": ["x", "y", None, "X"],
            "c": pa.array([1.5, None, -2.0, 0.25]),
        }
    ),
    "u": pa.table({"a": pa.array([1, 3, 7], pa.int64()), "d": ["q", "r", None]}),
}
QUERIES = """\
from t
table t
select * exclude (b) from t order by a
select * replace (a + 1 as a) from t order by c
select * rename (a as z) from t order by z
select * like 'a%' from t order by a
select columns('a|c') from t order by 1
select min(columns(*)) from t
select b, count(*) from t group by all order by all
from t select a qualify row_number() over (order by a desc) = 2
select [x * 2 for x in [1, 2, 3] if x > 1] as l
select list_transform([1, 2], lambda x: x + 1) as l
select 7 // 2, 1 / 2, 7 % 3, 2 ** 3, 2 ^ 3, -7 // 2, 7 / 0
select a / 2, a // 2, c // 1 from t order by a
select {'a': 1, 'b': 'x'} as s
select '12'::int + 1, try_cast('x' as int), '1.5'::decimal(3, 1)
select a from t order by a
select a from t order by a desc
select a from t order by a nulls first
select c from t order by c desc limit 1
select b, max(a) over (order by b) from t order by b
select count(*) filter (where a > 1), sum(a), avg(a), sum(c) from t
select distinct on (a % 2) a, b from t order by a % 2, a
with c as materialized (select 1 a), d(x) as (from c) select * from c, d
with t as (select 5 as a) select * from t
with recursive r(a) as (select 1 union all select a + 1 from r where a < 5) select * from r
select 1 as a union all by name select 2 as b
select a from t intersect select a from u order by a
select * from (values (1, 'x'), (2, 'y')) v(a, b)
select unnest([1, 2]) as u, unnest({'a': 1})
select * from range(3) r(i), generate_series(1, 2) g(j) order by i, j
select t.a, l.c from t, lateral (select t.a + 1 as c) l order by all
select m['a'], l[1], l[1:2], l[-1] from (select map {'a': 1} m, [1, 2] l)
select t from t order by a
select u.d, t.b from t join u using (a) order by all
select * from t natural join u order by a
select * from t asof join u on t.a >= u.a order by t.a, u.a
select * from t semi join u using (a) order by a
select * from t anti join u using (a) order by a
select * from t positional join u
select * from t x join t y on x.a = y.a order by all
from t unpivot (v for n in (a, c)) order by all
from t pivot (sum(a) for b in ('x', 'y')) order by all
select grouping(b), sum(a) from t group by rollup (b) order by all
select string_agg(b, ',' order by a desc), list(a order by a), arg_max(b, a) from t
select date '2020-01-31' + interval 1 month, date_diff('day', date '2020-01-01', date '2020-02-01')
select timestamp '2020-01-01 10:00:00', timestamptz '2020-01-01 10:00:00+02', time '10:00:00'
select b collate nocase = 'x' as same from t order by b
select 'x' || 'y', 'abc'[1:2], b.upper() from t order by b
select '{"a": [1, 2]}'::json -> 'a' ->> 1
select a as "A b", 'it''s' as "it's" from t order by a
select (select max(a) from u) - a from t order by a
select a from t where a = any(select a from u) order by a
select count(*) from t where exists (from u where u.a = t.a)
select if(a > 1, 'more', 'less'), ifnull(a, 0), a is distinct from 1 from t order by a
select a alias, alias + 1 from t where alias > 1 order by alias
select 1e400::double, 'nan'::double > 1, 0.1 + 0.2, 1::hugeint, 255::utinyint
select 'a'::enum('a', 'b') as e, uuid_extract_version('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid)
select #1 from t order by #1
select 1 as a, 2 as a
select a -- the end
""".splitlines()
QUERIES[-1] += "\nfrom t order by a"


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with asking(tmp_path_factory.mktemp("sales"), {"sales.he": PROGRAM}) as asked:
        yield asked


def plain(table: pa.Table) -> tuple[list[str], list[list[object]]]:
    """Names and values; a NaN is equal to itself."""
    columns = [column.to_pylist() for column in table.columns]
    return table.column_names, [
        ["NaN" if isinstance(value, float) and math.isnan(value) else value for value in column]
        for column in columns
    ]


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_means_what_duckdb_says(sales: Asked, text: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, rows in TABLES.items():
            connection.register(name, rows)
        expected = connection.sql(text).to_arrow_table()
    assert plain(sales.table(text, settings=DUCKDB)) == plain(expected)


def test_the_two_dialects_differ(sales: Asked) -> None:
    text = "select 1 / 2 as half, a from t order by a desc limit 1"
    assert sales.rows(text) == [{"half": 0, "a": None}]
    assert sales.rows(text, settings=DUCKDB) == [{"half": 0.5, "a": 7}]


def test_values_of_parameters(sales: Asked) -> None:
    for text in (
        "select b from t where a = ? or b = ?",
        "select b from t where a = $1 or b = $2",
        "select b from t where a = $a or b = $b",
    ):
        statement = sales.database.prepare(text, LOCAL, DUCKDB)
        assert len(statement.parameters) == 2
        assert statement.schema.names == ["b"]
        assert sales.rows(text, 7, "y", settings=DUCKDB) == [{"b": "y"}, {"b": "X"}]
        assert sales.rows(text, pa.scalar(7), None, settings=DUCKDB) == [{"b": "X"}]
    assert sales.rows("select $1 as v", "'; drop table t", settings=DUCKDB) == [{"v": "'; drop table t"}]


@pytest.mark.parametrize("type_", [pa.timestamp("ns"), pa.time64("ns"), pa.duration("ns")])
def test_a_parameter_with_parts_of_a_microsecond_is_refused(sales: Asked, type_: pa.DataType) -> None:
    (row,) = sales.rows("select $1 as v", pa.scalar(5_000, type_), settings=DUCKDB)
    assert row["v"] is not None
    with pytest.raises(QueryError, match="parts of a microsecond"):
        sales.rows("select $1 as v", pa.scalar(5_001, type_), settings=DUCKDB)


def test_a_query_names_tables_as_everywhere(sales: Asked) -> None:
    for table in ("t", "Sales.t", 'sales."t"', "heddle.Sales.t", '"heddle"."Sales"."t" as "t"', "T"):
        name = sales.database.catalog
        text = f"select count(t.a) as n from {table.replace('heddle', name)}"
        assert sales.rows(text, settings=DUCKDB) == [{"n": 3}], text
    assert sales.rows("select Sales.t.a from Sales.t where t.b = 'y'", settings=DUCKDB) == [{"a": 2}]
    assert sales.rows(
        'select "é", \'é\' from (select 1 as "é") where exists (from system.tables)', settings=DUCKDB
    )
    found = sales.rows(
        'select q.text from system . queries q, system."tables" where tables."table" = \'t\' limit 1',
        settings=DUCKDB,
    )
    assert len(found) == 1


def test_only_columns_that_are_named_are_read(sales: Asked) -> None:
    def read(text: str) -> list[str]:
        return [
            line
            for line in sales.table(f"explain {text}", settings=DUCKDB)["plan"][1].as_py().splitlines()
            if line.startswith("SELECT")
        ]

    assert read("select sum(a) from t") == ['SELECT "a" FROM (SELECT * FROM "r0") AS "t"']
    assert read("select sum(a) from t where b = 'x'") == ['SELECT "a", "b" FROM (SELECT * FROM "r0") AS "t"']
    assert read("from t") == ['SELECT "a", "b", "c" FROM (SELECT * FROM "r0") AS "t"']
    assert read("select t from t") == ['SELECT "a", "b", "c" FROM (SELECT * FROM "r0") AS "t"']


REFUSED = [
    "from 'FILE'",
    'from "FILE"',
    "from read_csv('FILE')",
    "from read_text('FILE')",
    "from read_blob('FILE')",
    "from glob('*')",
    "from sniff_csv('FILE')",
    "from query('select 1')",
    "from query_table('t')",
    "from duckdb_settings()",
    "from duckdb_settings",
    "from pg_catalog.pg_class",
    "from system.information_schema.tables",
    "from sqlite_master",
    "from pragma_table_info('t')",
    "from which_secret('s3://x', 's3')",
    "from json_execute_serialized_sql(json_serialize_sql('from duckdb_settings()'))",
    "with duckdb_settings as (select 1) select * from pg_catalog.duckdb_settings",
    "with c as (from duckdb_views) select 1",
    "select (from duckdb_secrets)",
    "select (with duckdb_settings as (select 1 as name) select 1), value from duckdb_settings",
    "select (with recursive pg_class as (select 1 as relname) select 1), relname from pg_class",
    "with c as (with sqlite_master as (select 1 as name) select 1) select name from sqlite_master",
    'select (with "FILE" as (select 1) select 1) from "FILE"',
    "select current_setting('temp_directory')",
    "select getenv('HOME')",
    "select getvariable('x')",
    "select pg_sleep(1)",
    "select sleep_ms(1000)",
    "select write_log('x')",
    "select current_query()",
    "select json_serialize_sql('select 1')",
    "select system.main.current_setting('temp_directory')",
    "select 'x'.getenv()",
    "summarize t",
    "copy t to 'FILE'",
    "copy (from t) to 'FILE'",
    "attach 'FILE' as other",
    "install httpfs",
    "load httpfs",
    "pragma database_list",
    "set enable_external_access = true",
    "reset all",
    "call pragma_version()",
    "export database 'FILE'",
    "import database 'FILE'",
    "use memory",
    "create table x as from t",
    "create macro f() as 1",
    "insert into scratch.t select 1",
    "vacuum",
    "checkpoint",
    "prepare p as select 1",
    "execute p",
    "select 1; select 2",
    "select 1; attach 'FILE'",
    "explain attach 'FILE'",
    "explain analyze attach 'FILE'",
    "from t at (version => 1)",
    "from nothing",
    "from Other.t",
    "",
    "select",
]


@pytest.mark.parametrize("text", REFUSED)
def test_a_query_reaches_nothing_but_tables(sales: Asked, tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a\n1\n")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(QueryError) as caught:
        sales.rows(text.replace("FILE", str(file)), settings=DUCKDB)
    assert caught.value.kind in ("invalid", "unsupported", "not_found", "denied")
    assert str(tmp_path) not in caught.value.message or str(tmp_path) in text.replace("FILE", str(file))
    assert sorted(tmp_path.iterdir()) == before


def test_a_parameter_has_no_number_that_fills_the_memory(sales: Asked) -> None:
    with pytest.raises(QueryError, match=r"numbered from \$1 to \$10000"):
        sales.database.prepare("select $2000000000", LOCAL, DUCKDB)


def test_variables_of_the_process_are_no_tables(sales: Asked) -> None:
    secret = pa.table({"a": [1]})
    assert secret.num_rows == 1
    with pytest.raises(QueryError, match="no table `secret`"):
        sales.rows("from secret", settings=DUCKDB)


def test_what_gets_by_the_reading_reaches_nothing_either(tmp_path: Path) -> None:
    from heddle.database.duckdb_instance import opened

    file = tmp_path / "rows.csv"
    file.write_text("a\n1\n")
    secret = pa.table({"a": [1]})
    assert secret.num_rows == 1
    with opened(memory_bytes=64 << 20, cores=1, spill=tmp_path / "spill") as connection:
        for text in (
            f"from '{file}'",
            f"from read_text('{file}')",
            f"copy (select 1) to '{tmp_path / 'new.csv'}'",
            f"attach '{tmp_path / 'new.db'}'",
            f"from glob('{tmp_path}/*')",
            "install httpfs",
            "load httpfs",
            "from secret",
            "set enable_external_access = true",
            "set temp_directory = '/tmp'",
            "set memory_limit = '100GB'",
            "create persistent secret (type s3)",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(text).fetchall()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def restricted() -> Policy:
    own = PolicySettings("own", ("Sales.t",), "b = current_user", {"c": "null"}, except_roles=("all",))
    return Policy(ServeSettings(policies=(own,), roles={EVERYONE: Role(EVERYONE, ("Sales.t",))}))


def test_policies_hold(tmp_path: Path) -> None:
    with asking(tmp_path, {"sales.he": PROGRAM}, policy=restricted()) as asked:
        x, boss = Viewer("x"), Viewer("boss", ("all",))
        for text, seen in (
            ("from t", [{"a": 1, "b": "x", "c": None}]),
            ("select a.* from t a, t b", [{"a": 1, "b": "x", "c": None}]),
            ("select count(*) as n, sum(c) as s from t", [{"n": 1, "s": None}]),
            ("with q as (from t) select max(b) as b from q", [{"b": "x"}]),
            ("select (select count(*) from t) as n", [{"n": 1}]),
            ("select a from t where error(b) is null", None),
            ("select a from t where (1 // (a - 2)) is not null", [{"a": 1}]),
        ):
            if seen is None:
                continue
            assert asked.rows(text, viewer=x, settings=DUCKDB) == seen, text
        assert len(asked.rows("from t", viewer=boss, settings=DUCKDB)) == 4
        with pytest.raises(QueryError, match="no table `u`"):
            asked.rows("from u", viewer=x, settings=DUCKDB)
        with pytest.raises(QueryError, match="plans over restricted outputs"):
            asked.rows("explain from t", viewer=x, settings=DUCKDB)
        with pytest.raises(QueryError) as caught:
            asked.rows("select b::int from t", viewer=x, settings=DUCKDB)
        assert "what it met is not shown" in caught.value.message


def test_errors_are_told_in_a_line(sales: Asked) -> None:
    for text, kind, message in (
        ("select nothing from t", "invalid", "nothing"),
        ("select frobnicate(a) from t", "unsupported", "the function `frobnicate`"),
        ("select b::int from t", "failed", "Could not convert string 'x' to INT32"),
        ("selec a from t", "invalid", "cannot be read"),
        ("select a fro t", "invalid", ""),
    ):
        with pytest.raises(QueryError) as caught:
            sales.rows(text, settings=DUCKDB)
        assert (caught.value.kind, message in caught.value.message) == (kind, True), caught.value.message
        assert "\n" not in caught.value.message


def test_failures_of_a_view_are_its_own(tmp_path: Path) -> None:
    program = (
        'import "std/io" io\nstep rows = io.csv { path: "rows.csv" }\nworkflow W {\n  rows\n    > t\n}\n'
    )
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with asking(tmp_path, {"w.he": program}) as asked:
        assert asked.rows("from t", settings=DUCKDB) == [{"a": 1}]
        (tmp_path / "rows.csv").unlink()
        with pytest.raises(QueryError, match="there is no file") as caught:
            asked.rows("from t", settings=DUCKDB)
        assert "Traceback" not in caught.value.message


def test_limits_hold(sales: Asked) -> None:
    with pytest.raises(QueryError, match="more than 2 rows"):
        sales.rows("from t", settings=Settings(language="duckdb", rows_max=2))
    assert sales.rows("select count(*) as n from t", settings=Settings(language="duckdb", rows_max=2))
    with pytest.raises(QueryError) as caught:
        text = "select list(i) from range(50000000) r(i)"
        sales.rows(text, settings=Settings(language="duckdb", memory_bytes=64 << 20))
    assert caught.value.kind == "exhausted"


@pytest.mark.parametrize(
    "text", ["select count(*) from range(10000000000) a(i), t where i % 7 = a", "from t, range(100000000)"]
)
def test_a_query_is_cancelled(sales: Asked, text: str) -> None:
    answer = sales.database.prepare(text, LOCAL, DUCKDB).run()
    ended: list[str] = []

    def read() -> None:
        try:
            for _ in answer.batches():
                started.set()
        except QueryError as error:
            ended.append(error.kind)

    started = threading.Event()
    thread = threading.Thread(target=read)
    thread.start()
    started.wait(0.2)  # the first query has no rows before its end
    answer.cancel()
    thread.join(PATIENCE_S)
    assert ended == ["cancelled"]


def test_a_query_that_is_cancelled_before_it_begins_does_not_begin(sales: Asked) -> None:
    answer = sales.database.prepare("select count(*) from range(10000000000)", LOCAL, DUCKDB).run()
    answer.cancel()
    answer.cancel()
    with pytest.raises(QueryError) as caught:
        list(answer.batches())
    assert caught.value.kind == "cancelled"


def test_an_answer_that_nobody_reads_on_frees_what_it_holds(sales: Asked) -> None:
    before = threading.active_count()
    for text in ("from t, range(100000000)", "from t a, t b, range(1000000)"):
        answer = sales.database.prepare(text, LOCAL, DUCKDB).run()
        next(answer.batches())
        answer.close()
    until(lambda: threading.active_count() <= before + 1, "threads stay behind")


def test_tables_are_changed_in_the_other_dialect(sales: Asked) -> None:
    with pytest.raises(QueryError, match="tables are changed in DataFusion's dialect"):
        sales.database.prepare("create table scratch.x as from t", LOCAL, DUCKDB)
    sales.updated("create table scratch.x as select a from t")
    assert sales.rows("select count(*) as n from scratch.x", settings=DUCKDB) == [{"n": 4}]
    sales.updated("drop table scratch.x")


def test_a_transaction_is_seen(sales: Asked) -> None:
    database: Database = sales.database
    sales.updated("create table scratch.y as select a from t")
    transaction = database.begin(LOCAL)
    sales.updated("insert into scratch.y values (9)", transaction=transaction)
    text = "select max(a) as a from scratch.y"
    statement = database.prepare(text, LOCAL, DUCKDB)
    for within, expected in ((transaction, 9), (None, 7)):
        batches = list(statement.run(transaction=within).batches())
        assert pa.Table.from_batches(batches).to_pylist() == [{"a": expected}]
    database.end(transaction, LOCAL, commit=False)
    sales.updated("drop table scratch.y")


def test_texts_that_nest_deeply_are_refused() -> None:
    for text in (
        "select " + "(" * 5000 + "1" + ")" * 5000,
        "select " + "1+" * 200_000 + "1",
        "x" * (2 << 20),
    ):
        with pytest.raises(QueryError):
            read_duckdb(text)

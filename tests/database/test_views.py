"""Outputs as views: a client's query and the workflow are one plan, without effects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.database.errors import QueryError
from heddle.database.model import LOCAL, Settings
from heddle.errors import ProgramError, UsageError
from tests.database.asking import Asked, asking

PLUGIN = """
import pyarrow as pa
import pyarrow.compute as pc

from heddle.core import Table
from heddle.core.step import StepContext
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="shop")


class Order(Table):
    id: int
    total: float


class Tax(Table):
    tax: float


@plugin.step(name="tax", rows="map", passthrough=True, deterministic=True)
def tax(input: Order, context: StepContext) -> Tax:
    rows = input.to_arrow()
    context.log.info("%d rows", rows.num_rows)
    context.reject(pc.less(rows["total"], 0.0), "a total is never negative")
    return Table.from_arrow(rows.append_column("tax", pc.multiply(rows["total"], 0.2)))


@plugin.step(name="mail", effect=True, rows="map", passthrough=True)
def mail(input: Order) -> Order:
    raise AssertionError("a query sends nothing")


@plugin.step(name="boom", rows="map", deterministic=True)
def boom(input: Order) -> Order:
    raise ValueError("no luck today")
"""

PROGRAM = """
import "shop" shop

step orders = io.parquet { path: "orders.parquet" }

handler kept_aside {
  *
    | io.json { path: "aside.jsonl" }
}

// The shop's orders.
workflow Shop ? kept_aside {
  // Each order once.
  (from orders | select {id, customerId, total})
    > all_orders

  (from all_orders | select {id, total})
    | shop.tax
    > taxed

  (from orders | select {id, total})
    | shop.mail
    > mailed

  (from orders | select {id, total})
    | shop.boom
    > broken

  (from all_orders | group {customerId} (aggregate { spent = sum total, count = count this }))
    > customers

  customers
    | io.csv { path: "customers.csv" }
}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("shop")
    orders = pa.table(
        {
            "id": pa.array(range(1000), pa.int64()),
            "customerId": pa.array([i % 7 for i in range(1000)], pa.int64()),
            "total": pa.array([float(i) - 10 for i in range(1000)], pa.float64()),
            "unused": ["x" * 10] * 1000,
        }
    )
    pq.write_table(orders, folder / "orders.parquet", row_group_size=100)
    (folder / "heddle.toml").write_text(
        '[project]\nname = "shop"\nnamespace = "acme"\n[plugins]\n"shop" = "shop.py"\n'
    )
    (folder / "shop.py").write_text(PLUGIN)
    with asking(folder, {"shop.he": PROGRAM}) as asked:
        yield asked
    assert not (folder / "customers.csv").exists()
    assert not (folder / "aside.jsonl").exists()


def test_the_catalog_tells_namespaces_workflows_and_outputs(shop: Asked) -> None:
    views = [t for t in shop.database.tables(LOCAL) if t.kind == "VIEW"]
    assert [str(t.name) for t in views] == [
        f"acme.Shop.{name}" for name in ("all_orders", "broken", "customers", "mailed", "taxed")
    ]
    first = views[0]
    assert first.remarks == "Each order once."
    assert first.schema.names == ["id", "customerId", "total"]
    assert shop.database.catalog == "acme"


def test_a_filter_reaches_the_file_and_unread_columns_do_not(shop: Asked) -> None:
    assert shop.rows("select id from all_orders where id = 700") == [{"id": 700}]
    plan = shop.plan("select id from all_orders where id = 700")
    assert "pushed into step/orders: columns id; filter id = Int64(700)" in plan


def test_a_filter_goes_before_a_step(shop: Asked) -> None:
    assert shop.rows("select id, tax from taxed where id between 20 and 21 order by id") == [
        {"id": 20, "tax": 2.0},
        {"id": 21, "tax": 2.2},
    ]
    plan = shop.plan("select id, tax from taxed where id between 20 and 21")
    assert "goes before the step" in plan
    assert "pushed into step/orders: columns id, total; filter" in plan


def test_rows_that_a_handler_would_get_are_left_out(shop: Asked) -> None:
    assert shop.rows("select count(*) as n, min(total) as least from taxed") == [{"n": 990, "least": 0.0}]


def test_a_step_that_fails_fails_the_query(shop: Asked) -> None:
    with pytest.raises(QueryError, match="no luck today") as error:
        shop.rows("select * from broken")
    assert error.value.kind == "failed"


def test_an_output_behind_an_effect_is_no_view(shop: Asked) -> None:
    with pytest.raises(QueryError, match=r"rows come through `shop\.mail`, which has effects") as error:
        shop.rows("select * from mailed")
    assert error.value.kind == "unsupported"


def test_joins_aggregates_and_windows_over_several_outputs(shop: Asked) -> None:
    text = """
        with best as (select "customerId", spent from customers order by spent desc limit 2)
        select b.customerId, count(*) as n, max(o.total) as most,
               row_number() over (order by b.customerId) as place
        from best b, Shop.all_orders o
        where o.customerId = b.customerId and o.id not in (select id from taxed where tax > 100)
        group by b.customerId
        order by 1
    """
    assert shop.rows(text) == [
        {"customerId": 4, "n": 73, "most": 498.0, "place": 1},
        {"customerId": 5, "n": 73, "most": 499.0, "place": 2},
    ]


@pytest.mark.parametrize(
    "written",
    [
        "all_orders",
        "Shop.all_orders",
        "shop.ALL_ORDERS",
        'acme."Shop".all_orders',
        '"all_orders"',
        "ACME.shop.all_orders",
    ],
)
def test_names_are_found_as_people_write_them(shop: Asked, written: str) -> None:
    assert shop.rows(f"select customerId from {written} where customerid = 3 limit 1") == [{"customerId": 3}]


def test_columns_may_be_said_with_schema_and_table(shop: Asked) -> None:
    text = "select Shop.all_orders.id from Shop.all_orders where acme.shop.all_orders.total = 5.0"
    assert shop.rows(text) == [{"id": 15}]


def test_a_query_may_name_its_own_tables_as_outputs_are_named(shop: Asked) -> None:
    text = "with all_orders as (select id from all_orders where id < 3) select count(*) as n from all_orders"
    assert shop.rows(text) == [{"n": 3}]
    inner = "(with customers as (select 5 as five) select five from customers)"
    assert shop.rows(f"select {inner} as v, count(*) as n from customers") == [{"v": 5, "n": 7}]


def test_columns_of_the_same_name_stay_apart(shop: Asked) -> None:
    found = shop.table(
        "select a.id, b.total, b.id from all_orders a join taxed b on a.id + 1 = b.id where a.id = 20"
    )
    assert found.schema.names == ["id", "total", "id"]
    assert [column[0].as_py() for column in found.columns] == [20, 11.0, 21]


def test_a_session_says_where_names_are_looked_up(shop: Asked) -> None:
    settings = Settings(schema="information_schema")
    assert {"schema_name": "Shop"} in shop.rows("select schema_name from schemata", settings=settings)


def test_tools_find_the_tables_in_the_information_schema(shop: Asked) -> None:
    assert shop.rows(
        "select table_name, table_type, table_comment from information_schema.tables "
        "where table_name = 'all_orders'"
    ) == [{"table_name": "all_orders", "table_type": "VIEW", "table_comment": "Each order once."}]
    assert shop.rows(
        "select column_name, data_type from information_schema.columns where table_name = 'customers' "
        "order by ordinal_position"
    ) == [
        {"column_name": "customerId", "data_type": "int"},
        {"column_name": "spent", "data_type": "float"},
        {"column_name": "count", "data_type": "int"},
    ]


def test_parameters_have_types_and_are_values(shop: Asked) -> None:
    statement = shop.database.prepare(
        "select id from all_orders where id = ? and total > ? and 'x' = ?", LOCAL
    )
    assert [(f.name, f.type) for f in statement.parameters] == [
        ("$1", pa.int64()),
        ("$2", pa.float64()),
        ("$3", pa.string()),
    ]
    hostile = "x' or 1 = 1 --"
    assert [b.num_rows for b in statement.run((15, 1.0, hostile)).batches()] == [0]
    assert [b.to_pylist() for b in statement.run((15, 1.0, "x")).batches()] == [[{"id": 15}]]
    assert shop.rows("select $2 as b, $1 as a, $2 as c", 1, "it's") == [{"b": "it's", "a": 1, "c": "it's"}]
    with pytest.raises(QueryError, match="3 parameters, and 1 values came"):
        statement.run((1,))


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("select * from all_order", "not_found", "there is no table `all_order`"),
        ("select totl from all_orders", "invalid", "No field named totl"),
        ("select id from all_orders where", "invalid", "cannot be read"),
        ("select 1; select 2", "invalid", "one statement at a time"),
        ("", "invalid", "is empty"),
        ("copy (select 1) to 'x.csv'", "unsupported", "`COPY` is no query"),
        ("select * from read_csv('/etc/passwd')", "not_found", "there is no table"),
        ("select * from '/etc/passwd'", "not_found", "there is no table"),
        ("delete from all_orders", "not_found", ""),
        ("delete from shop.all_orders", "denied", "cannot be changed"),
        ("create table nowhere.x (a int)", "denied", "`nowhere.x` cannot be changed"),
        (
            "with q1 as (select 1 as a) select * from q1, all_orders",
            "invalid",
            "the name `q1` cannot be used",
        ),
        ("select 1 + " * 1200 + "1", "invalid", ""),
        ("select " + "+".join(["1"] * 1500), "invalid", "nested more than 1000 deep"),
        ("select " + "(" * 5000 + "1" + ")" * 5000, "invalid", "nested"),
        ("select '" + "x" * (1 << 20) + "'", "invalid", "longer than"),
        ("select id / 0 from all_orders", "failed", "division by zero"),
    ],
)
def test_what_cannot_be_asked_is_said_with_its_kind(shop: Asked, text: str, kind: str, message: str) -> None:
    with pytest.raises(QueryError) as error:
        shop.rows(text)
    assert error.value.kind == kind, error.value.message
    assert message in error.value.message


def test_a_limit_of_rows_ends_the_answer(shop: Asked) -> None:
    settings = Settings(rows_max=10)
    assert len(shop.rows("select id from all_orders limit 10", settings=settings)) == 10
    with pytest.raises(QueryError, match="more than 10 rows") as error:
        shop.rows("select id from all_orders", settings=settings)
    assert error.value.kind == "exhausted"


def test_a_time_limit_ends_the_query(shop: Asked) -> None:
    tables = ", ".join(f"all_orders {name}" for name in "abcd")
    endless = f"select count(*) from {tables} where (a.id * b.id * c.id * d.id) % 7 = 3"
    with pytest.raises(QueryError, match=r"took longer than 0\.05 s") as error:
        shop.rows(endless, settings=Settings(timeout_s=0.05))
    assert error.value.kind == "timeout"


def test_outputs_of_two_programs_meet_in_one_query(tmp_path: Path) -> None:
    programs = {
        "one.he": 'workflow One {\n  [{ k: 1, a: "x" }, { k: 2, a: "y" }]\n    > left_side\n}\n',
        "two.he": "workflow Two {\n  [{ k: 2, b: 1.5 }, { k: 3, b: 2.5 }]\n    > right_side\n}\n",
    }
    with asking(tmp_path, programs) as asked:
        joined = "left_side l full join right_side r on l.k = r.k"
        assert asked.rows(f"select l.k, a, b from {joined} order by coalesce(l.k, r.k)") == [
            {"k": 1, "a": "x", "b": None},
            {"k": 2, "a": "y", "b": 1.5},
            {"k": None, "a": None, "b": 2.5},
        ]


def test_a_folder_is_all_its_programs(tmp_path: Path) -> None:
    from heddle.database.database import Database

    (tmp_path / "a.he").write_text("workflow A {\n  [{ k: 1 }]\n    > one\n}\n")
    (tmp_path / "b.he").write_text("workflow B {\n  [{ k: 2 }]\n    > one\n}\n")
    with Database.open([tmp_path]) as database:
        asked = Asked(database)
        with pytest.raises(QueryError, match=r"`one` is in several schemas") as error:
            asked.rows("select * from one")
        assert error.value.help == "say which: `A.one`, `B.one`"
        assert asked.rows("select k from b.one") == [{"k": 2}]
        assert asked.rows("select k from one", settings=Settings(schema="A")) == [{"k": 1}]


@pytest.mark.parametrize("source", ["from ", "FROM\n", "from/**/"])
def test_rows_of_a_function_are_given_as_they_come(shop: Asked, source: str) -> None:
    """The first ones are there before a later one fails."""
    text = f"select 1 / (5000000 - value) as x {source}generate_series(1, 5000000)"
    batches = shop.database.prepare(text, LOCAL).run().batches()
    assert next(batches).num_rows > 0
    with pytest.raises(QueryError):
        list(batches)


def test_programs_that_cannot_be_served_together_are_refused(tmp_path: Path) -> None:
    from heddle.database.database import Database

    program = "workflow A {\n  [{ k: 1 }]\n    > one\n}\n"
    (tmp_path / "a.he").write_text(program)
    (tmp_path / "b.he").write_text(program)
    with pytest.raises(UsageError, match="two programs have the workflow `A`"):
        Database.open([tmp_path])
    (tmp_path / "b.he").write_text("workflow B {\n  nowhere\n    > one\n}\n")
    with pytest.raises(ProgramError):
        Database.open([tmp_path])
    with pytest.raises(UsageError, match="has no programs"):
        Database.open([_empty(tmp_path)])


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"

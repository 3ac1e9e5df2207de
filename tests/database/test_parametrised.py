"""Outputs that take parameters: each call is the output under its own values, as a run with them gives it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.core.refresh_policy import RefreshPolicy
from heddle.database.errors import QueryError
from heddle.database.model import LOCAL, Settings, TableInfo, TableParameter, Viewer
from heddle.database.policy import Policy
from heddle.errors import UsageError
from heddle.serve_settings import PolicySettings, Role, ServeSettings
from tests.database import days
from tests.database.asking import Asked, asking

NORTH = Viewer("north", ("analyst",))
POLICY = Policy(
    ServeSettings(
        roles={"analyst": Role("analyst", sees=("Days.orders_since",))},
        policies=(PolicySettings("few", ("Days.orders_since",), "id <> 12", {"amount": "null"}),),
    )
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("days")
    days.write(folder)
    with asking(folder, {"days.he": days.PROGRAM, "more.he": MORE}, policy=POLICY) as asked:
        yield asked


MORE = """
workflow More {
  [{ id: 11 }, { id: 12 }, { id: 19 }]
    > chosen
}
"""


def ids(shop: Asked, text: str, *values: object, viewer: Viewer = LOCAL) -> list[object]:
    return sorted(row["id"] for row in shop.rows(text, *values, viewer=viewer))  # type: ignore[type-var]


def info(shop: Asked, name: str) -> TableInfo:
    (found,) = [i for i in shop.database.tables(LOCAL) if i.name.schema == "Days" and i.name.name == name]
    return found


def test_the_catalog_says_what_a_table_takes(shop: Asked) -> None:
    since = TableParameter("since", pa.date32(), required=True)
    until = TableParameter("until", pa.date32(), required=False)
    assert info(shop, "orders_since").parameters == (since, until)
    assert info(shop, "counted").parameters == (since, until)
    assert [p.name for p in info(shop, "told").parameters] == ["name", "count"]
    assert info(shop, "plain").parameters == ()
    found = shop.rows(
        "select parameter, position, type, required from system.table_parameters "
        "where \"table\" = 'per_day' order by position"
    )
    assert found == [
        {"parameter": "since", "position": 1, "type": "date", "required": True},
        {"parameter": "until", "position": 2, "type": "date", "required": False},
    ]


@pytest.mark.parametrize(
    ("call", "values"),
    [
        ("Days.orders_since(since => '2026-01-18')", ()),
        ("heddle.\"Days\".orders_since(since => '2026-01-18')", ()),
        ("orders_since('2026-01-18')", ()),
        ("ORDERS_SINCE ( SINCE => date '2026-01-18' )", ()),
        ("orders_since(since => '2026-01-18'::date, until => cast('2026-12-01' as date))", ()),
        ("orders_since(until => '2026-12-31', since => timestamp '2026-01-18 00:00:00')", ()),
        ("orders_since(since => ?)", ("2026-01-18",)),
        ("orders_since($1)", (datetime.date(2026, 1, 18),)),
        ("orders_since(since => $since)", (pa.scalar(datetime.date(2026, 1, 18)),)),
        ("orders_since(since => $1::date, until => $2)", ("2026-01-18", None)),
        ("orders_since(since := ?)", (pa.array(["2026-01-18"]).dictionary_encode()[0],)),
    ],
)
def test_values_by_name_and_by_place(shop: Asked, call: str, values: tuple[object, ...]) -> None:
    expected = [] if None in values else [18, 19, 20]
    assert ids(shop, f"select id from {call}", *values) == expected
    assert ids(shop, f"select o.id from {call} as o where o.amount > 0", *values) == expected


def test_a_table_keeps_its_name_without_an_alias(shop: Asked) -> None:
    text = "select Days.orders_since.id from Days.orders_since(since => '2026-01-20')"
    assert shop.rows(text) == [{"id": 20}]


def test_other_values_are_another_answer(shop: Asked) -> None:
    text = "select count(*) as n from large(since => ?)"
    for day, count in ((18, 3), (11, 10), (18, 3), (1, 18)):
        assert shop.rows(text, f"2026-01-{day:02}") == [{"n": count}]
    statement = shop.database.prepare("select count(*) as n from Days.counted(since => $1)", LOCAL)
    for day, count in ((20, 1), (16, 5)):
        (batch,) = statement.run([datetime.date(2026, 1, day)]).batches()
        assert batch.to_pydict() == {"n": [count]}


def test_the_same_table_under_several_values(shop: Asked) -> None:
    text = (
        "select a.id, b.n from Days.large(since => '2026-01-10') a "
        "join Days.counted(since => $1, until => $2) b on a.id = b.id order by a.id"
    )
    assert shop.rows(text, "2026-01-09", "2026-01-11") == [{"id": 10, "n": 1}, {"id": 11, "n": 1}]
    text = (
        "select (select count(*) from per_day(since => '2026-01-15')) as a, "
        "(select count(*) from per_day(since => '2026-01-19')) as b, "
        "(select count(*) from per_day(since => '2026-01-15')) as c, "
        "(select count(*) from plain) as d"
    )
    assert shop.rows(text) == [{"a": 6, "b": 2, "c": 6, "d": 1}]


def test_columns_and_lookups_below(shop: Asked) -> None:
    text = (
        "select a.number, b.double from renamed(since => '2026-01-18') a "
        "join renamed(since => ?) b on a.number = b.number order by a.number"
    )
    assert shop.rows(text, "2026-01-19") == [{"number": 19, "double": 57}, {"number": 20, "double": 60}]
    text = (
        "select a.id, a.amount as own, b.amount from found(since => '2026-01-15', least => ?) a "
        "left join found('2026-01-16', least => ?) b on a.id = b.id order by a.id"
    )
    assert shop.rows(text, 27, 28.5) == [
        {"id": 18, "own": 27.0, "amount": None},
        {"id": 19, "own": 28.5, "amount": 28.5},
        {"id": 20, "own": 30.0, "amount": 30.0},
    ]
    assert ids(shop, "select id from found(since => ?)", "2026-01-18") == [18, 19, 20]


def test_unions_common_table_expressions_and_subqueries(shop: Asked) -> None:
    text = (
        "with orders_since as (select id from Days.orders_since(since => '2026-01-19')), "
        "own as (select * from orders_since) "
        "select id from own union all select id from orders_since(since => ?) "
        "union all select id from plain where id in (select n from number)"
    )
    assert ids(shop, text, "2026-01-20") == [19, 20, 20]


def test_what_has_a_value_may_be_left_out(shop: Asked) -> None:
    assert shop.rows("select n from number") == [{"n": 20}]
    assert shop.rows("select n from Days.number()") == [{"n": 20}]
    assert shop.rows("select n from number(least => 15)") == [{"n": 11}]
    text = "select a.n, b.n as m, c.n as k from number a, number(15) b, number(least => 15.0) c"
    assert shop.rows(text) == [{"n": 20, "m": 11, "k": 11}]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("'x''y @since $1 ?'", "x'y @since $1 ?"),
        ("12", "12"),
        ("-1.5", "-1.5"),
        ("true", "true"),
        ("date '2026-01-01'", "2026-01-01"),
        ("cast(1.50 as decimal(5, 2))", "1.50"),
    ],
)
def test_a_text_is_any_value_as_it_is_written(shop: Asked, name: str, shown: str) -> None:
    (row,) = shop.rows(f"select * from told(name => {name}, count => ?)", Decimal("7.10"))
    assert row == {"name": shown, "kind": "text", "count": "7.10"}


def test_parameters_have_the_types_of_what_they_are_given_to(shop: Asked) -> None:
    text = "select * from orders_since(since => $2) o, number(least => $1) where o.id > $3"
    statement = shop.database.prepare(text, LOCAL)
    assert [(f.name, f.type) for f in statement.parameters] == [
        ("$1", pa.float64()),
        ("$2", pa.date32()),
        ("$3", pa.int64()),
    ]
    text = "select * from orders_since(since => $day) where day > $day"
    assert shop.database.prepare(text, LOCAL).parameters.field("$day").type == pa.date32()


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        ("orders_since", "`Days.orders_since` needs a value for its parameter `since`", "(since => …)"),
        ("orders_since(until => '2026-01-01')", "needs a value for its parameter `since`", "(since => …)"),
        ("counted()", "`Days.counted` needs a value", "such as Days.counted(since => …)"),
        ("large(sinc => '2026-01-01')", "takes no parameter `sinc`", "did you mean `since`?"),
        ("number(1, 2)", "takes 1 value, and 2 are given", None),
        ("number(least => 1, least => 1)", "`least` is given twice", None),
        ("number(1, least => 1)", "`least` is given twice", None),
        ("orders_since(since => '2026-01-01', '2026-01-02')", "come before", None),
        ("plain(1)", "`Days.plain` takes no parameters", "leave out the parentheses"),
        ("number(least = 1)", "written `name => value`", None),
        ("number(least => now())", "`number` takes a literal", "single quotes"),
        ('number(least => "x")', "`number` takes a literal", "single quotes"),
        ("number((select 1))", "`number` takes a literal", None),
        ("plain p, lateral number(p.id)", "`number` takes a literal", None),
        ("plain p, lateral number(1)", "cannot", None),
        ("large('2026-13-01')", "the value given for `since` is no date", "like '2026-01-31'"),
        ("large(true)", "the value given for `since` is no date", None),
        ("large(timestamp '2026-01-01 10:00:00')", "the value given for `since` is no date", None),
        ("number('much')", "the value given for `least` is no float", "like 0.5"),
        ("number(cast('much' as int))", "Cannot cast", None),
        ("nothing(1)", "there is no table `nothing`", None),
    ],
)
def test_what_does_not_fit_is_said(shop: Asked, text: str, message: str, help: str | None) -> None:
    with pytest.raises(QueryError) as error:
        shop.rows(f"select * from {text}")
    assert error.value.kind in ("invalid", "not_found", "unsupported"), error.value.kind
    assert message in error.value.message
    assert help is None or help in (error.value.help or "")


def test_values_of_a_wrong_kind_are_refused_when_they_come(shop: Asked) -> None:
    statement = shop.database.prepare("select * from number(least => ?)", LOCAL)
    for value in ("much", pa.scalar([1.0]), b"1", object()):
        with pytest.raises(QueryError) as error:
            statement.run([value])
        assert error.value.kind == "invalid"


def test_policies_hold_for_calls(shop: Asked) -> None:
    rows = shop.rows("select * from orders_since(since => '2026-01-11')", viewer=NORTH)
    assert [row["id"] for row in rows] == [11, *range(13, 21)]
    assert {row["amount"] for row in rows} == {None}
    joined = (
        "with large as (select 12 as id) select a.id from Days.orders_since(since => ?) as large "
        "join orders_since(since => '2026-01-11') a on a.id = large.id"
    )
    assert ids(shop, joined, "2026-01-18", viewer=NORTH) == [18, 19, 20]
    for text in (
        "select * from large(since => '2026-01-11')",
        "with orders_since as (select * from Days.large(since => '2026-01-11')) select * from orders_since",
    ):
        with pytest.raises(QueryError, match=r"there is no table `.*large`"):
            shop.rows(text, viewer=NORTH)
    with pytest.raises(QueryError, match="plans over restricted outputs"):
        shop.rows("explain select * from orders_since(since => '2026-01-11')", viewer=NORTH)
    assert shop.rows('select distinct "table" from system.table_parameters', viewer=NORTH) == [
        {"table": "orders_since"}
    ]


def test_a_second_program_in_the_statement(shop: Asked) -> None:
    text = "select c.id from More.chosen c join Days.large(since => ?) l on l.id = c.id"
    assert ids(shop, text, "2026-01-12") == [12, 19]
    assert ids(shop, text, "2026-01-13") == [19]
    text = (
        "select c.id from chosen c join large(since => '2026-01-12') a on a.id = c.id "
        "left join large(since => '2026-01-15') b on b.id = c.id where b.id is null"
    )
    assert ids(shop, text) == [12]


def test_changes_of_tables_take_calls(shop: Asked) -> None:
    shop.updated("create table few as select id from large(since => ?)", "2026-01-19")
    assert shop.updated(
        "insert into few select id from Days.large(since => $1) where id > $2", "2026-01-18", 18
    )
    assert ids(shop, "select id from few") == [19, 19, 20, 20]
    count = shop.updated("delete from few where id in (select id from large(since => '2026-01-20'))")
    assert count == 2


def test_prql_reads_what_needs_no_value(shop: Asked) -> None:
    prql = Settings(language="prql")
    assert shop.rows("from number | derive m = n + 1", settings=prql) == [{"n": 20, "m": 21}]
    with pytest.raises(QueryError, match="needs a value for its parameter `since`") as error:
        shop.rows("from large | take 1", settings=prql)
    assert "Days.large(since => …)" in (error.value.help or "")


def test_an_output_that_is_kept_is_kept_under_one_value(tmp_path: Path) -> None:
    days.write(tmp_path)
    manual = RefreshPolicy("manual")
    with (
        pytest.raises(UsageError, match="its parameter `since` has no value") as error,
        asking(tmp_path, {"days.he": days.PROGRAM}, materialize={"Days.large": manual}),
    ):
        pass
    assert "--param since=…" in (error.value.help or "")
    kept = {"Days.large": manual, "Days.number": manual}
    given = {"since": "2026-01-18"}
    with asking(tmp_path, {"days.he": days.PROGRAM}, materialize=kept, params=given) as asked:
        asked.updated("refresh table Days.large")
        assert ids(asked, "select id from large") == [18, 19, 20]
        assert info(asked, "large").parameters == ()
        with pytest.raises(QueryError, match=r"`Days\.large` takes no parameters"):
            asked.rows("select * from large(since => '2026-01-01')")
        assert ids(asked, "select id from orders_since") == [18, 19, 20]
        assert ids(asked, "select id from orders_since(since => '2026-01-19')") == [19, 20]


FIXED = """
import "fhub/sqlite" sqlite

resource db = sqlite.connection { path: "@file" }

workflow Fixed(file: string = "days.db", least: float) {
  io.csv { path: "@table" }
    > table

  <connection=db> sqlite.query { query: "SELECT id FROM orders WHERE amount >= @least AND @file <> ''" }
    > from_file

  [ { id: 1 } ]
    > plain
}
"""


def test_what_resources_and_columns_depend_on_is_given_at_the_start(tmp_path: Path) -> None:
    days.write(tmp_path)
    (tmp_path / "a.csv").write_text("id,name\n1,x\n")
    with asking(tmp_path, {"fixed.he": FIXED}) as asked:
        assert asked.rows("select * from plain") == [{"id": 1}]
        with pytest.raises(QueryError, match=r"its parameter `table` has no value.*--param table=…"):
            asked.rows("select * from Fixed.table")
        text = "select id from from_file(least => 29, file => '/etc/passwd')"
        with pytest.raises(QueryError, match=r"takes nothing from a statement: a resource depends on it"):
            asked.rows(text)
        assert ids(asked, "select id from from_file(29)") == [20]
    with asking(tmp_path, {"fixed.he": FIXED}, params={"table": "a.csv"}) as asked:
        assert asked.rows("select * from Fixed.table") == [{"id": 1, "name": "x"}]
        with pytest.raises(QueryError, match="columns may depend on it"):
            asked.rows("select * from Fixed.table(table => 'b.csv')")


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("amount > (select avg(amount) from at_least)", 3),
        ("amount > (select avg(amount) from at_least) and id > 18", 2),
        ("amount > (select avg(amount) from orders_since('2026-01-18'))", 1),
        ("id > 18 and (select count(*) from orders_since('2026-01-18')) = 3", 2),
    ],
)
def test_a_condition_may_ask_another_output(shop: Asked, condition: str, count: int) -> None:
    rows = shop.rows(f"select count(*) as n from orders_since('2026-01-18') where {condition}")
    assert rows == [{"n": count}]

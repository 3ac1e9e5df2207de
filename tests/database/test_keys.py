"""Keys and refresh policies that programs declare for their outputs, as viewers find them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from heddle.core.refresh_policy import RefreshPolicy
from heddle.database.database import Database
from heddle.database.errors import QueryError
from heddle.database.model import LOCAL, ForeignKey, TableInfo, TableName, Viewer
from heddle.database.policy import Policy
from heddle.serve_settings import PolicySettings, Role, ServeSettings
from tests.database.asking import Asked, asking

SHOP = """
workflow Shop {
  [{ id: 1, name: "Ada" }]
    > customers { key: "id" }

  [{ order_id: 10, line: 1, customer: 1, gift_to: 1, item: 7, replaces: 10 }]
    > lines {
      key: ["order_id", "line"]
      references: [
        { customer: "Shop.customers.id" }
        { gift_to: "Shop.customers.id" }
        { item: "Stock.items.id" }
        { line: "Shop.lines.line", replaces: "Shop.lines.order_id" }
      ]
    }

  [{ order_id: 10 }]
    > plain
}
"""
STOCK = """
workflow Stock {
  [{ id: 7, title: "pen" }]
    > items { key: "id" }
}
"""
BOTH = {"shop.he": SHOP, "stock.he": STOCK}
EVE = Viewer("eve", ("buyer",))


def table(asked: Asked, name: str, viewer: Viewer = LOCAL) -> TableInfo:
    (found,) = [info for info in asked.database.tables(viewer) if info.name.name == name]
    return found


def key(name: str, columns: str, referenced: str, key_columns: str) -> ForeignKey:
    schema, _, output = referenced.partition(".")
    columns_, keys = tuple(columns.split()), tuple(key_columns.split())
    return ForeignKey(f"lines_{name}_fkey", columns_, TableName("heddle", schema, output), keys)


TO_CUSTOMERS = key("customer", "customer", "Shop.customers", "id")
TO_RECEIVERS = key("gift_to", "gift_to", "Shop.customers", "id")
TO_ITEMS = key("item", "item", "Stock.items", "id")
TO_LINES = key("line_replaces", "line replaces", "Shop.lines", "line order_id")


def test_keys_of_tables(tmp_path: Path) -> None:
    with asking(tmp_path, BOTH) as asked:
        assert table(asked, "customers").primary_key == ("id",)
        lines = table(asked, "lines")
        assert lines.primary_key == ("order_id", "line")
        assert lines.foreign_keys == (TO_CUSTOMERS, TO_RECEIVERS, TO_ITEMS, TO_LINES)
        assert (table(asked, "plain").primary_key, table(asked, "plain").foreign_keys) == ((), ())
        assert asked.database.key_problems() == ()
        keys = asked.rows("SELECT output, key FROM system.outputs ORDER BY output")
        assert {row["output"]: row["key"] for row in keys} == {
            "customers": ["id"],
            "items": ["id"],
            "lines": ["order_id", "line"],
            "plain": [],
        }


@pytest.mark.parametrize(
    ("stock", "message"),
    [
        (None, "`Shop.lines` refers to `Stock.items`, which no program has that is served"),
        (STOCK.replace(' { key: "id" }', ""), "`Stock.items`, which declares no key"),
        (STOCK.replace('key: "id"', 'key: ["id", "title"]'), "`Stock.items`, whose key is `id`, `title`"),
        (STOCK.replace("id: 7", 'id: "7"'), "`Stock.items`, whose key is `id`"),
    ],
)
def test_a_reference_to_what_is_not_there_is_told_to_who_serves(
    tmp_path: Path, stock: str | None, message: str
) -> None:
    programs = {"shop.he": SHOP} if stock is None else {"shop.he": SHOP, "stock.he": stock}
    with asking(tmp_path, programs) as asked:
        assert table(asked, "lines").foreign_keys == (TO_CUSTOMERS, TO_RECEIVERS, TO_LINES)
        (found,) = asked.database.key_problems()
        assert (found.code, found.severity) == ("HD0713", "warning")
        assert message in found.message
        assert found.source.text[found.span.start : found.span.end] == '{ item: "Stock.items.id" }'


def test_the_tables_of_the_standard(tmp_path: Path) -> None:
    with asking(tmp_path, BOTH) as asked:
        constraints = asked.rows(
            "SELECT * FROM information_schema.table_constraints ORDER BY constraint_name"
        )
        assert [(c["table_name"], c["constraint_name"], c["constraint_type"]) for c in constraints] == [
            ("customers", "customers_pkey", "PRIMARY KEY"),
            ("items", "items_pkey", "PRIMARY KEY"),
            ("lines", "lines_customer_fkey", "FOREIGN KEY"),
            ("lines", "lines_gift_to_fkey", "FOREIGN KEY"),
            ("lines", "lines_item_fkey", "FOREIGN KEY"),
            ("lines", "lines_line_replaces_fkey", "FOREIGN KEY"),
            ("lines", "lines_pkey", "PRIMARY KEY"),
        ]
        assert {(c["enforced"], c["is_deferrable"], c["initially_deferred"]) for c in constraints} == {
            ("NO", "NO", "NO")
        }
        columns = asked.rows(
            "SELECT column_name, ordinal_position AS n, position_in_unique_constraint AS m "
            "FROM information_schema.key_column_usage "
            "WHERE constraint_name IN ('lines_pkey', 'lines_line_replaces_fkey') ORDER BY constraint_name, n"
        )
        assert [tuple(row.values()) for row in columns] == [
            ("line", 1, 2),
            ("replaces", 2, 1),
            ("order_id", 1, None),
            ("line", 2, None),
        ]
        (reference,) = asked.rows(
            "SELECT * FROM information_schema.referential_constraints "
            "WHERE constraint_name = 'lines_item_fkey'"
        )
        assert reference == {
            "constraint_catalog": "heddle",
            "constraint_schema": "Shop",
            "constraint_name": "lines_item_fkey",
            "unique_constraint_catalog": "heddle",
            "unique_constraint_schema": "Stock",
            "unique_constraint_name": "items_pkey",
            "match_option": "NONE",
            "update_rule": "NO ACTION",
            "delete_rule": "NO ACTION",
        }


@pytest.mark.parametrize(
    ("sees", "policies", "held"),
    [
        (("Shop.*", "Stock.*"), (), (TO_CUSTOMERS, TO_RECEIVERS, TO_ITEMS, TO_LINES)),
        (("Shop.*",), (), (TO_CUSTOMERS, TO_RECEIVERS, TO_LINES)),
        (("Shop.lines",), (), (TO_LINES,)),
        (
            ("*.*",),
            (PolicySettings("p", ("Shop.customers",), masks={"id": "hash"}),),
            (TO_ITEMS, TO_LINES),
        ),
        (
            ("*.*",),
            (PolicySettings("p", ("Shop.customers",), filter="id > 5", masks={"name": "null"}),),
            (TO_CUSTOMERS, TO_RECEIVERS, TO_ITEMS, TO_LINES),
        ),
        (
            ("*.*",),
            (PolicySettings("p", ("Shop.lines",), masks={"line": "null", "item": "null"}),),
            (TO_CUSTOMERS, TO_RECEIVERS),
        ),
    ],
)
def test_a_viewer_finds_keys_between_what_is_seen(
    tmp_path: Path,
    sees: tuple[str, ...],
    policies: tuple[PolicySettings, ...],
    held: tuple[ForeignKey, ...],
) -> None:
    settings = ServeSettings(roles={"buyer": Role("buyer", sees=sees)}, policies=policies)
    with asking(tmp_path, BOTH, policy=Policy(settings)) as asked:
        assert table(asked, "lines", EVE).foreign_keys == held
        usage = "SELECT constraint_name FROM information_schema.referential_constraints ORDER BY 1"
        found = asked.rows(usage, viewer=EVE)
        assert [row["constraint_name"] for row in found] == sorted(each.name for each in held)
        masked = any("line" in policy.masks for policy in policies)
        assert table(asked, "lines", EVE).primary_key == (() if masked else ("order_id", "line"))
        assert len(table(asked, "lines").foreign_keys) == 4


def test_names_of_foreign_keys_are_unique_in_a_schema(tmp_path: Path) -> None:
    program = """
workflow W {
  [{ id: 1 }]
    > ids { key: "id" }

  [{ b_c: 1 }]
    > a { references: [{ b_c: "W.ids.id" }, { b_c: "W.ids.id" }] }

  [{ c: 1 }]
    > a_b { references: [{ c: "W.ids.id" }] }
}
"""
    with asking(tmp_path, {"w.he": program}) as asked:
        found = asked.rows("SELECT constraint_name AS n FROM information_schema.referential_constraints")
        assert [row["n"] for row in found] == ["a_b_c_fkey", "a_b_c_fkey1", "a_b_c_fkey2"]


def test_an_output_without_known_columns_has_no_keys(tmp_path: Path) -> None:
    steps = "from heddle.core import Table\n\n\ndef same(input: Table) -> Table:\n    return input\n"
    (tmp_path / "steps.py").write_text(steps)
    program = """
import "./steps"

workflow W {
  [{ id: 1 }]
    | steps.same
    > open { key: "id", references: [{ id: "W.open.id" }] }
}
"""
    with asking(tmp_path, {"w.he": program}) as asked:
        assert (table(asked, "open").primary_key, table(asked, "open").foreign_keys) == ((), ())


def test_a_changed_key_takes_effect(tmp_path: Path) -> None:
    for key in ("id", "name"):
        with asking(
            tmp_path,
            {
                "shop.he": SHOP.replace('{ key: "id" }', f'{{ key: "{key}" }}').replace(
                    "Shop.customers.id", f"Elsewhere.x.{key}"
                )
            },
        ) as asked:
            assert table(asked, "customers").primary_key == (key,)


# --- rows that are kept -----------------------------------------------------------------------


KEPT = """
workflow Sales {
  [{ region: "north", amount: 10 }]
    > orders { key: "region", materialize: true }

  (from orders | group region (aggregate { total = sum amount }))
    > totals { materialize: "manual" }

  (from orders | take 1)
    > view
}
"""


def refreshes(database: Database) -> Mapping[str, str | None]:
    rows = Asked(database).rows("SELECT output, kind, refresh FROM system.outputs")
    assert all((row["kind"] == "TABLE") == (row["refresh"] is not None) for row in rows)
    return {str(row["output"]): row["refresh"] for row in rows}  # type: ignore[misc]


@pytest.mark.parametrize(
    ("laid", "expected"),
    [
        (None, {"orders": None, "totals": None, "view": None}),
        ({}, {"orders": "on start", "totals": "manual", "view": None}),
        (
            {
                "Sales.orders": None,
                "Sales.totals": RefreshPolicy("every", 300.0),
                "Sales.view": RefreshPolicy("manual"),
            },
            {"orders": None, "totals": "every 300 s", "view": "manual"},
        ),
    ],
)
def test_settings_are_laid_over_what_the_program_says(
    tmp_path: Path, laid: Mapping[str, RefreshPolicy | None] | None, expected: Mapping[str, str | None]
) -> None:
    with asking(tmp_path, {"sales.he": KEPT}, materialize=laid) as asked:
        assert refreshes(asked.database) == expected


def test_rows_that_the_program_keeps(tmp_path: Path) -> None:
    with asking(tmp_path, {"sales.he": KEPT}, materialize={}) as asked:
        assert asked.rows("SELECT * FROM orders") == [{"region": "north", "amount": 10}]
        assert (table(asked, "orders").kind, table(asked, "orders").primary_key) == ("TABLE", ("region",))
        with pytest.raises(QueryError, match="was not refreshed yet"):
            asked.rows("SELECT * FROM totals")
        assert asked.updated("REFRESH TABLE Sales.totals") == 1
        assert asked.rows("SELECT total FROM totals") == [{"total": 10}]
        with pytest.raises(QueryError, match="is not materialized") as error:
            asked.updated('REFRESH TABLE Sales."view"')
        assert error.value.help is not None and 'materialize: "manual"' in error.value.help

"""Who sees which tables, rows and values, and what may be written."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pytest
from datafusion import SessionContext

from heddle.core.planning import quoted
from heddle.database.errors import QueryError
from heddle.database.model import LOCAL, ForeignKey, TableInfo, TableName, Viewer
from heddle.database.policy import CONCEALED, Policy, concealed, viewer_of
from heddle.database.policy_check import policy_problems
from heddle.database.policy_tables import policy_tables
from heddle.diagnostics import Span
from heddle.serve_settings import Limits, PolicySettings, Role, ServeSettings, UserSettings

ROWS = {
    "id": [1, 2, 3],
    "owner": ["ada", "bob", "o'hara"],
    "Card": ["4111111111111111", None, "1234"],
    "email": ["ada@example.com", "bob@example.com", None],
}
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("owner", pa.string()),
        pa.field("Card", pa.string(), metadata={b"remarks": b"a card"}),
        pa.field("email", pa.string()),
    ]
)
NAME = TableName("shop", "Shop", "orders")
ORDERS = TableInfo(NAME, "VIEW", SCHEMA, primary_key=("id",))
OTHER = TableName("shop", "Other", "people")
ADA = Viewer("ada", ("analyst",))


def policy(
    filter: str | None = None,
    masks: Mapping[str, str] | None = None,
    *,
    outputs: tuple[str, ...] = ("Shop.orders",),
    **settings: tuple[str, ...],
) -> PolicySettings:
    return PolicySettings("p", outputs, filter, masks or {}, **settings)


def asked(of: Policy, viewer: Viewer, table: TableInfo = ORDERS) -> list[dict[str, object]]:
    """What the viewer reads of `ROWS`."""
    context = SessionContext()
    context.register_record_batches("raw", [pa.table(ROWS, schema=SCHEMA).to_batches()])
    text = of.relation_for(viewer, table)
    read = context.sql(
        text.replace("{relation}", quoted("raw"), 1) if text is not None else "SELECT * FROM raw"
    )
    rows: list[dict[str, object]] = read.to_pylist()
    return rows


@pytest.mark.parametrize(
    ("pattern", "name", "seen"),
    [
        ("Shop.orders", NAME, True),
        ("Shop.*", NAME, True),
        ("*.*", NAME, True),
        ("S*p.ord*", NAME, True),
        ("shop.Shop.orders", NAME, True),
        ("other.Shop.orders", NAME, False),
        ("Shop.order", NAME, False),
        ("shop.orders", NAME, False),
        ("Shop.*", OTHER, False),
        ("Shop.*", TableName("shop", "Shop", "or.ders\n"), True),
    ],
)
def test_patterns(pattern: str, name: TableName, seen: bool) -> None:
    of = Policy(ServeSettings(roles={"analyst": Role("analyst", sees=(pattern,))}))
    assert of.sees(ADA, TableInfo(name, "VIEW", SCHEMA)) is seen


def test_a_viewer_without_a_role_sees_nothing_once_there_are_roles() -> None:
    nobody = Viewer("nobody")
    assert Policy(ServeSettings()).sees(nobody, ORDERS)
    assert not Policy(ServeSettings(roles={"analyst": Role("analyst", sees=("*.*",))})).sees(nobody, ORDERS)
    everyone = {"everyone": Role("everyone", sees=("Shop.*",))}
    assert Policy(ServeSettings(roles=everyone)).sees(nobody, ORDERS)


def test_an_admin_sees_all_as_it_is() -> None:
    of = Policy(
        ServeSettings(roles={"analyst": Role("analyst")}, policies=(policy("false", {"email": "null"}),))
    )
    assert of.sees(LOCAL, ORDERS)
    assert of.relation_for(LOCAL, ORDERS) is None
    assert not of.restricted(LOCAL, ORDERS)
    assert of.may_write(LOCAL, NAME)
    assert of.may_explain(LOCAL, [ORDERS])


def test_roles_and_policies_as_tables() -> None:
    roles = {"analyst": Role("analyst", sees=("Shop.*",), limits=Limits(rows_max=9)), "boss": Role("boss")}
    both = policy("id = 1", {"email": "null", "Card": "last4"}, roles=("analyst",))
    shown, policies = policy_tables(ServeSettings(roles=roles, policies=(both, policy("id = 2"))))
    assert shown.rows(ADA).select(["role", "sees", "rows"]).to_pylist() == [
        {"role": "analyst", "sees": ["Shop.*"], "rows": 9}
    ]
    assert shown.rows(LOCAL)["role"].to_pylist() == ["analyst", "boss"]
    assert (shown.admin_only, policies.admin_only) == (False, True)
    assert policies.rows(LOCAL).select(["filter", "column", "mask"]).to_pylist() == [
        {"filter": "id = 1", "column": "email", "mask": "null"},
        {"filter": "id = 1", "column": "Card", "mask": "last4"},
        {"filter": "id = 2", "column": None, "mask": None},
    ]


def test_what_may_be_written() -> None:
    scratch = TableName("shop", "scratch", "mine")
    reader = Policy(ServeSettings(roles={"analyst": Role("analyst", sees=("Shop.*",))}))
    writer = Policy(ServeSettings(roles={"analyst": Role("analyst", writes=("scratch.*",))}))
    for of, may in ((reader, False), (writer, True), (Policy(ServeSettings()), False)):
        assert of.may_write(ADA, scratch) is may
        assert of.sees(ADA, TableInfo(scratch, "TABLE", SCHEMA)) is may
        assert not of.may_write(ADA, NAME)


def test_what_is_seen_in_part_is_not_written() -> None:
    """An update of all rows would change, and a failing one would tell of, hidden rows."""
    roles = {"analyst": Role("analyst", writes=("scratch.*",))}
    of = Policy(ServeSettings(roles=roles, policies=(policy("id = 1", outputs=("scratch.hidden",)),)))
    assert of.may_write(ADA, TableName("shop", "scratch", "mine"))
    assert not of.may_write(ADA, TableName("shop", "scratch", "hidden"))


def test_roles_come_from_the_login_and_the_settings() -> None:
    roles = {"root": Role("root", admin=True), "analyst": Role("analyst")}
    settings = ServeSettings(roles=roles, users={"eve": UserSettings("eve", ("root",))})
    assert viewer_of(settings, "ada", ("analyst", "unknown")) == Viewer("ada", ("analyst", "unknown"))
    assert viewer_of(settings, "eve", ("analyst",)) == Viewer("eve", ("analyst", "root"), admin=True)


def test_a_filter_hides_rows() -> None:
    of = Policy(ServeSettings(policies=(policy("owner = current_user"),)))
    assert [row["id"] for row in asked(of, ADA)] == [1]
    assert [row["id"] for row in asked(of, Viewer("nobody"))] == []
    assert of.restricted(ADA, ORDERS)
    assert of.table_for(ADA, ORDERS) == ORDERS


@pytest.mark.parametrize(
    "name",
    [
        "o'hara",
        "' or 1=1 --",
        "'' or true",
        "\\' or true --",
        "\\",
        "{relation}",
        "a{relation}'b",
        "$1",
        '"x"',
        "''",
    ],
)
def test_a_name_is_a_value_whatever_is_in_it(name: str) -> None:
    of = Policy(
        ServeSettings(policies=(policy("owner = current_user or current_user in ('x', current_user)"),))
    )
    context = SessionContext()
    rows = pa.table({**ROWS, "owner": [name, "' or 1=1 --x", "another"]}, schema=SCHEMA)
    context.register_record_batches("raw", [rows.to_batches()])
    only = Policy(ServeSettings(policies=(policy("owner = current_user"),)))
    text = only.relation_for(Viewer(name), ORDERS)
    assert text is not None
    assert text.count("{relation}") == 1
    found = context.sql(text.replace("{relation}", "raw", 1)).to_pydict()
    assert found["owner"] == [name]
    assert len(asked(of, Viewer(name))) == len(ROWS["id"])


def test_roles_in_a_filter() -> None:
    of = Policy(ServeSettings(policies=(policy("'it''s' in (current_roles) or owner in (current_roles)"),)))
    assert len(asked(of, Viewer("x", ("it's",)))) == 3
    assert [row["id"] for row in asked(of, Viewer("x", ("bob", "o'hara")))] == [2, 3]
    assert asked(of, Viewer("x")) == []


def test_words_in_texts_and_names_are_no_viewer() -> None:
    rows = policy("owner <> 'current_user' /* 'current_user */ and owner = Current_User -- current_user")
    of = Policy(ServeSettings(policies=(rows,)))
    text = of.relation_for(ADA, ORDERS)
    assert text is not None
    assert "WHERE (owner <> 'current_user'   and owner = ('ada')  )" in text
    assert [row["id"] for row in asked(of, ADA)] == [1]
    named = TableInfo(NAME, "VIEW", pa.schema([("current_user", pa.string())]))
    quoted_name = Policy(ServeSettings(policies=(policy("\"current_user\" = 'x'"),))).relation_for(ADA, named)
    assert quoted_name is not None
    assert "ada" not in quoted_name


def test_masks() -> None:
    masks = {"id": "hash", "owner": "initial", "Card": "last4", "email": "email"}
    of = Policy(ServeSettings(policies=(policy(masks=masks),)))
    rows = asked(of, ADA)
    assert [row["owner"] for row in rows] == ["a***", "b***", "o***"]
    assert [row["Card"] for row in rows] == ["****1111", None, "****"]
    assert [row["email"] for row in rows] == ["a***@example.com", "b***@example.com", None]
    hashes = [row["id"] for row in rows]
    assert len({*hashes, "1", "2", "3"}) == 6
    assert hashes == [row["id"] for row in asked(of, Viewer("bob"))]


def test_a_mask_may_be_an_expression() -> None:
    of = Policy(ServeSettings(policies=(policy(masks={"email": "concat(current_user, ':', owner)"}),)))
    assert [row["email"] for row in asked(of, ADA)] == ["ada:ada", "ada:bob", "ada:o'hara"]


def test_a_masked_column_has_the_masks_type_and_is_in_no_key() -> None:
    of = Policy(ServeSettings(policies=(policy(masks={"id": "last4", "email": "null"}),)))
    key = ForeignKey("a", ("id",), OTHER, ("id",))
    other = ForeignKey("b", ("owner",), OTHER, ("name",))
    seen = of.table_for(ADA, TableInfo(NAME, "VIEW", SCHEMA, primary_key=("id",), foreign_keys=(key, other)))
    assert seen.schema.types == [pa.string()] * 4
    assert seen.schema.field("Card").metadata == {b"remarks": b"a card"}
    assert (seen.primary_key, seen.foreign_keys) == ((), (other,))
    assert {row["email"] for row in asked(of, ADA)} == {None}


def test_all_filters_hold_and_the_first_mask() -> None:
    of = Policy(
        ServeSettings(
            policies=(
                policy("id < 3", {"email": "'first'"}),
                policy("id > 1", {"email": "'second'", "Card": "null"}, outputs=("*.*",)),
            )
        )
    )
    [row] = asked(of, ADA)
    assert (row["id"], row["email"], row["Card"]) == (2, "first", None)


def test_whom_a_policy_holds_for() -> None:
    of = Policy(
        ServeSettings(policies=(policy("false", roles=("analyst", "intern"), except_roles=("boss",)),))
    )
    assert of.restricted(Viewer("a", ("intern",)), ORDERS)
    assert not of.restricted(Viewer("a", ("sales",)), ORDERS)
    assert not of.restricted(Viewer("a", ("intern", "boss")), ORDERS)
    assert not of.restricted(Viewer("a", ("intern",)), TableInfo(OTHER, "VIEW", SCHEMA))


def test_plans_over_restricted_outputs_are_for_roles_that_may() -> None:
    roles = {"analyst": Role("analyst"), "tuner": Role("tuner", explain=True)}
    of = Policy(ServeSettings(roles=roles, policies=(policy("id = 1"),)))
    assert not of.may_explain(ADA, [ORDERS])
    assert of.may_explain(ADA, [TableInfo(OTHER, "VIEW", SCHEMA)])
    assert of.may_explain(Viewer("a", ("tuner",)), [ORDERS])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (policy("id = 1) or (1 = 1"), "it is not one expression"),
        (policy("id"), "it is not true or false"),
        (policy("nothing = 1"), "there is no column `nothing`"),
        (policy("nofunction(id) = 1"), "there is no function `nofunction`"),
        (policy("count(*) > 1"), "no aggregate can stand in it"),
        (policy("row_number() over () = 1"), "no window can stand in it"),
        (policy("exists (select 1)"), "no other query can stand in it"),
        (policy("owner = '{relation}'"), "`{relation}` cannot stand in it"),
        (policy("owner = E'it\\'s current_user'"), "a text in it stands in single quotes"),
        (policy("owner = $$current_user$$"), "a text in it stands in single quotes"),
        (policy("owner = U&'current_user'"), "a text in it stands in single quotes"),
        (policy("`owner` = current_user"), "a text in it stands in single quotes"),
        (policy(masks={"id": "sum(id)"}), "no aggregate can stand in it"),
        (policy(masks={"id": "unnest([1, 2])"}), "it gives one value for each row"),
        (policy(masks={"nothing": "null"}), "`Shop.orders` has no column `nothing`"),
        (policy(masks={"nothing": "null"}, outputs=("Sho*.*",)), "`Shop.orders` has no column `nothing`"),
        (policy("true", outputs=("Shop.ordres",)), "`Shop.ordres` fits no output"),
    ],
)
def test_policies_that_cannot_be_used(rows: PolicySettings, said: str) -> None:
    spans = dict.fromkeys(("outputs", "filter", *(f"masks.{c}" for c in rows.masks)), _span())
    placed = PolicySettings("p", rows.outputs, rows.filter, rows.masks, spans=spans)
    [found] = policy_problems(ServeSettings(policies=(placed,)), (ORDERS,))
    assert said in found.message
    assert found.code == "HD0724"
    if found.severity == "error" and "*" not in rows.outputs[0]:
        with pytest.raises(QueryError, match="cannot be used, so it is not shown") as raised:
            Policy(ServeSettings(policies=(placed,))).relation_for(ADA, ORDERS)
        assert raised.value.kind == "denied"


def test_a_mask_over_many_outputs_leaves_those_out_that_lack_the_column() -> None:
    settings = ServeSettings(policies=(policy(masks={"email": "null"}, outputs=("*.*",)),))
    of = Policy(settings)
    people = TableInfo(OTHER, "VIEW", pa.schema([("name", pa.string())]))
    assert policy_problems(settings, (ORDERS, people)) == ()
    assert of.relation_for(ADA, people) is None
    assert of.table_for(ADA, people) == people


def test_an_output_whose_columns_are_not_known_is_hidden() -> None:
    settings = ServeSettings(policies=(policy("id = 1", outputs=("*.*",)),))
    unknown = TableInfo(OTHER, "VIEW", pa.schema([]))
    assert Policy(settings).sees(ADA, ORDERS)
    assert not Policy(settings).sees(ADA, unknown)
    assert Policy(settings).sees(LOCAL, unknown)


def test_errors_do_not_tell_values() -> None:
    told = concealed(QueryError("failed", "Cannot cast string 'secret'", help="secret"))
    assert (told.kind, told.message, told.help) == ("failed", CONCEALED, None)
    timeout = QueryError("timeout", "took longer than 3 s")
    assert concealed(timeout) is timeout


def _span() -> Span:
    return Span(0, 0)

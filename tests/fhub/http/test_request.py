"""`http.request` against a real server: rows become requests, answers become columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fhub.http import plugin
from heddle.core.config import ConfigValue
from heddle.sdk.testing import StepError, StepResult, run_step
from tests.fhub.http.shop import BASIC, ORDERS, PASSWORD, TOKEN, Shop

ORDER = {"id": "int", "total": "float", "at": "timestamp"}


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as opened:
        yield opened


def ask(
    url: str, rows: list[dict[str, Any]] | None, resource: dict[str, ConfigValue] | None = None, **config: Any
) -> StepResult:
    connection = {"base_url": url, **(resource or {})}
    return run_step(plugin, "request", rows, config=config, resources={"connection": connection})


def test_each_row_is_a_request(shop: Shop) -> None:
    rows = [{"name": "Ada"}, {"name": "Grace"}, {"name": "Ada"}]
    schema = {"length": "int", "tags": "list<string>", "data": "json?"}
    result = ask(shop.url, rows, path="/users/{name}", schema=schema, records="data")
    assert result.rows == [
        {"length": 3, "tags": ["Ada"], "data": None},
        {"length": 5, "tags": ["Grace"], "data": None},
        {"length": 3, "tags": ["Ada"], "data": None},
    ]
    assert sorted(each.path for each in shop.requests) == ["/api/users/Ada", "/api/users/Grace"]


def test_without_a_schema_there_is_the_text(shop: Shop) -> None:
    result = ask(shop.url, [{"name": "Ada"}], path="/users/{name}")
    assert result.rows == [{"status": 200, "body": '{"data": {"name": "Ada", "length": 3, "tags": ["Ada"]}}'}]


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "a?x=1#y",
        "..%2f",
        "'); DROP TABLE users; --",
        "a b&c=d",
        "ü\u202e☃",
        "%41",
        "a\r\nX-Evil: 1",
        "\x00",
    ],
)
def test_values_stay_in_their_place(shop: Shop, name: str) -> None:
    config = {
        "path": "/users/{name}",
        "query": {"q": "{name}"},
        "schema": {"name": "string"},
        "records": "data",
    }
    assert ask(shop.url, [{"name": name}], **config).rows == [{"name": name}]
    (seen,) = shop.requests
    assert seen.parts == ["", "api", "users", name]
    assert seen.query == {"q": [name]}
    assert "X-Evil" not in seen.headers


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("..", "the path would have a part `.` or `..`, which means another path"),
        ("", "`name` is empty, and the path needs it"),
        (None, "`name` is null, and the path needs it"),
    ],
)
def test_a_value_that_would_mean_another_path_is_rejected(shop: Shop, name: str | None, reason: str) -> None:
    rows = [{"name": "Ada"}, {"name": name}]
    result = ask(shop.url, rows, method="DELETE", path="/users/{name}")
    assert result.rejected == {1: reason}
    assert [each.path for each in shop.requests] == ["/api/users/Ada"]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "nul\x00", "☃"])
def test_headers_hold_one_line(shop: Shop, value: str) -> None:
    result = ask(shop.url, [{"v": value}, {"v": "fine"}], headers={"X-Value": "{v}"}, path="/any")
    assert list(result.rejected) == [0]
    (seen,) = shop.requests
    assert seen.headers["X-Value"] == "fine"


def test_columns_are_the_body(shop: Shop) -> None:
    rows = [{"name": 'quote " \\ \n', "n": 1, "at": None}]
    result = ask(shop.url, rows, method="POST", path="/score", schema={"score": "int"})
    assert result.rows == [{"score": 11}]
    assert shop.requests[0].body == rows[0]
    ask(shop.url, rows, method="POST", path="/score", body=["name"])
    assert shop.requests[1].body == {"name": rows[0]["name"]}


def test_many_rows_in_a_request(shop: Shop) -> None:
    rows = [{"name": "x" * n} for n in range(1, 8)]
    result = ask(shop.url, rows, method="POST", path="/score", batch_rows=3, schema={"score": "int"})
    assert [row["score"] for row in result.rows] == [1, 2, 3, 4, 5, 6, 7]
    assert sorted(len(each.body) for each in shop.requests) == [1, 3, 3]


def test_rows_are_sent(shop: Shop) -> None:
    rows = [{"name": "Ada", "n": 1}, {"name": "nobody", "n": 2}]
    config: dict[str, ConfigValue] = {"path": "/users/{name}", "method": "PUT", "body": ["n"]}
    resources = {"connection": {"base_url": shop.url}}
    result = run_step(plugin, "send", rows, config=config, resources=resources)
    assert (result.table, list(result.rejected)) == (None, [1])
    assert sorted((each.method, each.body["n"]) for each in shop.requests) == [("PUT", 1), ("PUT", 2)]
    with pytest.raises(StepError, match="there is no setting `schema`"):
        run_step(plugin, "send", rows, config={**config, "schema": {"a": "int"}}, resources=resources)


def test_a_null_leaves_its_parameter_out(shop: Shop) -> None:
    ask(shop.url, [{"q": None}], path="/any", query={"q": "{q}", "all": "yes"}, headers={"X-Q": "{q}"})
    assert shop.requests[0].query == {"all": ["yes"]}
    assert "X-Q" not in shop.requests[0].headers


@pytest.mark.parametrize(
    ("config", "pages"),
    [
        ({"path": "/linked", "next": "link"}, ["0", "1", "2"]),
        ({"path": "/paged", "next": "next", "cursor": "page", "records": "data.items"}, ["0", "1", "2"]),
    ],
)
def test_without_an_input_pages_are_rows(shop: Shop, config: dict[str, Any], pages: list[str]) -> None:
    result = ask(shop.url, None, schema=ORDER, **config)
    assert [row["id"] for row in result.rows] == [order["id"] for order in ORDERS]
    assert [each.query.get("page", ["0"])[0] for each in shop.requests] == pages


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path": "/elsewhere", "next": "link"}, "the next page lies outside of `base_url`"),
        ({"path": "/round", "next": "link"}, "page 1 names a page before it as the next one"),
        (
            {"path": "/linked", "next": "link", "pages_max": 2},
            "there are more than 2 pages; raise `pages_max`",
        ),
        ({"path": "/moved"}, "GET http://{host}/api/moved: the service answers with status 302"),
        ({"path": "/wrong"}, "http://{host}/api/wrong, page 1: the answer does not fit: `id` is missing"),
        ({"path": "/{id}"}, "`path` names the column `id`, which the input does not have; it has no columns"),
    ],
)
def test_pages_that_cannot_be_read(shop: Shop, config: dict[str, Any], message: str) -> None:
    with pytest.raises(StepError) as caught:
        ask(shop.url, None, schema=ORDER, **config)
    assert caught.value.message == message.replace("{host}", shop.url.split("/")[2])


@pytest.mark.parametrize(
    "resource",
    [{"username": "ada", "password": PASSWORD}, {"token": TOKEN}, {"headers": {"Authorization": BASIC}}],
)
def test_who_asks(shop: Shop, resource: dict[str, ConfigValue]) -> None:
    assert ask(shop.url, None, resource, path="/private", schema={"ok": "bool"}).rows == [{"ok": True}]


@pytest.mark.parametrize("path", ["/private", "/echoed"])
def test_secrets_are_never_shown(shop: Shop, path: str) -> None:
    resource: dict[str, ConfigValue] = {"token": TOKEN + "-wrong", "headers": {"X-Key": "another secret"}}
    with pytest.raises(StepError) as caught:
        ask(shop.url, [{"a": 1}], resource, path=path, errors="fail")
    shown = caught.value.message + caught.value.stack_trace
    assert TOKEN not in shown and "another secret" not in shown
    assert "status 4" in caught.value.message


def test_a_status_rejects_its_row(shop: Shop) -> None:
    result = ask(shop.url, [{"name": "nobody"}, {"name": "Ada"}], path="/users/{name}")
    assert result.rejected == {0: 'the service answers with status 404, {"error": "no such user"}'}
    assert [row["status"] for row in result.rows] == [200]
    with pytest.raises(StepError, match="status 404"):
        ask(shop.url, [{"name": "nobody"}], path="/users/{name}", errors="fail")


def test_an_answer_of_another_form_rejects_its_row(shop: Shop) -> None:
    result = ask(shop.url, [{"a": 1}], path="/wrong", schema={"score": "int"})
    assert result.rejected == {0: 'the answer does not fit: `score` is "many" where int is wanted'}
    result = ask(shop.url, [{"name": "x"}, {"name": "y"}], method="POST", path="/wrong", batch_rows=2,
                 schema={"score": "int"})  # fmt: skip
    assert result.rejected == dict.fromkeys((0, 1), "the answer has 1 rows for 2")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path": "users"}, '`path` starts with a slash: "/users"'),
        ({"path": "/a?b"}, "`path` holds no `?`, `#` and control characters; parameters stand in `query`"),
        ({"batch_rows": 2}, "`batch_rows` needs a method with a body, and GET has none"),
        ({"body": ["a"]}, "`body` needs a method with a body, and GET has none"),
        ({"cursor": "c"}, "`cursor` needs `next`: where in the answer the cursor of the next page is"),
        ({"path": "/{b}"}, "`path` names the column `b`, which the input does not have; it has `a`"),
        (
            {"method": "POST", "body": ["b"]},
            "`body` names the column `b`, which the input does not have; it has `a`",
        ),
        ({"headers": {"X Y": "1"}}, "'X Y' is no header's name"),
    ],
)
def test_settings_that_do_not_go(shop: Shop, config: dict[str, Any], message: str) -> None:
    if "headers" in config:
        assert ask(shop.url, [{"a": 1}], **config).rejected == {0: message}
        return
    with pytest.raises(StepError) as caught:
        ask(shop.url, [{"a": 1}], **config)
    assert caught.value.message == message


def test_settings_may_stand_on_the_step(shop: Shop) -> None:
    config: dict[str, ConfigValue] = {"base_url": shop.url, "token": TOKEN, "path": "/private"}
    assert run_step(plugin, "request", [{"a": 1}], config=config).rows[0]["status"] == 200
    with pytest.raises(StepError, match="`request` needs a connection, or a `base_url`"):
        run_step(plugin, "request", [{"a": 1}], config={"path": "/any"})

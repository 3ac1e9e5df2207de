"""Programs that ask an HTTP service, through the engine and the connector's own process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.harness import run
from tests.fhub.http.shop import TOKEN, Shop

PROGRAM = """
import "fhub/http" http

resource shop = http.connection { base_url: "URL", token: secret("SHOP_TOKEN") }

handler failed {
  *
    | io.json { path: "errors.jsonl" }
}

workflow Orders {
  <connection=shop> http.request {
    path: "/linked"
    schema: { id: "int", total: "float" }
    next: "link"
  }
    | (filter id < 2 | derive {name = f"user {id}"})
    | <connection=shop> http.request {
      path: "/users/{name}"
      records: "data"
      schema: { length: "int" }
    }
    > lengths

  [{ name: "nobody" }, { name: "Ada" }]
    | <connection=shop> http.request { path: "/users/{name}" } ? failed
    > found

  <connection=shop> http.request { path: "/private", schema: { ok: "bool" } }
    > allowed
}
"""


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as opened:
        yield opened


def program(folder: Path, shop: Shop) -> Path:
    path = folder / "orders.he"
    path.write_text(PROGRAM.replace("URL", shop.url))
    return path


def test_rows_and_pages(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    names = ["Orders.lengths", "Orders.found", "Orders.allowed"]
    ran = run(program(tmp_path, shop), names)
    assert ran.rows("Orders.lengths") == [
        {"id": 0, "total": 0.0, "name": "user 0", "length": 6},
        {"id": 1, "total": 1.5, "name": "user 1", "length": 6},
    ]
    assert [(row["name"], row["status"]) for row in ran.rows("Orders.found")] == [("Ada", 200)]
    assert ran.rows("Orders.allowed") == [{"ok": True}]
    assert "status 404" in (tmp_path / "errors.jsonl").read_text()
    assert TOKEN not in repr(ran.events)


def test_a_wrong_token_ends_the_run(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "another-token-that-is-wrong")
    ran = run(program(tmp_path, shop), ["Orders.allowed"])
    told = repr(ran.result) + repr(ran.events)
    assert "refuses the credentials (status 401)" in told
    assert "another-token" not in told
    assert ran.outputs == {}

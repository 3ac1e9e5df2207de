"""Types of parameters are told before they have values: drivers bind by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heddle.database.model import LOCAL
from tests.database.asking import Asked, asking


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder: Path = tmp_path_factory.mktemp("types")
    with asking(folder, {"w.he": "workflow W {\n  [{ k: 1, f: 1.5 }]\n    > x\n}\n"}) as asked:
        asked.updated("create table t (id bigint, name varchar, at timestamp, price decimal(10, 2))")
        yield asked


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("select * from x where k = ? and f < ?", ["int64", "double"]),
        ("select * from x limit ? offset ?", ["int64", "int64"]),
        ("insert into t values (?, ?, ?, ?)", ["int64", "string", "timestamp[us]", "decimal128(10, 2)"]),
        ("insert into t (name, id) values ('a', ?), (?, 2)", ["int64", "string"]),
        ("insert into t (id) values ($1), (cast($1 as bigint) + 1)", ["int64"]),
        ("update t set name = ?, price = ? where id = ?", ["string", "decimal128(10, 2)", "int64"]),
        ("delete from t where id = ? or name in (?, 'b')", ["int64", "string"]),
        ("select ?", ["null"]),
        ("insert into t (name) values (upper(?))", ["null"]),
    ],
)
def test_a_parameter_has_the_type_of_what_it_stands_for(asked: Asked, text: str, types: list[str]) -> None:
    statement = asked.database.prepare(text, LOCAL)
    found = [str(field.type) for field in statement.parameters]
    assert [("timestamp[us]" if f.startswith("timestamp[") else f) for f in found] == types

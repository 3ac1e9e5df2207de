"""What is offered where: `|` is the cursor."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heddle.database.model import Language, TableInfo, TableName, TableParameter
from heddle.repl.completion import complete
from heddle.repl.vocabulary import Vocabulary

LARGE = pa.schema([("id", pa.int64()), ("region", pa.string()), ("Total Price", pa.float64())])
ORDERS = pa.schema([("ref", pa.int64()), ("name", pa.string())])
TABLES = (
    TableInfo(TableName("heddle", "Report", "large"), "VIEW", LARGE),
    TableInfo(
        TableName("heddle", "Report", "orders"),
        "TABLE",
        ORDERS,
        parameters=(TableParameter("since", pa.date32(), required=True),),
    ),
    TableInfo(TableName("heddle", "system", "queries"), "SYSTEM TABLE", ORDERS),
)


def offered(marked: str, language: Language = "sql") -> list[str]:
    """The texts as they stand when they are taken: each is what replaces, over what it replaces."""
    cursor = marked.rindex("|")
    text = marked[:cursor] + marked[cursor + 1 :]
    words = Vocabulary(language, TABLES, ("since", "limit"))
    return [candidate.text for candidate in complete(text, cursor, words)]


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("sel|", ["select"]),
        ("SEL|", ["SELECT"]),
        ("select * from |", ["large", "orders", '"Report"', "system"]),
        ("select * from la|", ["large"]),
        ("select * from rep|", ['"Report"']),
        ('select * from "Rep|', ['"Report"']),
        ('select * from "Report".|', ["large", "orders"]),
        ("select * from report.l|", ["large"]),
        ("select * from heddle.|", ['"Report"', "system"]),
        ("select * from system.|", ["queries"]),
        ("select * from large, o|", ["orders"]),
        ("select * from large join o|", ["orders"]),
        ("insert into o|", ["orders"]),
        ("select reg| from large where true", ["region", "regexp_count("]),
        ("select l.| from large l", ["id", "region", '"Total Price"']),
        ("select l.| from large as l", ["id", "region", '"Total Price"']),
        ('select "T| from large', ['"Total Price"']),
        ("select * from large l join orders o on l.id = o.|", ["ref", "name"]),
        ("select * from large where id in (select r| from orders)", ["ref", "region"]),
        ("select Report.large.re|", ["region"]),
        ("select 1; select * from la|", ["large"]),
        ("select * from orders(si|)", ["since => "]),
        ("select o.r| from orders(since => '2026-01-01') o", ["ref"]),
        ("select x.r| from large join orders(since => (1), f(2)) as x", ["ref"]),
        ("select * from large where id = $|", ["$since", "$limit"]),
        ("select * from large where id = $l|", ["$limit"]),
        ("select 'from |", []),
        ("select 1 -- from |", []),
        ("select 1 /* from |", []),
        ("\\d|", ["\\d", "\\dt", "\\ds"]),
        ("\\d la|", ["large"]),
        ("\\format j|", ["json"]),
        ("\\timing |", ["on", "off"]),
        ("\\lang p|", ["prql"]),
        ("\\param s|", ["since"]),
        ("\\copy la|", ["large"]),
        ("\\copy large t|", ["to"]),
        ("\\copy (select re| from large", ["region", "regexp_count("]),
        ("\\explain select * from la|", ["large"]),
        ("\\q |", []),
    ],
)
def test_sql(marked: str, expected: list[str]) -> None:
    assert offered(marked)[: len(expected)] == expected
    if not expected or marked.endswith((".|", "la|", "l|")):
        assert len(offered(marked)) == len(expected)


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("fr|", ["from"]),
        ("from |", ["large", "orders", "Report", "system"]),
        ("from large | filter re|", ["region"]),
        ("from large | select {`T|", ["`Total Price`"]),
        ("from large | join side:left o|", ["orders"]),
        ("from large | aggregate {n = su|", ["sum"]),
    ],
)
def test_prql(marked: str, expected: list[str]) -> None:
    assert offered(marked, "prql")[: len(expected)] == expected


def test_files(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("")
    (tmp_path / "out").mkdir()
    (tmp_path / ".hidden").write_text("")
    assert offered(f"\\i {tmp_path}/o|") == [f"{tmp_path}/one.csv", f"{tmp_path}/out/"]
    assert offered(f"\\copy large to {tmp_path}/.|") == [f"{tmp_path}/.hidden"]
    assert offered(f"\\o {tmp_path}/nowhere/|") == []


@given(st.text(alphabet="select from(a.\"'$;\\,-/*) large l where\n|{`#", max_size=40), st.integers(0, 40))
def test_any_text_can_be_completed(text: str, at: int) -> None:
    for language in get_args(Language):
        cursor = min(at, len(text))
        for candidate in complete(text, cursor, Vocabulary(language, TABLES, ("since",))):
            assert candidate.start <= cursor

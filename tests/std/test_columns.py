"""`col.cast` and `col.rename` as rows and as SQL that DataFusion runs."""

from __future__ import annotations

import pyarrow as pa
import pytest
from datafusion import SessionContext

from heddle.core.types import Column, RowType, parse_type, row_of_schema
from heddle.std.columns import ColumnProblem, arrow_cast_name, output_row, select_list, to_sql

ROW = RowType(
    (Column("a", pa.string()), Column('we"ird', pa.int64(), nullable=False), Column("c", pa.string()))
)
DATA = pa.table({"a": ["1", None], 'we"ird': [1, 2], "c": ["2024-05-01T10:00:00+02:00", None]})


def run(step: str, config: dict[str, str], row: RowType) -> pa.Table:
    context = SessionContext()
    context.register_record_batches("t", [DATA.to_batches()])
    return context.sql(f"SELECT {select_list(step, config, row)} FROM t").to_arrow_table()


def test_cast_changes_types() -> None:
    config = {"a": "decimal(10,2)", 'we"ird': "string", "c": "timestamp"}
    row = output_row("cast", config, ROW)
    assert isinstance(row, RowType)
    assert str(row) == '{a: decimal(10,2)?, we"ird: string, c: timestamp?}'
    result = run("cast", config, ROW)
    assert [c.type for c in row.columns] == result.schema.types
    assert str(result.to_pylist()[0]["c"]) == "2024-05-01 08:00:00+00:00"
    assert result.to_pylist()[1] == {"a": None, 'we"ird': "2", "c": None}


def test_rename_keeps_order() -> None:
    config = {'we"ird': "n o"}
    row = output_row("rename", config, ROW)
    assert isinstance(row, RowType)
    assert row.names == ("a", "n o", "c")
    assert run("rename", config, ROW).column_names == ["a", "n o", "c"]
    assert to_sql("rename", config, ROW) == [('"a"', "a"), ('"we""ird"', "n o"), ('"c"', "c")]


def test_names_may_be_swapped() -> None:
    assert run("rename", {"a": "c", "c": "a"}, ROW).column_names == ["c", 'we"ird', "a"]


def test_open_rows_keep_what_they_do_not_name() -> None:
    part = RowType((Column("a", None),), open=True)
    assert run("cast", {"a": "int"}, part).schema.types == [pa.int64(), pa.int64(), pa.string()]
    assert set(run("rename", {"a": "b"}, part).column_names) == {"b", 'we"ird', "c"}
    assert run("rename", {}, part).column_names == DATA.column_names


SCALARS = ["int", "float", "string", "bool", "timestamp", "date", "time", "duration", "binary", "json"]
NESTED = ["list<int>", "list<{a: string?}>", "{x: int, y: list<float>}"]


@pytest.mark.parametrize("text", [*SCALARS, "decimal(10,2)", "decimal(50,2)", *NESTED])
def test_every_type_is_a_cast_that_datafusion_knows(text: str) -> None:
    type_, _ = parse_type(text)
    row = output_row("cast", {"a": text}, ROW)
    assert isinstance(row, RowType)
    name = arrow_cast_name(type_).replace("'", "''")
    schema = SessionContext().sql(f"SELECT arrow_cast(NULL, '{name}') AS a").schema()
    assert row_of_schema(schema).columns[0].type == row.columns[0].type


@pytest.mark.parametrize(
    ("step", "config", "message", "help_text"),
    [
        (
            "cast",
            {"aa": "int"},
            "`col.cast` names the column `aa`, which the input does not have",
            "did you mean `a`?",
        ),
        ("cast", {"a": "sting"}, "`a`: `sting` is not a type", 'types are such as "int"'),
        ("cast", {"a": 1}, '`a` needs a type such as "int" in quotes', None),
        ("rename", {"a": None}, "`a` needs a new name in quotes", None),
        ("rename", {"a": "c"}, "there would be two columns `c`", "rename the other one too"),
    ],
)
def test_problems(step: str, config: dict[str, object], message: str, help_text: str | None) -> None:
    problem = output_row(step, config, ROW)
    assert isinstance(problem, ColumnProblem)
    assert problem.message == message
    assert (problem.help or "").startswith(help_text or "")
    assert problem.key in config

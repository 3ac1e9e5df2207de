"""Averages are floats for numbers of every type, and refused for what is no number."""

from __future__ import annotations

import pyarrow as pa
import pytest

from heddle.core.types import row_of_schema
from heddle.frontend.prql.plain_sql import with_casts
from heddle.frontend.prql.request import CompiledQuery
from tests.frontend.prql.queries import compiled, failed, new_compiler, request, run_sql


@pytest.mark.parametrize("function", ["average", "stddev"])
@pytest.mark.parametrize("type_", [pa.int64(), pa.int32(), pa.float64(), pa.decimal128(15, 2)], ids=str)
def test_numbers_give_a_float(function: str, type_: pa.DataType) -> None:
    table = pa.table({"x": pa.array([1, 2, 3, None]).cast(pa.float64()).cast(type_)})
    compiler = new_compiler({"numbers": row_of_schema(table.schema)})
    query = request(f"aggregate {{y = {function} x}}", piped="numbers")
    result = compiler.compile([query])[query.key]
    assert isinstance(result, CompiledQuery)
    assert result.row.columns[0].type == pa.float64()
    assert run_sql(result.sql, {"numbers": table})["y"].to_pylist() == [2.0 if function == "average" else 1.0]


@pytest.mark.parametrize("column", ["note", "paid", "day"])
def test_what_is_no_number_is_refused(column: str) -> None:
    assert failed(f"aggregate {{x = average {column}}}").diagnostics[0].code == "HD0605"


def test_a_column_is_cast_and_a_value_multiplied() -> None:
    assert 'AVG(CAST("pieces" AS DOUBLE))' in compiled("aggregate {x = average pieces}").sql
    assert 'AVG((("pieces" + 1) * 1.0e0))' in compiled("aggregate {x = average (pieces + 1)}").sql


def test_strings_and_names_stay_as_they_are() -> None:
    sql = """SELECT 'AVG(("x" * 1.0e0))', AVG(("t"."x" * 1.0e0)) AS "it's (""y"" * 1.0e0))" FROM "t" """
    assert with_casts(sql) == sql.replace('AVG(("t"."x" * 1.0e0))', 'AVG(CAST("t"."x" AS DOUBLE))')

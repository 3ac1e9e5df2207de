"""Requests, small relations with data, and running what was compiled, for the tests of queries."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence

os.environ.setdefault("TOKIO_WORKER_THREADS", "64")

import pyarrow as pa
from datafusion import SessionContext

from heddle.core.types import OPEN_ROW, RowType, row_of_schema
from heddle.diagnostics import Source, Span
from heddle.frontend import ast
from heddle.frontend.prql.compiler import QueryCompiler
from heddle.frontend.prql.request import CompiledQuery, FailedQuery, QueryRequest, QueryResult

UTC = dt.UTC

ORDERS = pa.table(
    {
        "id": pa.array([1, 2, 3, 4, 5], pa.int64()),
        "user_id": pa.array([10, 20, 10, 30, None], pa.int64()),
        "amount": pa.array([9.5, -2.5, 20.0, None, 0.0], pa.float64()),
        "pieces": pa.array([7, -7, 3, 10, 0], pa.int64()),
        "note": pa.array(["gift", "Rush 100%", None, "a_b", "gift wrap"], pa.string()),
        "paid": pa.array([True, False, None, True, False], pa.bool_()),
        "day": pa.array([dt.date(2024, 1, d) for d in (31, 1, 15, 15, 2)], pa.date32()),
        "at": pa.array(
            [
                dt.datetime(2024, 1, d, h, tzinfo=UTC)
                for d, h in ((31, 23), (1, 0), (15, 12), (15, 13), (2, 6))
            ],
            pa.timestamp("us", "UTC"),
        ),
    }
)
USERS = pa.table(
    {
        "user_id": pa.array([10, 20, 40], pa.int64()),
        "note": pa.array(["regular", "new", "gone"], pa.string()),
        "Country": pa.array(["GB", "US", "NL"], pa.string()),
    }
)
ODD = pa.table({"select": [1, 2], "Mixed Case": ["x", "y"], "größe": [1.5, 2.5], 'quo"te': [True, False]})
TABLES: Mapping[str, pa.Table] = {"orders": ORDERS, "users": USERS, "odd": ODD}


def request(
    text: str,
    *,
    key: str = "q1",
    piped: str | None = "orders",
    relations: Mapping[str, str] | None = None,
) -> QueryRequest:
    """A request whose query stands in a program, behind three characters."""
    program = f">> ({text})"
    body = Span(4, 4 + len(text))
    query = ast.Query(text, body, Span(3, 5 + len(text)))
    known = {name: name for name in (*TABLES, "loose", "stream")} if relations is None else relations
    return QueryRequest(key, query, Source("program.he", program), piped, known)


def new_compiler(rows: Mapping[str, RowType] | None = None) -> QueryCompiler:
    """A compiler that knows `orders`, `users`, `odd`, and the open `loose` and `stream`."""
    compiler = QueryCompiler()
    for key, table in TABLES.items():
        compiler.declare(key, row_of_schema(table.schema))
    compiler.declare("loose", OPEN_ROW)
    compiler.declare("stream", RowType(row_of_schema(USERS.schema.remove(2).remove(1)).columns, open=True))
    for key, row in (rows or {}).items():
        compiler.declare(key, row)
    return compiler


def compile_one(text: str, **settings: object) -> QueryResult:
    query = request(text, **settings)  # type: ignore[arg-type]
    return new_compiler().compile([query])[query.key]


def compiled(text: str, **settings: object) -> CompiledQuery:
    result = compile_one(text, **settings)
    assert isinstance(result, CompiledQuery), [d.message for d in result.diagnostics]
    return result


def failed(text: str, **settings: object) -> FailedQuery:
    result = compile_one(text, **settings)
    assert isinstance(result, FailedQuery), result.sql
    return result


def run_sql(
    sql: str, tables: Mapping[str, pa.Table] = TABLES, views: Sequence[CompiledQuery] = ()
) -> pa.Table:
    """The rows of a SQL text over tables and over other queries, by DataFusion."""
    context = SessionContext()
    for name, table in tables.items():
        context.register_record_batches(f'"{name}"', [table.to_batches()])
    expressions = ", ".join(f'"{view.key}" AS ({view.sql})' for view in views)
    if expressions and sql.startswith("WITH "):
        sql = f"WITH {expressions}, {sql.removeprefix('WITH ')}"
    elif expressions:
        sql = f"WITH {expressions} {sql}"
    return context.sql(sql).to_arrow_table()


def rows_of(text: str, **settings: object) -> list[tuple[object, ...]]:
    """A query's rows, in their order."""
    table = run_sql(compiled(text, **settings).sql)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

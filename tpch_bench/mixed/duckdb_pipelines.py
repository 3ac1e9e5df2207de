"""The pipelines by hand: SQL in DuckDB, Arrow to Python, Arrow back, SQL in DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import duckdb
import pyarrow as pa

from tpch_bench.mixed import models

LINES_OF_YEAR: Final = """
    select
        l_partkey,
        l_extendedprice::double as price,
        l_discount::double as discount,
        l_receiptdate - l_shipdate as days
    from lineitem
    where l_shipdate >= date '1996-01-01' and l_shipdate < date '1997-01-01'
"""

EARNED_BY_BRAND: Final = """
    select p_brand, count(*) as lines, sum(margin) as earned
    from lines join part on l_partkey = p_partkey
    group by p_brand
    order by earned desc
"""

ORDERS_OF_YEAR: Final = """
    select o_custkey, o_comment, o_totalprice
    from orders
    where o_orderdate >= date '1996-01-01' and o_orderdate < date '1997-01-01'
"""

UNFRIENDLY_MARKETS: Final = """
    select c_mktsegment, count(*) as orders, avg(tone) as mean_tone, sum(o_totalprice) as at_risk
    from read_orders join customer on o_custkey = c_custkey
    where tone < 0
    group by c_mktsegment
    order by c_mktsegment
"""

MONTHLY_REVENUE: Final = """
    select
        n_name as nation,
        date_diff('month', date '1992-01-01', o_orderdate) as month,
        sum(o_totalprice)::double as revenue
    from orders
        join customer on o_custkey = c_custkey
        join nation on c_nationkey = n_nationkey
    group by all
"""

EXPECTED_BY_REGION: Final = """
    select
        r_name,
        count(*) as nations,
        sum(expected) as expected,
        max(grows_by) as best_growth
    from forecasts
        join nation on nation = n_name
        join region on n_regionkey = r_regionkey
    group by r_name
    order by expected desc
"""


def margin(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    lines = connection.sql(LINES_OF_YEAR).to_arrow_table()
    lines = lines.append_column("margin", models.margin(lines["price"], lines["discount"], lines["days"]))
    return _over(connection, "lines", lines, EARNED_BY_BRAND)


def tone(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    orders = connection.sql(ORDERS_OF_YEAR).to_arrow_table()
    orders = orders.append_column("tone", models.tone(orders["o_comment"]))
    return _over(connection, "read_orders", orders, UNFRIENDLY_MARKETS)


def forecast(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    forecasts = models.forecast(connection.sql(MONTHLY_REVENUE).to_arrow_table())
    return _over(connection, "forecasts", forecasts, EXPECTED_BY_REGION)


def _over(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table, sql: str) -> pa.Table:
    """The query's answer with `table` registered under `name`."""
    connection.register(name, table)
    try:
        return connection.sql(sql).to_arrow_table()
    finally:
        connection.unregister(name)


PIPELINES: Final[Mapping[str, Callable[[duckdb.DuckDBPyConnection], pa.Table]]] = {
    "margin": margin,
    "tone": tone,
    "forecast": forecast,
}

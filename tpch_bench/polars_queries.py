"""The 22 queries by hand in Polars' lazy API, as its users would write them: no SQL, a good join order.

`frames` opens the tables; `QUERIES` maps a query's number to a function from these to the answer's
frame. Decimals are read as floats, because a product of two decimals keeps two digits in Polars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Final, TypeAlias

import polars as pl
from polars import col, when

Frames: TypeAlias = Mapping[str, pl.LazyFrame]

NET: Final = col("l_extendedprice") * (1 - col("l_discount"))
"""What a line costs after its discount."""


def frames(tables: Mapping[str, Path]) -> Frames:
    as_floats = pl.selectors.decimal().cast(pl.Float64)
    return {table: pl.scan_parquet(path).with_columns(as_floats) for table, path in tables.items()}


def in_period(column: str, first: date, end: date) -> pl.Expr:
    """`end` is the first day after the period."""
    return col(column).is_between(first, end, closed="left")


def pricing_summary(t: Frames) -> pl.LazyFrame:
    return (
        t["lineitem"]
        .filter(col("l_shipdate") <= date(1998, 9, 2))
        .group_by("l_returnflag", "l_linestatus")
        .agg(
            col("l_quantity").sum().alias("sum_qty"),
            col("l_extendedprice").sum().alias("sum_base_price"),
            NET.sum().alias("sum_disc_price"),
            (NET * (1 + col("l_tax"))).sum().alias("sum_charge"),
            col("l_quantity").mean().alias("avg_qty"),
            col("l_extendedprice").mean().alias("avg_price"),
            col("l_discount").mean().alias("avg_disc"),
            pl.len().alias("count_order"),
        )
        .sort("l_returnflag", "l_linestatus")
    )


def cheapest_suppliers(t: Frames) -> pl.LazyFrame:
    suppliers = (
        t["region"]
        .filter(col("r_name") == "EUROPE")
        .join(t["nation"], left_on="r_regionkey", right_on="n_regionkey")
        .join(t["supplier"], left_on="n_nationkey", right_on="s_nationkey")
    )
    return (
        t["part"]
        .filter(col("p_size") == 15, col("p_type").str.ends_with("BRASS"))
        .join(t["partsupp"], left_on="p_partkey", right_on="ps_partkey")
        .join(suppliers, left_on="ps_suppkey", right_on="s_suppkey")
        .filter(col("ps_supplycost") == col("ps_supplycost").min().over("p_partkey"))
        .sort("s_acctbal", "n_name", "s_name", "p_partkey", descending=[True, False, False, False])
        .head(100)
        .select("s_acctbal", "s_name", "n_name", "p_partkey", "p_mfgr", "s_address", "s_phone", "s_comment")
    )


def shipping_priority(t: Frames) -> pl.LazyFrame:
    return (
        t["customer"]
        .filter(col("c_mktsegment") == "BUILDING")
        .join(t["orders"], left_on="c_custkey", right_on="o_custkey")
        .filter(col("o_orderdate") < date(1995, 3, 15))
        .join(t["lineitem"], left_on="o_orderkey", right_on="l_orderkey")
        .filter(col("l_shipdate") > date(1995, 3, 15))
        .group_by(col("o_orderkey").alias("l_orderkey"), "o_orderdate", "o_shippriority")
        .agg(NET.sum().alias("revenue"))
        .sort("revenue", "o_orderdate", descending=[True, False])
        .head(10)
        .select("l_orderkey", "revenue", "o_orderdate", "o_shippriority")
    )


def late_orders(t: Frames) -> pl.LazyFrame:
    late = t["lineitem"].filter(col("l_commitdate") < col("l_receiptdate"))
    return (
        t["orders"]
        .filter(in_period("o_orderdate", date(1993, 7, 1), date(1993, 10, 1)))
        .join(late, left_on="o_orderkey", right_on="l_orderkey", how="semi")
        .group_by("o_orderpriority")
        .agg(pl.len().alias("order_count"))
        .sort("o_orderpriority")
    )


def local_supplier_volume(t: Frames) -> pl.LazyFrame:
    return (
        t["region"]
        .filter(col("r_name") == "ASIA")
        .join(t["nation"], left_on="r_regionkey", right_on="n_regionkey")
        .join(t["customer"], left_on="n_nationkey", right_on="c_nationkey")
        .join(t["orders"], left_on="c_custkey", right_on="o_custkey")
        .filter(in_period("o_orderdate", date(1994, 1, 1), date(1995, 1, 1)))
        .join(t["lineitem"], left_on="o_orderkey", right_on="l_orderkey")
        .join(t["supplier"], left_on=["l_suppkey", "n_nationkey"], right_on=["s_suppkey", "s_nationkey"])
        .group_by("n_name")
        .agg(NET.sum().alias("revenue"))
        .sort("revenue", descending=True)
    )


def forecast(t: Frames) -> pl.LazyFrame:
    return (
        t["lineitem"]
        .filter(in_period("l_shipdate", date(1994, 1, 1), date(1995, 1, 1)))
        .filter(col("l_discount").is_between(0.05, 0.07), col("l_quantity") < 24)
        .select((col("l_extendedprice") * col("l_discount")).sum().alias("revenue"))
    )


def volume_shipping(t: Frames) -> pl.LazyFrame:
    nations = t["nation"].filter(col("n_name").is_in(["FRANCE", "GERMANY"]))
    sellers = nations.join(t["supplier"], left_on="n_nationkey", right_on="s_nationkey").select(
        "s_suppkey", supp_nation="n_name"
    )
    buyers = nations.join(t["customer"], left_on="n_nationkey", right_on="c_nationkey").select(
        "c_custkey", cust_nation="n_name"
    )
    return (
        buyers.join(t["orders"], left_on="c_custkey", right_on="o_custkey")
        .join(t["lineitem"], left_on="o_orderkey", right_on="l_orderkey")
        .filter(col("l_shipdate").is_between(date(1995, 1, 1), date(1996, 12, 31)))
        .join(sellers, left_on="l_suppkey", right_on="s_suppkey")
        .filter(col("supp_nation") != col("cust_nation"))
        .group_by("supp_nation", "cust_nation", col("l_shipdate").dt.year().alias("l_year"))
        .agg(NET.sum().alias("revenue"))
        .sort("supp_nation", "cust_nation", "l_year")
    )


def market_share(t: Frames) -> pl.LazyFrame:
    customers = (
        t["region"]
        .filter(col("r_name") == "AMERICA")
        .join(t["nation"], left_on="r_regionkey", right_on="n_regionkey")
        .join(t["customer"], left_on="n_nationkey", right_on="c_nationkey")
        .select("c_custkey")
    )
    brazilian = when(col("n_name") == "BRAZIL").then(NET).otherwise(0)
    return (
        t["part"]
        .filter(col("p_type") == "ECONOMY ANODIZED STEEL")
        .join(t["lineitem"], left_on="p_partkey", right_on="l_partkey")
        .join(t["orders"], left_on="l_orderkey", right_on="o_orderkey")
        .filter(col("o_orderdate").is_between(date(1995, 1, 1), date(1996, 12, 31)))
        .join(customers, left_on="o_custkey", right_on="c_custkey")
        .join(t["supplier"], left_on="l_suppkey", right_on="s_suppkey")
        .join(t["nation"], left_on="s_nationkey", right_on="n_nationkey")
        .group_by(col("o_orderdate").dt.year().alias("o_year"))
        .agg((brazilian.sum() / NET.sum()).alias("mkt_share"))
        .sort("o_year")
    )


def profit_by_nation(t: Frames) -> pl.LazyFrame:
    amount = NET - col("ps_supplycost") * col("l_quantity")
    return (
        t["part"]
        .filter(col("p_name").str.contains("green", literal=True))
        .join(t["partsupp"], left_on="p_partkey", right_on="ps_partkey")
        .join(t["supplier"], left_on="ps_suppkey", right_on="s_suppkey")
        .join(t["nation"], left_on="s_nationkey", right_on="n_nationkey")
        .join(t["lineitem"], left_on=["p_partkey", "ps_suppkey"], right_on=["l_partkey", "l_suppkey"])
        .join(t["orders"], left_on="l_orderkey", right_on="o_orderkey")
        .group_by(col("n_name").alias("nation"), col("o_orderdate").dt.year().alias("o_year"))
        .agg(amount.sum().alias("sum_profit"))
        .sort("nation", "o_year", descending=[False, True])
    )


def returned_items(t: Frames) -> pl.LazyFrame:
    customer = ("c_custkey", "c_name", "c_acctbal", "c_phone", "n_name", "c_address", "c_comment")
    return (
        t["orders"]
        .filter(in_period("o_orderdate", date(1993, 10, 1), date(1994, 1, 1)))
        .join(t["lineitem"].filter(col("l_returnflag") == "R"), left_on="o_orderkey", right_on="l_orderkey")
        .join(t["customer"], left_on="o_custkey", right_on="c_custkey", coalesce=False)
        .join(t["nation"], left_on="c_nationkey", right_on="n_nationkey")
        .group_by(customer)
        .agg(NET.sum().alias("revenue"))
        .sort("revenue", descending=True)
        .head(20)
        .select("c_custkey", "c_name", "revenue", "c_acctbal", "n_name", "c_address", "c_phone", "c_comment")
    )


def important_stock(t: Frames) -> pl.LazyFrame:
    return (
        t["nation"]
        .filter(col("n_name") == "GERMANY")
        .join(t["supplier"], left_on="n_nationkey", right_on="s_nationkey")
        .join(t["partsupp"], left_on="s_suppkey", right_on="ps_suppkey")
        .group_by("ps_partkey")
        .agg((col("ps_supplycost") * col("ps_availqty")).sum().alias("value"))
        .filter(col("value") > col("value").sum() * 0.0001)
        .sort("value", descending=True)
    )


def late_lines(t: Frames) -> pl.LazyFrame:
    urgent = col("o_orderpriority").is_in(["1-URGENT", "2-HIGH"])
    return (
        t["lineitem"]
        .filter(col("l_shipmode").is_in(["MAIL", "SHIP"]))
        .filter(col("l_shipdate") < col("l_commitdate"), col("l_commitdate") < col("l_receiptdate"))
        .filter(in_period("l_receiptdate", date(1994, 1, 1), date(1995, 1, 1)))
        .join(t["orders"], left_on="l_orderkey", right_on="o_orderkey")
        .group_by("l_shipmode")
        .agg(urgent.sum().alias("high_line_count"), urgent.not_().sum().alias("low_line_count"))
        .sort("l_shipmode")
    )


def distribution(t: Frames) -> pl.LazyFrame:
    orders = t["orders"].filter(~col("o_comment").str.contains("special.*requests"))
    per_customer = orders.group_by("o_custkey").agg(pl.len().alias("c_count"))
    return (
        t["customer"]
        .join(per_customer, left_on="c_custkey", right_on="o_custkey", how="left")
        .group_by(col("c_count").fill_null(0))
        .agg(pl.len().alias("custdist"))
        .sort("custdist", "c_count", descending=True)
    )


def promotion_effect(t: Frames) -> pl.LazyFrame:
    promoted = when(col("p_type").str.starts_with("PROMO")).then(NET).otherwise(0)
    return (
        t["lineitem"]
        .filter(in_period("l_shipdate", date(1995, 9, 1), date(1995, 10, 1)))
        .join(t["part"], left_on="l_partkey", right_on="p_partkey")
        .select((100.0 * promoted.sum() / NET.sum()).alias("promo_revenue"))
    )


def top_supplier(t: Frames) -> pl.LazyFrame:
    return (
        t["lineitem"]
        .filter(in_period("l_shipdate", date(1996, 1, 1), date(1996, 4, 1)))
        .group_by("l_suppkey")
        .agg(NET.sum().round(4).alias("total_revenue"))
        .filter(col("total_revenue") == col("total_revenue").max())
        .join(t["supplier"], left_on="l_suppkey", right_on="s_suppkey", coalesce=False)
        .select("s_suppkey", "s_name", "s_address", "s_phone", "total_revenue")
        .sort("s_suppkey")
    )


def suppliers_of_kind(t: Frames) -> pl.LazyFrame:
    complained_about = t["supplier"].filter(col("s_comment").str.contains("Customer.*Complaints"))
    return (
        t["part"]
        .filter(col("p_brand") != "Brand#45", ~col("p_type").str.starts_with("MEDIUM POLISHED"))
        .filter(col("p_size").is_in([49, 14, 23, 45, 19, 3, 36, 9]))
        .join(t["partsupp"], left_on="p_partkey", right_on="ps_partkey")
        .join(complained_about, left_on="ps_suppkey", right_on="s_suppkey", how="anti")
        .group_by("p_brand", "p_type", "p_size")
        .agg(col("ps_suppkey").n_unique().alias("supplier_cnt"))
        .sort("supplier_cnt", "p_brand", "p_type", "p_size", descending=[True, False, False, False])
    )


def small_orders(t: Frames) -> pl.LazyFrame:
    lines = (
        t["part"]
        .filter(col("p_brand") == "Brand#23", col("p_container") == "MED BOX")
        .join(t["lineitem"], left_on="p_partkey", right_on="l_partkey")
    )
    usual = lines.group_by("p_partkey").agg((0.2 * col("l_quantity").mean()).alias("small"))
    return (
        lines.join(usual, on="p_partkey")
        .filter(col("l_quantity") < col("small"))
        .select((col("l_extendedprice").sum() / 7.0).alias("avg_yearly"))
    )


def large_volume_customers(t: Frames) -> pl.LazyFrame:
    large = (
        t["lineitem"]
        .group_by("l_orderkey")
        .agg(col("l_quantity").sum().alias("sum_qty"))
        .filter(col("sum_qty") > 300)
    )
    return (
        large.join(t["orders"], left_on="l_orderkey", right_on="o_orderkey", coalesce=False)
        .join(t["customer"], left_on="o_custkey", right_on="c_custkey", coalesce=False)
        .sort("o_totalprice", "o_orderdate", descending=[True, False])
        .head(100)
        .select("c_name", "c_custkey", "o_orderkey", "o_orderdate", "o_totalprice", "sum_qty")
    )


def discounted_revenue(t: Frames) -> pl.LazyFrame:
    def kind(brand: str, containers: list[str], size_max: int, quantity_min: int) -> pl.Expr:
        return (
            (col("p_brand") == brand)
            & col("p_container").is_in(containers)
            & col("p_size").is_between(1, size_max)
            & col("l_quantity").is_between(quantity_min, quantity_min + 10)
        )

    small = kind("Brand#12", ["SM CASE", "SM BOX", "SM PACK", "SM PKG"], 5, 1)
    medium = kind("Brand#23", ["MED BAG", "MED BOX", "MED PKG", "MED PACK"], 10, 10)
    large = kind("Brand#34", ["LG CASE", "LG BOX", "LG PACK", "LG PKG"], 15, 20)
    return (
        t["lineitem"]
        .filter(col("l_shipmode").is_in(["AIR", "AIR REG"]), col("l_shipinstruct") == "DELIVER IN PERSON")
        .join(t["part"], left_on="l_partkey", right_on="p_partkey")
        .filter(small | medium | large)
        .select(NET.sum().alias("revenue"))
    )


def promotion_candidates(t: Frames) -> pl.LazyFrame:
    forest = t["part"].filter(col("p_name").str.starts_with("forest")).select("p_partkey")
    shipped = (
        t["lineitem"]
        .filter(in_period("l_shipdate", date(1994, 1, 1), date(1995, 1, 1)))
        .join(forest, left_on="l_partkey", right_on="p_partkey", how="semi")
        .group_by("l_partkey", "l_suppkey")
        .agg((0.5 * col("l_quantity").sum()).alias("needed"))
    )
    surplus = (
        t["partsupp"]
        .join(shipped, left_on=["ps_partkey", "ps_suppkey"], right_on=["l_partkey", "l_suppkey"])
        .filter(col("ps_availqty") > col("needed"))
    )
    return (
        t["nation"]
        .filter(col("n_name") == "CANADA")
        .join(t["supplier"], left_on="n_nationkey", right_on="s_nationkey")
        .join(surplus, left_on="s_suppkey", right_on="ps_suppkey", how="semi")
        .sort("s_name")
        .select("s_name", "s_address")
    )


def waiting_suppliers(t: Frames) -> pl.LazyFrame:
    late = col("l_receiptdate") > col("l_commitdate")
    suppliers = (
        t["nation"]
        .filter(col("n_name") == "SAUDI ARABIA")
        .join(t["supplier"], left_on="n_nationkey", right_on="s_nationkey")
        .select("s_suppkey", "s_name")
    )
    late_lines = (
        t["lineitem"]
        .filter(late)
        .join(suppliers, left_on="l_suppkey", right_on="s_suppkey")
        .join(t["orders"].filter(col("o_orderstatus") == "F"), left_on="l_orderkey", right_on="o_orderkey")
        .select("l_orderkey", late_line="l_linenumber", culprit="l_suppkey", s_name="s_name")
    )
    return (
        late_lines.join(t["lineitem"], on="l_orderkey")
        .filter(col("l_suppkey") != col("culprit"))
        .group_by("l_orderkey", "late_line", "s_name")
        .agg(late.any().alias("others_late"))
        .filter(~col("others_late"))
        .group_by("s_name")
        .agg(pl.len().alias("numwait"))
        .sort("numwait", "s_name", descending=[True, False])
        .head(100)
    )


def opportunities(t: Frames) -> pl.LazyFrame:
    customers = (
        t["customer"]
        .with_columns(col("c_phone").str.slice(0, 2).alias("cntrycode"))
        .filter(col("cntrycode").is_in(["13", "31", "23", "29", "30", "18", "17"]))
        .select("c_custkey", "c_acctbal", "cntrycode")
    )
    balance = customers.filter(col("c_acctbal") > 0).select(col("c_acctbal").mean().alias("usual"))
    return (
        customers.join(balance, how="cross")
        .filter(col("c_acctbal") > col("usual"))
        .join(t["orders"], left_on="c_custkey", right_on="o_custkey", how="anti")
        .group_by("cntrycode")
        .agg(pl.len().alias("numcust"), col("c_acctbal").sum().alias("totacctbal"))
        .sort("cntrycode")
    )


QUERIES: Final[Mapping[int, Callable[[Frames], pl.LazyFrame]]] = {
    1: pricing_summary,
    2: cheapest_suppliers,
    3: shipping_priority,
    4: late_orders,
    5: local_supplier_volume,
    6: forecast,
    7: volume_shipping,
    8: market_share,
    9: profit_by_nation,
    10: returned_items,
    11: important_stock,
    12: late_lines,
    13: distribution,
    14: promotion_effect,
    15: top_supplier,
    16: suppliers_of_kind,
    17: small_orders,
    18: large_volume_customers,
    19: discounted_revenue,
    20: promotion_candidates,
    21: waiting_suppliers,
    22: opportunities,
}
"""One function for each query, named as the output of its Heddle program."""

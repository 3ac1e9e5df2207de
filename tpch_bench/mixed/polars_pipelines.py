"""The pipelines by hand: lazy frames in Polars, Arrow to Python, Arrow back, lazy frames in Polars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Final, TypeAlias

import polars as pl
import pyarrow as pa
from polars import col

from tpch_bench.mixed import models

Frames: TypeAlias = Mapping[str, pl.LazyFrame]


def frames(tables: Mapping[str, Path]) -> Frames:
    return {table: pl.scan_parquet(path) for table, path in tables.items()}


def margin(t: Frames) -> pl.DataFrame:
    lines = _to_arrow(
        t["lineitem"]
        .filter(col("l_shipdate").is_between(date(1996, 1, 1), date(1997, 1, 1), closed="left"))
        .select(
            "l_partkey",
            col("l_extendedprice").cast(pl.Float64).alias("price"),
            col("l_discount").cast(pl.Float64).alias("discount"),
            (col("l_receiptdate") - col("l_shipdate")).dt.total_days().alias("days"),
        )
    )
    lines = lines.append_column("margin", models.margin(lines["price"], lines["discount"], lines["days"]))
    return _collect(
        _from_arrow(lines)
        .join(t["part"], left_on="l_partkey", right_on="p_partkey")
        .group_by("p_brand")
        .agg(pl.len().alias("lines"), col("margin").sum().alias("earned"))
        .sort("earned", descending=True)
    )


def tone(t: Frames) -> pl.DataFrame:
    orders = _to_arrow(
        t["orders"]
        .filter(col("o_orderdate").is_between(date(1996, 1, 1), date(1997, 1, 1), closed="left"))
        .select("o_custkey", "o_comment", "o_totalprice")
    )
    orders = orders.append_column("tone", models.tone(orders["o_comment"]))
    return _collect(
        _from_arrow(orders)
        .filter(col("tone") < 0)
        .join(t["customer"], left_on="o_custkey", right_on="c_custkey")
        .group_by("c_mktsegment")
        .agg(
            pl.len().alias("orders"),
            col("tone").mean().alias("mean_tone"),
            col("o_totalprice").sum().alias("at_risk"),
        )
        .sort("c_mktsegment")
    )


def forecast(t: Frames) -> pl.DataFrame:
    ordered = col("o_orderdate")
    months = _to_arrow(
        t["orders"]
        .join(t["customer"], left_on="o_custkey", right_on="c_custkey")
        .join(t["nation"], left_on="c_nationkey", right_on="n_nationkey")
        .group_by(
            col("n_name").alias("nation"),
            ((ordered.dt.year().cast(pl.Int64) - 1992) * 12 + ordered.dt.month() - 1).alias("month"),
        )
        .agg(col("o_totalprice").sum().cast(pl.Float64).alias("revenue"))
    )
    return _collect(
        _from_arrow(models.forecast(months))
        .join(t["nation"], left_on="nation", right_on="n_name")
        .join(t["region"], left_on="n_regionkey", right_on="r_regionkey")
        .group_by("r_name")
        .agg(
            pl.len().alias("nations"),
            col("expected").sum(),
            col("grows_by").max().alias("best_growth"),
        )
        .sort("expected", descending=True)
    )


def _to_arrow(frame: pl.LazyFrame) -> pa.Table:
    return _collect(frame).to_arrow()


def _from_arrow(table: pa.Table) -> pl.LazyFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.lazy()


def _collect(frame: pl.LazyFrame) -> pl.DataFrame:
    return frame.collect(engine="streaming")


PIPELINES: Final[Mapping[str, Callable[[Frames], pl.DataFrame]]] = {
    "margin": margin,
    "tone": tone,
    "forecast": forecast,
}

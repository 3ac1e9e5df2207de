"""TPC-H: Heddle's programs against DuckDB, DataFusion and, where it is installed, chDB with the official SQL,
and Polars by hand.

`python -m tpch_bench [--scale 1] [--queries 1,3] [--repeats 5] [--plot FILE.png]` makes the data, runs
every query on every engine in random order, checks every answer against DuckDB's and prints medians
and ratios; the last line is `RESULT {json}`.
"""

from __future__ import annotations

from tpch_bench.answers import QUERIES
from tpch_bench.command import run
from tpch_bench.measure import Suite
from tpch_bench.sides import SIDES

if __name__ == "__main__":
    run(Suite(QUERIES, "tpch_bench.sides"), "TPC-H", __doc__ or "", "queries", list(SIDES))

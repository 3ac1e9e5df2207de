"""Queries and Python in turns: Heddle's programs against DuckDB with Python, and Polars with Python, by hand.

`python -m tpch_bench.mixed [--scale 1] [--pipelines margin,tone] [--repeats 5] [--plot FILE.png]` measures
as `python -m tpch_bench` does; the last line is `RESULT {json}`.
"""

from __future__ import annotations

from tpch_bench.command import run
from tpch_bench.measure import Suite
from tpch_bench.mixed import PIPELINES
from tpch_bench.mixed.sides import SIDES

if __name__ == "__main__":
    suite = Suite(PIPELINES, "tpch_bench.mixed.sides")
    run(suite, "TPC-H with Python steps", __doc__ or "", "pipelines", list(SIDES))

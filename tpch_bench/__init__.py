"""TPC-H as Heddle programs, and what they are measured against.

`queries/` has the 22 queries in PRQL, `sql/` their official SQL, `polars_queries` the same by hand in
Polars, `mixed/` three pipelines with a Python step between two queries. `python -m tpch_bench` and
`python -m tpch_bench.mixed` measure and check them.
"""

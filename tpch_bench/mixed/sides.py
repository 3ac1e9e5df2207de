"""How each side runs one of the three pipelines and leaves its answer as an Arrow file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from tpch_bench.mixed import PIPELINES
from tpch_bench.sides import OpenSide, Tables, Work, programs, write


def heddle(tables: Tables) -> AbstractContextManager[Work]:
    return programs(PIPELINES, tables)


@contextmanager
def duckdb(tables: Tables) -> Iterator[Work]:
    import duckdb

    from tpch_bench.mixed.duckdb_pipelines import PIPELINES as BY_HAND

    with duckdb.connect() as connection:
        for table, path in tables.items():
            connection.read_parquet(str(path)).create_view(table)

        def work(name: str, answer: Path) -> None:
            write(BY_HAND[name](connection), answer)

        yield work


@contextmanager
def polars(tables: Tables) -> Iterator[Work]:
    from tpch_bench.mixed.polars_pipelines import PIPELINES as BY_HAND
    from tpch_bench.mixed.polars_pipelines import frames

    opened = frames(tables)

    def work(name: str, answer: Path) -> None:
        BY_HAND[name](opened).write_ipc(answer)

    yield work


SIDES: Final[Mapping[str, OpenSide]] = {"heddle": heddle, "duckdb": duckdb, "polars": polars}

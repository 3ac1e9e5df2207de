"""The sides of the comparison: how each engine runs one of the 22 queries and leaves an Arrow file.

A side is opened once over the tables of a scale factor and then called with a query's name and the
file to write, so that every side ends with the same work: its rows on disk. Only the libraries of
the side that is opened are imported.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from tpch_bench.answers import QUERIES

if TYPE_CHECKING:
    import pyarrow as pa

Tables: TypeAlias = Mapping[str, Path]
Work: TypeAlias = Callable[[str, Path], None]
"""Takes a task's name and the file for the answer."""

OpenSide: TypeAlias = Callable[[Tables], AbstractContextManager[Work]]


class Task(Protocol):
    """What every side does: a query, or a pipeline of `mixed/`."""

    @property
    def name(self) -> str: ...

    @property
    def program(self) -> Path: ...

    @property
    def output(self) -> str:
        """The named output of the program that holds the answer."""
        ...


@contextmanager
def programs(tasks: Sequence[Task], tables: Tables) -> Iterator[Work]:
    """The Heddle side: a program is checked when it is first run; each run plans and executes it."""
    from contextlib import ExitStack

    from benchmarks.programs import CheckedProgram

    by_name = {task.name: task for task in tasks}
    params = {table: str(path) for table, path in tables.items()}
    checked: dict[str, CheckedProgram] = {}

    with ExitStack() as stack:

        def work(name: str, answer: Path) -> None:
            task = by_name[name]
            if name not in checked:
                checked[name] = CheckedProgram.of_file(task.program, params)
                stack.callback(checked[name].engine.close)
            checked[name].run(outputs={task.output: str(answer)})

        yield work


def heddle(tables: Tables) -> AbstractContextManager[Work]:
    return programs(QUERIES, tables)


@contextmanager
def duckdb(tables: Tables) -> Iterator[Work]:
    import duckdb

    with duckdb.connect() as connection:
        for table, path in tables.items():
            connection.read_parquet(str(path)).create_view(table)

        def work(name: str, answer: Path) -> None:
            write(connection.sql(_sql(name)).to_arrow_table(), answer)

        yield work


@contextmanager
def datafusion(tables: Tables) -> Iterator[Work]:
    from datafusion import SessionContext

    context = SessionContext()
    for table, path in tables.items():
        context.register_parquet(table, str(path))

    def work(name: str, answer: Path) -> None:
        write(context.sql(_sql(name)).to_arrow_table(), answer)

    yield work


@contextmanager
def chdb(tables: Tables) -> Iterator[Work]:
    """ClickHouse's engine. Without `join_use_nulls` an outer join gives zeros, and Q13 a wrong answer.
    Numbers with a point are floats to it, with which Q6 finds no row at the bounds."""
    import chdb
    import pyarrow as pa

    connection = chdb.connect()
    try:
        connection.query("SET join_use_nulls = 1")
        for table, path in tables.items():
            connection.query(f"CREATE VIEW {table} AS SELECT * FROM file('{path}', 'Parquet')")

        def work(name: str, answer: Path) -> None:
            sql = re.sub(r"\b\d+\.(\d+)\b", lambda n: f"toDecimal64('{n[0]}', {len(n[1])})", _sql(name))
            rows = connection.query(sql, "Arrow").bytes()
            write(pa.ipc.open_file(pa.BufferReader(rows)).read_all(), answer)

        yield work
    finally:
        connection.close()


@contextmanager
def polars(tables: Tables) -> Iterator[Work]:
    from tpch_bench.polars_queries import QUERIES as BY_HAND
    from tpch_bench.polars_queries import frames

    opened = frames(tables)

    def work(name: str, answer: Path) -> None:
        BY_HAND[int(name)](opened).collect(engine="streaming").write_ipc(answer)

    yield work


SIDES: Final[Mapping[str, OpenSide]] = {
    "heddle": heddle,
    "duckdb": duckdb,
    "datafusion": datafusion,
    "polars": polars,
    "chdb": chdb,
}


def cold_heddle(task: Task, tables: Tables, answer: Path) -> Sequence[str]:
    """What a user types to get one answer."""
    command = [str(Path(sys.executable).with_name("heddle")), "run", str(task.program), "--quiet"]
    for table, path in tables.items():
        if f"@{table}" in task.program.read_text():
            command += ["--param", f"{table}={path}"]
    return [*command, "--output", f"{task.output}={answer}"]


def _sql(name: str) -> str:
    return next(query.sql for query in QUERIES if query.name == name)


def write(answer: pa.Table, path: Path) -> None:
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, answer.schema) as writer:
        writer.write_table(answer)

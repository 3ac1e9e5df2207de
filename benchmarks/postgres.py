"""PostgreSQL through Heddle against ADBC, the driver that both use: pushdown, reading, writing.

`python -m benchmarks.postgres [--rows 5000000] [--write-rows 1000000] [--repeats N]` starts a server of its
own, whose table is made once and kept in `.cache/bench`. Each side connects anew for each run, as a run of a
program does. The last line is `RESULT {json}`.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness import CACHE, Side, interleaved
from benchmarks.programs import CheckedProgram
from benchmarks.sheet import Goal, Sheet, arguments
from heddle.engine import RunOptions
from heddle.physical.cancel import CancelToken
from heddle.physical.events import Event
from heddle.std.sinks import Streams
from tests.services.postgresql import Postgresql
from tests.services.service import HOST

ROWS = 5_000_000
WRITE_ROWS = 1_000_000
REPEATS = 5
COLUMNS = ("id", "customer", "amount", "country", "at")
MAKE = """
CREATE TABLE sales AS
SELECT i::bigint AS id, (i * 7919 % 1000003)::int AS customer, (i * 31 % 100000) / 100.0::float8 AS amount,
       (ARRAY['DE', 'FR', 'US', 'CN', 'IN'])[1 + i % 5] AS country,
       timestamptz '2026-01-01' + i * interval '1 second' AS at
FROM generate_series(1, {rows}::bigint) AS i
"""
REDUCED = "SELECT country, count(*) AS n, sum(amount) AS total FROM sales WHERE amount > 900 GROUP BY country"
EMPTY = "CREATE TABLE written (id bigint, customer int, amount float8, country text, at timestamptz)"

PROGRAM = """\
import "fhub/postgresql" pg
import "std/io" io

resource db = pg.connection {{
  host: "{host}",
  port: {port}
}}

step sales = <connection=db> pg.table {{
  table: "sales"
}}

workflow Reduced {{
  (
    from sales
    filter amount > 900
    select {{country, amount}}
    group country (
      aggregate {{n = count this, total = sum amount}}
    )
  )
    > reduced
}}

workflow Whole {{
  (
    from sales
    aggregate {{{counts}}}
  )
    > counted
}}

workflow Written {{
  io.parquet {{ path: "rows.parquet" }}
    | <connection=db> pg.insert {{ table: "written" }}
}}
"""


class KeptPostgresql(Postgresql):
    """A server whose table of so many rows is made once, and copied from then on."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows

    @property
    def _kept(self) -> Path:
        return CACHE / "bench" / f"postgresql-{self._rows}"

    def prepare(self) -> None:
        super().prepare()
        if self._kept.exists():
            shutil.rmtree(self.folder / "data")
            subprocess.run(["cp", "-a", str(self._kept), str(self.folder / "data")], check=True)

    def fill(self) -> None:
        """Makes the tables, unless they were copied."""
        if not self._kept.exists():
            statements = [MAKE.format(rows=self._rows), "ALTER TABLE sales ADD PRIMARY KEY (id)", EMPTY]
            for statement in (*statements, "VACUUM ANALYZE sales"):
                self.run(statement)
            self._end(self.stop_signal)  # then all of it is in the files
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            partial = self._kept.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            subprocess.run(["cp", "-a", str(self.folder / "data"), str(partial)], check=True)
            partial.rename(self._kept)
            self.restart()

    def run(self, statement: str) -> None:
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(self.uri(), autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def rows(self, statement: str) -> pa.Table:
        """By ADBC, with a connection of its own."""
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(self.uri(), autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetch_arrow_table()


class Sides:
    """Each method is one side: it does the work once, checks the answer and gives the seconds."""

    def __init__(self, server: KeptPostgresql, folder: Path, rows: int, write_rows: int) -> None:
        self._server = server
        self._folder = folder
        self._rows = rows
        counts = ", ".join(f"{name} = count {name}" for name in COLUMNS)
        path = folder / "program.he"
        path.write_text(PROGRAM.format(host=HOST, port=server.port, counts=counts))
        heddle = Path(sys.executable).with_name("heddle")
        subprocess.run([heddle, "check", "--refresh", path], check=True, capture_output=True)
        self._program = CheckedProgram.of_file(path)
        self._reduced = sorted(server.rows(REDUCED).to_pylist(), key=lambda row: row["country"])
        self._written = server.rows(f"SELECT * FROM sales WHERE id <= {write_rows}")
        pq.write_table(self._written, folder / "rows.parquet")

    def close(self) -> None:
        self._program.engine.close()

    def reduced(self, *, pushdown: bool) -> float:
        found = self._folder / "reduced.arrow"
        taken = self._run("Reduced", {"Reduced.reduced": str(found)}, pushdown=pushdown)
        rows = sorted(_arrow(found).to_pylist(), key=lambda row: row["country"])
        if [(row["country"], row["n"], round(row["total"])) for row in rows] != [
            (row["country"], row["n"], round(row["total"])) for row in self._reduced
        ]:
            raise SystemExit(f"the answer is wrong: {rows}")
        return taken

    def reduced_by_hand(self) -> float:
        return _timed(lambda: self._server.rows(REDUCED))

    def whole(self) -> float:
        found = self._folder / "whole.arrow"
        taken = self._run("Whole", {"Whole.counted": str(found)}, pushdown=False)
        if _arrow(found).to_pylist() != [dict.fromkeys(COLUMNS, self._rows)]:
            raise SystemExit("rows are missing")
        return taken

    def whole_by_hand(self) -> float:
        return _timed(lambda: self._server.rows("SELECT * FROM sales"))

    def written(self) -> float:
        self._server.run("TRUNCATE written")
        taken = self._run("Written", {}, pushdown=True)
        self._check_written()
        return taken

    def written_by_hand(self) -> float:
        from adbc_driver_postgresql import dbapi

        self._server.run("TRUNCATE written")
        started = time.perf_counter()
        with dbapi.connect(self._server.uri()) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("written", self._written, mode="append")
            connection.commit()
        taken = time.perf_counter() - started
        self._check_written()
        return taken

    def _check_written(self) -> None:
        found = self._server.rows("SELECT count(*) AS n, sum(id)::int8 AS ids FROM written").to_pylist()
        if found != [{"n": self._written.num_rows, "ids": pc.sum(self._written["id"]).as_py()}]:
            raise SystemExit(f"what was written is wrong: {found}")

    def _run(self, workflow: str, outputs: dict[str, str], *, pushdown: bool) -> float:
        options = RunOptions(workflows=(workflow,), outputs=outputs, pushdown=pushdown)
        streams = Streams(io.StringIO(), io.StringIO())
        engine, program = self._program.engine, self._program.program
        started = time.perf_counter()
        result = engine.run(program, options, _ignore, CancelToken(), streams)
        taken = time.perf_counter() - started
        if result.status != "succeeded":
            raise SystemExit(f"the run {result.status}: {result.error}")
        return taken


def main() -> None:
    parser = arguments(__doc__, repeats=REPEATS)
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of the table ({ROWS:,})")
    parser.add_argument("--write-rows", type=int, default=WRITE_ROWS, help=f"to write ({WRITE_ROWS:,})")
    options = parser.parse_args()
    sheet = Sheet()
    with ExitStack() as stack:
        server = stack.enter_context(KeptPostgresql(options.rows))
        server.fill()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides = Sides(server, folder, options.rows, min(options.write_rows, options.rows))
        stack.callback(sides.close)
        measured: dict[str, Side] = {
            "pushed": lambda: sides.reduced(pushdown=True),
            "stays": lambda: sides.reduced(pushdown=False),
            "sql": sides.reduced_by_hand,
            "read": sides.whole,
            "adbc": sides.whole_by_hand,
            "write": sides.written,
            "copy": sides.written_by_hand,
        }
        taken = interleaved(measured, repeats=options.repeats)
    rows, written = f"{options.rows:,} rows", f"{min(options.write_rows, options.rows):,} rows"
    sheet.ratio(
        "pushdown",
        f"filter, select and aggregate of {rows}",
        taken["pushed"],
        taken["sql"],
        named="the same SQL by ADBC",
        goal=Goal(1.2),
    )
    sheet.ratio(
        "without_pushdown",
        "the same with the rows read by Heddle",
        taken["stays"],
        taken["sql"],
        named="the same SQL by ADBC",
    )
    sheet.speed_up(
        "read_rate",
        f"{rows} into Arrow",
        taken["read"],
        taken["adbc"],
        named="ADBC, in one process",
        goal=Goal(0.9, at_least=True),
    )
    sheet.speed_up(
        "write_rate",
        f"{written} of Parquet into a table",
        taken["write"],
        taken["copy"],
        named="COPY by ADBC, from memory",
        goal=Goal(0.8, at_least=True),
    )
    sheet.show()


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _arrow(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def _ignore(event: Event) -> None:
    pass


if __name__ == "__main__":
    main()

"""A lookup join against a table of PostgreSQL, compared with one statement a row and with the same by hand.

`python -m benchmarks.lookup [--rows 5000000] [--probe-rows 1000000] [--keys 100000] [--repeats N]` joins rows
of a Parquet file with those of the table that have their keys, and groups the result. By hand the keys go to
the server as one array by ADBC, and DataFusion joins what comes back. One statement a row is measured over
`--sample` rows, on one connection with a prepared statement, and multiplied up. Connections are made within
each run. The server and its table are those of `benchmarks.postgres`. The last line is `RESULT {json}`.
"""

from __future__ import annotations

import io
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Side, interleaved
from benchmarks.postgres import KeptPostgresql
from benchmarks.programs import CheckedProgram
from benchmarks.sheet import Goal, Sheet, arguments
from heddle.engine import RunOptions
from heddle.physical.cancel import CancelToken
from heddle.physical.events import Event
from heddle.std.sinks import Streams
from tests.services.service import HOST

ROWS = 5_000_000
PROBE_ROWS = 1_000_000
KEYS = 100_000
SAMPLE = 2_000
REPEATS = 5

PROGRAM = """\
import "fhub/postgresql" pg

resource db = pg.connection {{
  host: "{host}",
  port: {port}
}}

step sale = <connection=db> pg.query {{
  query: "SELECT id AS sale_id, country, amount, customer FROM sales WHERE id = @sale_id"
  schema: {{ sale_id: "int", country: "string?", amount: "float?", customer: "int?" }}
}}

workflow Joined {{
  io.parquet {{ path: "probe.parquet" }}
    | (
      from input
      join sale (==sale_id)
      group {{country}} (
        aggregate {{n = count this, total = sum (quantity * amount)}}
      )
    )
    > joined
}}
"""
BY_ARRAY = "SELECT id AS sale_id, country, amount FROM sales WHERE id = ANY($1)"
BY_ROW = "SELECT id AS sale_id, country, amount FROM sales WHERE id = $1"
JOIN = """
SELECT country, count(*) AS n, sum(quantity * amount) AS total
FROM probe INNER JOIN sale ON probe.sale_id = sale.sale_id GROUP BY country
"""


class Sides:
    """Each method is one side: it does the work once, checks the answer and gives the seconds."""

    def __init__(self, server: KeptPostgresql, folder: Path, rows: int, probe_rows: int, keys: int) -> None:
        self._server = server
        self._folder = folder
        self._probe_rows = probe_rows
        step = rows // keys
        chosen = pa.array([1 + i * 7919 % keys * step for i in range(probe_rows)], pa.int64())
        quantities = pa.array([i % 10 for i in range(probe_rows)], pa.int64())
        orders = pa.array(range(probe_rows), pa.int64())
        table = pa.table({"order_id": orders, "sale_id": chosen, "quantity": quantities})
        pq.write_table(table, folder / "probe.parquet")
        self._sample = chosen.slice(0, SAMPLE)
        path = folder / "program.he"
        path.write_text(PROGRAM.format(host=HOST, port=server.port))
        self._program = CheckedProgram.of_file(path)
        self._expected = self._joined_by_hand()

    def close(self) -> None:
        self._program.engine.close()

    def heddle(self) -> float:
        found = self._folder / "joined.arrow"
        options = RunOptions(outputs={"Joined.joined": str(found)})
        streams = Streams(io.StringIO(), io.StringIO())
        engine, program = self._program.engine, self._program.program
        started = time.perf_counter()
        result = engine.run(program, options, _ignore, CancelToken(), streams)
        taken = time.perf_counter() - started
        if result.status != "succeeded":
            raise SystemExit(f"the run {result.status}: {result.error}")
        with pa.OSFile(str(found)) as file:
            self._check(pa.ipc.open_file(file).read_all())
        return taken

    def by_hand(self) -> float:
        started = time.perf_counter()
        found = self._joined_by_hand()
        taken = time.perf_counter() - started
        self._check(found)
        return taken

    def _joined_by_hand(self) -> pa.Table:
        from adbc_driver_postgresql import dbapi
        from datafusion import SessionContext

        context = SessionContext()
        context.register_parquet("probe", str(self._folder / "probe.parquet"))
        keys = context.sql("SELECT DISTINCT sale_id FROM probe").to_arrow_table()["sale_id"].combine_chunks()
        bound = pa.record_batch(
            {"keys": pa.ListArray.from_arrays(pa.array([0, len(keys)], pa.int32()), keys)}
        )
        with dbapi.connect(self._server.uri(), autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(BY_ARRAY, bound)
            context.from_arrow(cursor.fetch_arrow_table(), "sale")
        return context.sql(JOIN).to_arrow_table()

    def by_row(self) -> float:
        """The seconds for all rows of the probe, told from a sample."""
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(self._server.uri(), autocommit=True) as connection, connection.cursor() as cursor:
            cursor.adbc_prepare(BY_ROW)
            started = time.perf_counter()
            found = 0
            for i in range(len(self._sample)):
                cursor.execute(BY_ROW, pa.record_batch({"key": self._sample.slice(i, 1)}))
                found += cursor.fetch_arrow_table().num_rows
            taken = time.perf_counter() - started
        if found != len(self._sample):
            raise SystemExit("rows are missing")
        return taken * self._probe_rows / len(self._sample)

    def _check(self, found: pa.Table) -> None:
        if _rounded(found) != _rounded(self._expected):
            raise SystemExit(f"the answer is wrong: {found.to_pylist()}")


def main() -> None:
    parser = arguments(__doc__, repeats=REPEATS)
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of the table ({ROWS:,})")
    parser.add_argument("--probe-rows", type=int, default=PROBE_ROWS, help=f"to join ({PROBE_ROWS:,})")
    parser.add_argument("--keys", type=int, default=KEYS, help=f"distinct keys of them ({KEYS:,})")
    options = parser.parse_args()
    sheet = Sheet()
    with ExitStack() as stack:
        server = stack.enter_context(KeptPostgresql(options.rows))
        server.fill()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides = Sides(server, folder, options.rows, options.probe_rows, options.keys)
        stack.callback(sides.close)
        measured: dict[str, Side] = {"heddle": sides.heddle, "hand": sides.by_hand, "row": sides.by_row}
        taken = interleaved(measured, repeats=options.repeats)
    title = f"{options.probe_rows:,} rows with {options.keys:,} keys against {options.rows:,}"
    sheet.speed_up(
        "lookup_vs_rows",
        title,
        taken["heddle"],
        taken["row"],
        named="one prepared statement a row",
        goal=Goal(50, at_least=True),
    )
    sheet.ratio(
        "lookup_vs_hand",
        title,
        taken["heddle"],
        taken["hand"],
        named="array by ADBC, DataFusion join",
        goal=Goal(1.5),
    )
    sheet.note(f"one statement a row: {SAMPLE:,} rows measured, multiplied up to {options.probe_rows:,}")
    sheet.show()


def _rounded(table: pa.Table) -> list[tuple[str, int, int]]:
    rows = ((row["country"], row["n"], round(row["total"])) for row in table.to_pylist())
    return sorted(rows)


def _ignore(event: Event) -> None:
    pass


if __name__ == "__main__":
    main()

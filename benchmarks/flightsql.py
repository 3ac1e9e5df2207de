"""Heddle's Flight SQL server against ROAPI, a plain Flight server, and DataFusion in process.

`python -m benchmarks.flightsql [--rows 2000000] [--point-rows 5000000] [--repeats N] [--peers roapi]` starts
the servers. All of them have the same table of eight columns of numbers; pyarrow's client reads it whole,
asks for one row, and puts it, Heddle's by both of its ports. Then Heddle's server alone: how long it computes
after a cancel, what 300 sessions take, and how a check of its health fares beside 32 clients that do not read
on. The last line is `RESULT {json}`.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import datafusion
import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import flight_servers as servers
from benchmarks.flight_client import Client, Ingest, health_check
from benchmarks.flight_servers import HOST, NotInstalled, Server
from benchmarks.harness import interleaved, timed
from benchmarks.sheet import Goal, Sheet, arguments, picked, spread

ROWS = 2_000_000
POINT_ROWS = 5_000_000
REPEATS = 7
ASKED_AT_ONCE = 50
WRITTEN = "SELECT 1"
COMPUTED = "SELECT now()"
BATCH_ROWS = 65_536
GROUP_ROWS = 100_000
SESSIONS = 300
SLOW_READERS = 32
CHECKS = 50
IDLE_S = 0.1
PATIENCE_S = 20.0
COLUMNS = 8
KEPT = "scratch.numbers"
# So cheap for each batch that DataFusion sees a cancel soon, and so many batches that it takes seconds.
LONG_ROWS = 4_000_000
_TERMS = " UNION ALL ".join(f"SELECT value + {i} AS value FROM scratch.long" for i in range(100))
LONG = f"SELECT count(DISTINCT CAST(value * 10000 AS int)) FROM ({_TERMS})"
PROGRAM = """\
workflow Bench {
  io.parquet { path: "points.parquet" }
    > points
}
"""


class Side:
    """A server as one side of the comparisons, with what it took of the processors while it was read."""

    def __init__(self, server: Server, table: str, rows: int) -> None:
        self.server = server
        self.table = table
        self.client = Client(server.uri)
        self.cpu_s: list[float] = []
        self.latencies_s: dict[str, list[float]] = defaultdict(list)
        self._bytes = rows * 8 * COLUMNS

    def read(self) -> float:
        before, started = self.server.cpu_s(), time.perf_counter()
        found = self.client.read(f"SELECT * FROM {self.table}")
        taken = time.perf_counter() - started
        self.cpu_s.append(self.server.cpu_s() - before)
        if found < self._bytes:
            raise SystemExit(f"{self.server.name} gave {found:,} bytes of {self._bytes:,}")
        return taken

    def ask(self, text: str) -> float:
        """A query of one row, many times, one after the other."""
        started = time.perf_counter()
        for _ in range(ASKED_AT_ONCE):
            asked = time.perf_counter()
            rows = self.client.ask(text).num_rows
            self.latencies_s[text].append(time.perf_counter() - asked)
            if rows != 1:
                raise SystemExit(f"{self.server.name} gave {rows} rows for {text}")
        return time.perf_counter() - started

    def asked(self, text: str) -> list[float]:
        """How long each took, in seconds, without those of the first time, which warms up."""
        return self.latencies_s[text][ASKED_AT_ONCE:]

    @property
    def gigabytes(self) -> float:
        return self._bytes / 1e9

    @property
    def cpu_s_per_gb(self) -> float:
        """Without the first reading, which warms up."""
        return statistics.mean(self.cpu_s[1:]) / self.gigabytes


def main() -> None:
    parser = arguments(__doc__, repeats=REPEATS)
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of the table ({ROWS:,})")
    parser.add_argument(
        "--point-rows", type=int, default=POINT_ROWS, help=f"of the file with the points ({POINT_ROWS:,})"
    )
    parser.add_argument("--peers", type=picked("roapi"), default=("roapi",), help="roapi, or none")
    options = parser.parse_args()
    sheet = Sheet()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        numbers = make_numbers(folder / "numbers.arrow", options.rows)
        make_points(folder / "points.parquet", options.point_rows)
        (folder / "bench.he").write_text(PROGRAM)
        heddle = stack.enter_context(servers.heddle(folder / "bench.he"))
        ours, native, peer = Side(heddle, KEPT, options.rows), Side(heddle.native, KEPT, options.rows), None
        ours.client.ingest("numbers", numbers, BATCH_ROWS)
        try:
            if "roapi" in options.peers:
                started = stack.enter_context(servers.roapi("numbers", folder / "numbers.arrow"))
                peer = Side(started, "numbers", options.rows)
        except NotInstalled as reason:
            sheet.skip("roapi", str(reason))
        if peer is not None:
            against_roapi(sheet, ours, native, peer, options.repeats)
        discarding = stack.enter_context(servers.discarding(folder))
        ingest(sheet, heddle, discarding, numbers, options.repeats)
        points(sheet, heddle, folder, options.point_rows, options.repeats)
        cancel(sheet, heddle)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_points(folder / "points.parquet", GROUP_ROWS)
        (folder / "bench.he").write_text(PROGRAM)
        with servers.heddle(folder / "bench.he") as heddle:
            idle_sessions(sheet, heddle)
            slow_readers(sheet, heddle, numbers)
    sheet.show()


def make_numbers(path: Path, rows: int) -> pa.Table:
    numbers = np.random.default_rng(1)
    table = pa.table({f"value_{i}": numbers.random(rows) for i in range(COLUMNS)})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, BATCH_ROWS)
    return table


def make_points(path: Path, rows: int) -> None:
    """Rows in order of their id, in many row groups."""
    with pq.ParquetWriter(path, pa.schema({"id": pa.int64(), "value": pa.float64()})) as writer:
        for start in range(0, rows, GROUP_ROWS):
            ids = np.arange(start, min(start + GROUP_ROWS, rows))
            writer.write_table(pa.table({"id": ids, "value": ids * 0.5}), row_group_size=GROUP_ROWS)


def against_roapi(sheet: Sheet, ours: Side, native: Side, peer: Side, repeats: int) -> None:
    sides = {"ours": ours, "native": native, "peer": peer}
    read = interleaved({name: side.read for name, side in sides.items()}, repeats=repeats)
    sheet.speed_up(
        "bulk_vs_roapi",
        f"SELECT * of a table, {ours.gigabytes:.2g} GB",
        read["ours"],
        read["peer"],
        named="ROAPI",
        goal=Goal(1.5, at_least=True),
    )
    sheet.add(
        "cpu_vs_roapi",
        "the server's CPU time for it",
        ours.cpu_s_per_gb / peer.cpu_s_per_gb,
        ours=f"{ours.cpu_s_per_gb:.2f} s/GB",
        other=f"ROAPI: {peer.cpu_s_per_gb:.2f} s/GB",
        goal=Goal(0.6),
    )
    sheet.speed_up(
        "bulk_native_vs_roapi",
        "the same by the native port",
        read["native"],
        read["peer"],
        named="ROAPI",
        goal=Goal(1.5, at_least=True),
    )
    for text in (WRITTEN, COMPUTED):
        interleaved({name: partial(side.ask, text) for name, side in sides.items()}, repeats=repeats)
    sheet.ratio(
        "select1_p50_vs_roapi",
        f"{WRITTEN}, median",
        ours.asked(WRITTEN),
        peer.asked(WRITTEN),
        named="ROAPI",
        goal=Goal(2.2),
    )
    sheet.ratio(
        "select1_native_p50_vs_roapi",
        f"{WRITTEN} by the native port, median",
        native.asked(WRITTEN),
        peer.asked(WRITTEN),
        named="ROAPI",
        goal=Goal(1.5),
    )
    title = f"{COMPUTED}, median"
    sheet.ratio("select_now_p50_vs_roapi", title, ours.asked(COMPUTED), peer.asked(COMPUTED), named="ROAPI")


def ingest(sheet: Sheet, heddle: Server, discarding: Server, rows: pa.Table, repeats: int) -> None:
    with (
        Client(heddle.uri) as ours,
        Client(heddle.native.uri) as native,
        Client(discarding.uri) as other,
    ):

        def put(client: Client) -> None:
            if (counted := client.ingest("put", rows, BATCH_ROWS)) != rows.num_rows:
                raise SystemExit(f"the server counted {counted:,} rows of {rows.num_rows:,}")

        def discard() -> None:
            other.put(Ingest(table="put"), rows, BATCH_ROWS)

        sides = {
            "ours": timed(lambda: put(ours)),
            "native": timed(lambda: put(native)),
            "other": timed(discard),
        }
        taken = interleaved(sides, repeats=repeats)
    named, goal = "a server that forgets them", Goal(0.8, at_least=True)
    title = f"{rows.nbytes / 1e9:.2g} GB put"
    sheet.speed_up("ingest_ratio", title, taken["ours"], taken["other"], named=named, goal=goal)
    title += " by the native port"
    sheet.speed_up("ingest_native_ratio", title, taken["native"], taken["other"], named=named, goal=goal)


def points(sheet: Sheet, heddle: Server, folder: Path, rows: int, repeats: int) -> None:
    """A row by its id: the view in this process, through the server, and DataFusion on the file."""
    from heddle.database.database import Database
    from heddle.database.model import LOCAL

    wanted = rows // 2 + 1
    text = f"SELECT * FROM points WHERE id = {wanted}"
    context = datafusion.SessionContext()
    context.register_parquet("points", folder / "points.parquet")
    expected = [{"id": wanted, "value": wanted * 0.5}]

    def checked(ask: Callable[[], pa.Table]) -> None:
        if (found := ask().to_pylist()) != expected:
            raise SystemExit(f"the row is wrong: {found}")

    with Database.open([folder / "bench.he"]) as database, Client(heddle.uri) as client:

        def by_view() -> pa.Table:
            answer = database.prepare(text, LOCAL).run()
            try:
                return pa.Table.from_batches(answer.batches(), answer.schema)
            finally:
                answer.close()

        sides = {
            "view": timed(lambda: checked(by_view)),
            "served": timed(lambda: checked(lambda: client.ask(text))),
            "file": timed(lambda: checked(lambda: context.sql(text).to_arrow_table())),
        }
        taken = interleaved(sides, repeats=repeats * 3, warm_ups=3)
    title, named = f"one of {rows:,} rows by its id, from a sorted file", "DataFusion on the file"
    sheet.ratio("point_vs_datafusion", title, taken["view"], taken["file"], named=named, goal=Goal(1.3))
    sheet.ratio("point_served_vs_datafusion", "the same, served", taken["served"], taken["file"], named=named)


def cancel(sheet: Sheet, heddle: Server) -> None:
    """From the cancel to the first moment after which the server computes nothing."""
    with Client(heddle.uri) as client:
        rows = pa.table({"value": np.random.default_rng(1).random(LONG_ROWS)})
        client.ingest("long", rows, BATCH_ROWS)
    taken_s = [_cancelled(heddle) for _ in range(3)]
    sheet.add(
        "cancel_ms",
        "from a cancel to idle processors, ms",
        statistics.median(taken_s) * 1e3,
        ours=spread(taken_s),
        goal=Goal(200),
    )


def _cancelled(heddle: Server) -> float:
    with Client(heddle.uri) as client:
        info = client.start(LONG)
        reading = threading.Thread(target=_read_until_failure, args=(client, info))
        idle = heddle.cpu_s()
        reading.start()
        _until(lambda: heddle.cpu_s() - idle > 0.3, "the query does not start")
        cancelled = time.perf_counter()
        client.cancel(info)
        idle_s = _idle_since(heddle)
        reading.join(PATIENCE_S)
    return idle_s - cancelled


def _idle_since(server: Server) -> float:
    """Waits until the server computes nothing for a while; gives when that began, or when patience ended."""
    last, used = time.perf_counter(), server.cpu_s()
    deadline = last + PATIENCE_S
    while time.perf_counter() - last < IDLE_S and last < deadline:
        time.sleep(0.01)
        if (found := server.cpu_s()) > used:
            used, last = found, time.perf_counter()
    return last


def _read_until_failure(client: Client, info: pa.flight.FlightInfo) -> None:
    try:
        for _ in client.stream(info):  # `read_all` takes a cancelled answer for a ^C
            pass
    except (pa.flight.FlightError, pa.ArrowException):
        return
    raise SystemExit("the query that was cancelled gave an answer")


def slow_readers(sheet: Sheet, heddle: Server, numbers: pa.Table) -> None:
    with Client(heddle.uri) as client:
        client.ingest("numbers", numbers, BATCH_ROWS)
    with ExitStack() as stack:
        channel = stack.enter_context(grpc.insecure_channel(f"{HOST}:{heddle.port}"))
        alone = _checks(channel)
        before = heddle.memory_bytes()
        held = []
        for _ in range(SLOW_READERS):
            client = stack.enter_context(Client(heddle.uri))
            held.append(client.stream(client.start(f"SELECT * FROM {KEPT}")))
        _idle_since(heddle)
        beside = _checks(channel)
        grown = heddle.memory_bytes() - before
        for reader in held:
            reader.cancel()
    sheet.add(
        "health_delay_ms",
        f"a check of its health beside {SLOW_READERS} slow readers, the worst, ms later",
        (max(beside) - statistics.median(alone)) * 1e3,
        ours=spread(beside),
        other=f"alone: {spread(alone)}",
        goal=Goal(50),
    )
    sheet.add(
        "slow_readers_mb",
        "memory that they hold, MB",
        grown / 1e6,
        ours=f"{grown / SLOW_READERS / 1e6:.1f} MB each",
    )


def _checks(channel: grpc.Channel) -> Sequence[float]:
    check = timed(lambda: health_check(channel))
    return [check() for _ in range(CHECKS)]


def idle_sessions(sheet: Sheet, heddle: Server) -> None:
    with ExitStack() as stack:
        _open_session(stack.enter_context(Client(heddle.uri)))
        before = heddle.memory_bytes()
        for _ in range(SESSIONS):
            _open_session(stack.enter_context(Client(heddle.uri)))
        grown = heddle.memory_bytes() - before
    sheet.add(
        "idle_sessions_mb",
        f"{SESSIONS} idle sessions, MB",
        grown / 1e6,
        ours=f"{before / 1e6:.0f} MB without them",
        goal=Goal(100),
    )


def _open_session(client: Client) -> None:
    client.open_session()
    client.ask("SELECT 1")


def _until(reached: Callable[[], bool], failure: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > deadline:
            raise SystemExit(failure)
        time.sleep(0.01)


if __name__ == "__main__":
    main()

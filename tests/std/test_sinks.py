"""Writers: round trips, and files that are whole or not there."""

from __future__ import annotations

import datetime as dt
import gc
import io
import math
import os
import resource
import signal
import subprocess
import sys
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafusion import SessionContext

from heddle.std.readers import register
from heddle.std.sinks import SinkError, Streams, WrittenTarget, open_sink

STREAMS = Streams(io.StringIO(), io.StringIO())
TABLE = pa.table(
    {
        "i": pa.array([1, None, 3]),
        "f": pa.array([1.0, None, 2.5]),
        "s": pa.array(['say "hi", you', "", None]),
        "d": pa.array([Decimal("1.50"), None, Decimal("-0.01")], pa.decimal128(10, 2)),
        "at": pa.array([dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC), None, None], pa.timestamp("us", "UTC")),
        "day": pa.array([dt.date(2024, 5, 1), None, None]),
        "ok": pa.array([True, None, False]),
        "l": pa.array([[1, None], [], None], pa.list_(pa.int64())),
        "n": pa.array([{"a": 1}, None, {"a": None}], pa.struct([("a", pa.int64())])),
        "b": pa.array([b"\x00\xff", b"", None]),
        "v": pa.array(["x", None, "z"], pa.string_view()),
        "c": pa.array(["x", None, "y"]).dictionary_encode(),
    }
)
SMALL = pa.table({"id": [1, 2], "name": ["a", None]})


def write(step: str, base: Path, table: pa.Table, batch_rows: int = 2, **config: Any) -> WrittenTarget:
    sink = open_sink(step, config, base, table.schema, STREAMS)
    try:
        for batch in table.to_batches(max_chunksize=batch_rows):
            sink.write(batch)
        sink.prepare()
        return sink.commit()
    finally:
        sink.abort()


def read(step: str, path: str, base: Path, **config: Any) -> pa.Table:
    context = SessionContext()
    register(context, "t", step, {"path": path, **config}, base)
    return context.table("t").to_arrow_table()


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "lz4", "none"])
def test_parquet_round_trip(tmp_path: Path, compression: str) -> None:
    target = write("parquet", tmp_path, TABLE, path="out/a.parquet", compression=compression)
    assert target == WrittenTarget("out/a.parquet", 3)
    assert pq.read_table(tmp_path / "out/a.parquet").to_pylist() == TABLE.to_pylist()
    assert names(tmp_path) == ["out/a.parquet"]


def test_what_is_written_as_parquet_is_found_with_nan(tmp_path: Path) -> None:
    """Statistics leave it out, and engines would leave its row group out by them."""
    table = pa.table({"id": [1, 2], "size": [math.nan, 0.0]})
    write("parquet", tmp_path, table, path="a.parquet")
    group = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0)
    assert [group.column(i).is_stats_set for i in range(2)] == [True, False]
    asked = f"SELECT id FROM '{tmp_path / 'a.parquet'}' WHERE size > 5"
    assert duckdb.sql(asked).fetchall() == [(1,)]
    context = SessionContext()
    context.register_parquet("a", str(tmp_path / "a.parquet"))
    assert context.sql("SELECT id FROM a WHERE size > 5").to_pydict() == {"id": [1]}


def test_parquet_row_groups(tmp_path: Path) -> None:
    table = pa.table({"a": range(1000)})
    write("parquet", tmp_path, table, 64, path="a.parquet", row_group_rows=300)
    groups = pq.ParquetFile(tmp_path / "a.parquet")
    sizes = [groups.metadata.row_group(i).num_rows for i in range(groups.num_row_groups)]
    assert sum(sizes) == 1000
    assert max(sizes) == 300


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_arrow_round_trip(tmp_path: Path, compression: str) -> None:
    write("arrow", tmp_path, TABLE, path="a.arrow", compression=compression)
    assert read("arrow", "a.arrow", tmp_path).to_pylist() == TABLE.to_pylist()


def test_csv_as_written_by_hand(tmp_path: Path) -> None:
    write("csv", tmp_path, TABLE, path="a.csv")
    assert (tmp_path / "a.csv").read_text() == textwrap.dedent(
        """\
        i,f,s,d,at,day,ok,l,n,b,v,c
        1,1.0,"say ""hi"", you",1.50,2024-05-01T10:00:00Z,2024-05-01,true,"[1,null]","{""a"":1}",AP8=,x,x
        ,,"",,,,,[],,"",,
        3,2.5,,-0.01,,,false,,"{""a"":null}",,z,y
        """
    )
    write("csv", tmp_path, SMALL, path="b.csv", header=False, delimiter=";")
    assert (tmp_path / "b.csv").read_text() == "1;a\n2;\n"


@pytest.mark.parametrize("ending", ["", ".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("step", ["csv", "json"])
def test_text_round_trip_with_compression(tmp_path: Path, step: str, ending: str) -> None:
    name = f"a.{step}{ending}"
    write(step, tmp_path, TABLE.select(["i", "f", "s", "at", "ok"]), path=name)
    back = read(step, name, tmp_path, schema={"at": "timestamp"})
    assert back["i"].to_pylist() == [1, None, 3]
    assert back["f"].type == pa.float64()
    assert back["at"].to_pylist()[0] == dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC)
    write(step, tmp_path, TABLE.select(["i"]), path="odd", compression="gz")
    assert read(step, "odd", tmp_path, compression="gz")["i"].to_pylist() == [1, None, 3]


@pytest.mark.parametrize("step", ["csv", "json", "parquet", "arrow"])
def test_no_rows_are_a_file_with_columns_or_nothing(tmp_path: Path, step: str) -> None:
    write(step, tmp_path, SMALL.slice(0, 0), path="a")
    back = read(step, "a", tmp_path, schema={"id": "int", "name": "string"})
    assert (back.num_rows, back.column_names) == (0, ["id", "name"])


def test_json_of_sliced_batches(tmp_path: Path) -> None:
    table = pa.table({"a": range(10)}).slice(3, 5)
    write("json", tmp_path, table, 2, path="a.jsonl")
    assert (tmp_path / "a.jsonl").read_text() == "".join(f'{{"a":{i}}}\n' for i in range(3, 8))


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_append_adds_rows_once_and_one_header(tmp_path: Path, ending: str) -> None:
    for _ in range(3):
        write("csv", tmp_path, SMALL, path=f"a.csv{ending}", mode="append")
        write("json", tmp_path, SMALL, path=f"a.jsonl{ending}", mode="append")
    assert read("csv", f"a.csv{ending}", tmp_path)["id"].to_pylist() == [1, 2] * 3
    assert read("json", f"a.jsonl{ending}", tmp_path)["id"].to_pylist() == [1, 2] * 3


def test_two_appends_of_one_run_both_stay(tmp_path: Path) -> None:
    sinks = [
        open_sink("csv", {"path": "a.csv", "mode": "append"}, tmp_path, SMALL.schema, STREAMS) for _ in "ab"
    ]
    for sink in sinks:
        sink.write(SMALL.to_batches()[0])
        sink.prepare()
    for sink in sinks:
        sink.commit()
    assert (tmp_path / "a.csv").read_text() == "id,name\n1,a\n2,\n1,a\n2,\n"


def test_append_to_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,title\n7,x")
    with pytest.raises(SinkError) as caught:
        write("csv", tmp_path, SMALL, path="a.csv", mode="append")
    assert caught.value.message == "`a.csv` has other columns than the rows to append, which have id, name"
    assert (tmp_path / "a.csv").read_text() == "id,title\n7,x"
    assert names(tmp_path) == ["a.csv"]
    (tmp_path / "a.csv").write_text("id,name\n7,x")
    write("csv", tmp_path, SMALL, path="a.csv", mode="append")
    assert (tmp_path / "a.csv").read_text() == "id,name\n7,x\n1,a\n2,\n"


@pytest.mark.parametrize("step", ["csv", "json", "parquet", "arrow"])
def test_partitions(tmp_path: Path, step: str) -> None:
    table = pa.table(
        {"day": pa.array([19_844, 19_845, 19_844], pa.date32()), "k": ["x y", "z", "x y"], "v": [1, 2, 3]}
    )
    for _ in range(2):
        write(step, tmp_path, table, path="out", partition_by=["day", "k"])
    assert len(names(tmp_path)) == 2
    rows = sorted(read(step, "out", tmp_path).to_pylist(), key=lambda r: r["v"])
    assert rows[0] == {"v": 1, "day": dt.date(2024, 5, 1), "k": "x y"}
    assert [r["v"] for r in rows] == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None], "the partition column `k` of `out` holds a null"),
        (["a/b"], "the partition column `k` of `out` holds a value that is no folder name"),
        ([".."], "the partition column `k` of `out` holds a value that is no folder name"),
        ([str(i) for i in range(1001)], "`out` would get more than 1000 partitions"),
    ],
)
def test_partitions_that_cannot_be(tmp_path: Path, values: list[str | None], message: str) -> None:
    table = pa.table({"k": pa.array(values, pa.string()), "v": range(len(values))})
    with pytest.raises(SinkError) as caught:
        write("csv", tmp_path, table, 2000, path="out", partition_by=["k"])
    assert caught.value.message == message
    assert names(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_seen_before_the_commit(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("old")
    sink = open_sink("csv", {"path": "a.csv"}, tmp_path, SMALL.schema, STREAMS)
    sink.write(SMALL.to_batches()[0])
    sink.prepare()
    assert (tmp_path / "a.csv").read_text() == "old"
    assert len(names(tmp_path)) == 2
    sink.abort()
    sink.abort()
    assert names(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "old"


def test_an_overwritten_file_keeps_its_mode_and_its_links(tmp_path: Path) -> None:
    real = tmp_path / "real.csv"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link.csv").symlink_to(real)
    write("csv", tmp_path, SMALL, path="link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert real.read_text().startswith("id,name")
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("config", "message", "help_text"),
    [
        (
            {"path": "there.csv", "mode": "error"},
            "`there.csv` is there already",
            '`mode: "overwrite"` would replace it',
        ),
        ({"path": "folder"}, "`folder` is a folder", "name a file"),
        (
            {"path": "there.csv/x"},
            "`there.csv/x` cannot be written: a part of its path is a file, not a folder",
            None,
        ),
        ({"path": "pipe"}, "`pipe` is not a regular file", "name a file"),
        (
            {"path": "out", "partition_by": ["q"]},
            "`partition_by` names the column `q`, which the rows do not have",
            "they have id, name",
        ),
        ({"path": ""}, "`io.csv` needs a `path`", 'such as path: "out/orders.csv"'),
    ],
)
def test_targets_that_cannot_be_written(
    tmp_path: Path, config: dict[str, Any], message: str, help_text: str | None
) -> None:
    (tmp_path / "there.csv").write_text("x")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SinkError) as caught:
        write("csv", tmp_path, SMALL, **config)
    assert (caught.value.message, caught.value.help) == (message, help_text)


WRITE_WITHOUT_END = """
import sys
from pathlib import Path
import pyarrow as pa
from heddle.std.sinks import Streams, open_sink
schema = pa.schema([("a", pa.int64()), ("s", pa.string())])
sink = open_sink({step!r}, {config!r}, Path({base!r}), schema, Streams(sys.stdout, sys.stderr))
batch = pa.record_batch({{"a": list(range(10_000)), "s": [f"text {{i * 7919}}" for i in range(10_000)]}})
for number in range(1_000_000):
    sink.write(batch)
    if number == 20:
        print("writing", flush=True)
"""


@pytest.mark.parametrize("step", ["csv", "json", "parquet", "arrow"])
@pytest.mark.parametrize("partitioned", [False, True])
def test_a_killed_process_leaves_no_target(tmp_path: Path, step: str, partitioned: bool) -> None:
    config: dict[str, Any] = {"path": "out/target"}
    if partitioned:
        config["partition_by"] = ["a"]
    code = WRITE_WITHOUT_END.format(step=step, config=config, base=str(tmp_path)).replace(
        "list(range(10_000))", "[i % 3 for i in range(10_000)]"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "out" / "target").exists()
    assert all(p.name.startswith(".target.") for p in (tmp_path / "out").iterdir())


FILL = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from heddle.std.sinks import SinkError, Streams, open_sink
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
schema = pa.schema([("a", pa.int64()), ("s", pa.string())])
sink = open_sink({step!r}, {config!r}, Path({base!r}), schema, Streams(sys.stdout, sys.stderr))
try:
    for n in range(200):
        rows = [f"text {{i * 7919 * (n + 1)}}" for i in range(5_000)]
        sink.write(pa.record_batch({{"a": list(range(5_000)), "s": rows}}))
    sink.prepare()
    sink.commit()
except SinkError as error:
    sink.abort()
    print(error.error_type, error.message)
"""


@pytest.mark.parametrize(
    ("step", "config"),
    [
        ("csv", {}),
        ("json", {}),
        ("csv", {"compression": "gz"}),
        ("json", {"compression": "xz"}),
        ("parquet", {"row_group_rows": 10_000}),
        ("parquet", {}),
        ("arrow", {}),
    ],
)
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, step: str, config: dict[str, Any]) -> None:
    (tmp_path / "target").write_text("old")
    code = FILL.format(step=step, config={"path": "target", **config}, base=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "DiskFull `target` cannot be written: no space is left for it\n"
    assert names(tmp_path) == ["target"]
    assert (tmp_path / "target").read_text() == "old"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 200_000


@pytest.mark.parametrize(("step", "name"), [("parquet", "a.parquet"), ("arrow", "a.arrow"), ("csv", "a.csv")])
def test_an_aborted_sink_holds_nothing(
    tmp_path: Path, step: str, name: str, recwarn: pytest.WarningsRecorder
) -> None:
    """A writer that is left open would write to its closed file when it is collected."""
    table = pa.table({"x": [1, 2]})
    sink = open_sink(step, {"path": name}, tmp_path, table.schema, Streams(io.StringIO(), io.StringIO()))
    sink.write(table.to_batches()[0])
    sink.abort()
    del sink
    gc.collect()
    assert not list(recwarn)
    assert not list(tmp_path.iterdir())

"""Readers: what they describe is what they read; every way in which a file can be wrong has its words."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafusion import SessionContext
from pyarrow import ipc

from heddle.std.readers import ReaderError, describe, explain_error, locate, register

CSV = "id,name,at\n1,ada,2024-05-01T10:00:00Z\n2,,2024-05-01 12:00:00\n"
UTC = dt.UTC


def read(step: str, path: str, base: Path, **config: Any) -> pa.Table:
    """The rows; the columns are checked to be those described."""
    settings = {"path": path, **config}
    described = describe(step, settings, base)
    context = SessionContext()
    register(context, "t", step, settings, base)
    table = context.table("t").to_arrow_table()
    assert table.schema.names == described.names
    assert all(f.nullable for f in described)
    assert "view" not in str(described)
    return table.cast(described)


def plan_of(step: str, base: Path, sql: str, **config: Any) -> str:
    context = SessionContext()
    register(context, "t", step, config, base)
    return str(context.sql(sql).execution_plan())


def failure(step: str, path: str, base: Path, **config: Any) -> ReaderError:
    with pytest.raises(ReaderError) as caught:
        read(step, path, base, **config)
    return caught.value


def failure_while_reading(step: str, path: str, base: Path, **config: Any) -> tuple[str, str | None]:
    """What the engine's text becomes when the mistake is behind the first rows."""
    with pytest.raises(Exception, match=r"error") as caught:
        read(step, path, base, **config)
    explained = explain_error(str(caught.value))
    assert explained is not None, caught.value
    return explained


def test_csv_types_come_from_the_first_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    table = read("csv", "a.csv", tmp_path)
    assert table.schema == pa.schema(
        [("id", pa.int64()), ("name", pa.string()), ("at", pa.timestamp("us", "UTC"))]
    )
    assert table.to_pylist() == [
        {"id": 1, "name": "ada", "at": dt.datetime(2024, 5, 1, 10, tzinfo=UTC)},
        {"id": 2, "name": None, "at": dt.datetime(2024, 5, 1, 12, tzinfo=UTC)},
    ]


def _compress(kind: str) -> Callable[[bytes], bytes]:
    kinds: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": lambda data: bytes(pa.compress(data, codec="zstd", asbytes=True)),
    }
    return kinds[kind]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_compression_goes_by_the_ending_or_is_named(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"a.csv.{kind}").write_bytes(_compress(kind)(CSV.encode()))
    (tmp_path / "odd").write_bytes(_compress(kind)(CSV.encode()))
    assert read("csv", f"a.csv.{kind}", tmp_path).num_rows == 2
    assert read("csv", "odd", tmp_path, compression=kind).num_rows == 2
    (tmp_path / f"a.jsonl.{kind}").write_bytes(_compress(kind)(b'{"a":1}\n{"a":2}\n'))
    assert read("json", f"a.jsonl.{kind}", tmp_path).to_pydict() == {"a": [1, 2]}


@pytest.mark.parametrize(
    "name", ["we[i]rd.csv", "sp ace%20.csv", "q?.csv", "ünï.csv", "no_ending", "a#b.csv"]
)
def test_any_file_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(CSV)
    assert read("csv", name, tmp_path).num_rows == 2
    assert read("csv", str(tmp_path / name), Path("/")).num_rows == 2


def test_csv_settings(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("# note\n1;'x;y';007\n2;'a''b';\n")
    table = read("csv", "a.csv", tmp_path, header=False, delimiter=";", quote="'", comment="#")
    assert table.to_pylist()[0] == {"column_1": 1, "column_2": "x;y", "column_3": 7}
    names = {"id": "float", "text": "string", "code": "string"}
    table = read("csv", "a.csv", tmp_path, header=False, delimiter=";", quote="'", comment="#", schema=names)
    assert table.to_pylist() == [
        {"id": 1.0, "text": "x;y", "code": "007"},
        {"id": 2.0, "text": "a'b", "code": None},
    ]
    (tmp_path / "lines.csv").write_text('a,b\n1,"x\ny"\n')
    assert read("csv", "lines.csv", tmp_path, multiline=True).to_pylist() == [{"a": 1, "b": "x\ny"}]


def test_schema_is_laid_over_what_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    table = read("csv", "a.csv", tmp_path, schema={"id": "decimal(10,2)"})
    assert table.schema.types == [pa.decimal128(10, 2), pa.string(), pa.timestamp("us", "UTC")]
    error = failure("csv", "a.csv", tmp_path, schema={"idd": "int"})
    assert error.message == "cannot read `a.csv`: `schema` names the column `idd`, which is not there"
    assert error.help == "did you mean `id`?"
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    assert read("parquet", "a.parquet", tmp_path, schema={"a": "float"}).schema.types == [pa.float64()]


def test_json_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a":1,"n":{"x":1.5},"l":[1],"z":null}\n{"a":2,"b":true}\n')
    assert read("json", "a.jsonl", tmp_path).to_pylist() == [
        {"a": 1, "n": {"x": 1.5}, "l": [1], "z": None, "b": None},
        {"a": 2, "n": None, "l": None, "z": None, "b": True},
    ]
    table = read("json", "a.jsonl", tmp_path, schema={"a": "decimal(10,2)"})
    assert table.schema.field("a").type == pa.decimal128(10, 2)


def test_arrow_files_and_streams(tmp_path: Path) -> None:
    table = pa.table({"a": [1, None], "s": pa.array(["x", None], pa.large_string())})
    for name, new in (("f.arrow", ipc.new_file), ("s.arrow", ipc.new_stream)):
        with new(tmp_path / name, table.schema) as writer:
            writer.write_table(table)
        assert read("arrow", name, tmp_path).to_pylist() == table.to_pylist()


def test_parquet_scans_take_filters_and_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": range(10), "b": range(10), "c": range(10)}), tmp_path / "a.parquet")
    for path in ("a.parquet", "*.parquet", "."):
        plan = plan_of("parquet", tmp_path, "SELECT a FROM t WHERE b > 5", path=path)
        assert "projection=[a, b]" in plan
        assert "predicate=b" in plan
        assert "pruning_predicate" in plan


def test_patterns_mean_exactly_what_they_match(tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv", "sub/3.csv", "sub/deep/4.csv", ".hidden.csv", "n.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"id\n{name[0] if name[0].isdigit() else name[-5]}\n")

    def ids(pattern: str) -> list[int]:
        return sorted(read("csv", pattern, tmp_path)["id"].to_pylist())

    assert ids("*.csv") == [1, 2]
    assert ids("[1-9].csv") == [1, 2]
    assert ids("sub/*.csv") == [3]
    assert ids("*/*.csv") == [3]
    assert ids("**/*.csv") == [1, 2, 3, 4]
    assert ids(str(tmp_path / "?.csv")) == [1, 2]


def test_files_of_a_pattern_may_differ_in_columns_and_compression(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("id,a\n1,x\n")
    (tmp_path / "2.csv.gz").write_bytes(gzip.compress(b"id,a\n2,y\n"))
    assert sorted(read("csv", "*.csv*", tmp_path)["id"].to_pylist()) == [1, 2]
    pq.write_table(pa.table({"id": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"id": [2], "b": ["y"]}), tmp_path / "2.parquet")
    rows = read("parquet", "*.parquet", tmp_path).sort_by("id").to_pylist()
    assert [{k: r[k] for k in ("id", "b")} for r in rows] == [{"id": 1, "b": None}, {"id": 2, "b": "y"}]


def test_folders_and_hive_partitions(tmp_path: Path) -> None:
    for day, k in (("2024-05-01", 1), ("2024-05-02", 2)):
        folder = tmp_path / "data" / f"day={day}" / f"k={k}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"v": [k * 10]}), folder / "part-0.parquet")
    expected = [
        {"v": 10, "day": dt.date(2024, 5, 1), "k": 1},
        {"v": 20, "day": dt.date(2024, 5, 2), "k": 2},
    ]
    assert read("parquet", "data", tmp_path).sort_by("v").to_pylist() == expected
    assert read("parquet", "data/*/*/*.parquet", tmp_path).sort_by("v").to_pylist() == expected
    named = read("parquet", "data", tmp_path, partitions={"day": "string", "k": "string"}).sort_by("v")
    assert named.to_pylist()[0] == {"v": 10, "day": "2024-05-01", "k": "1"}
    one = plan_of("parquet", tmp_path, "SELECT v FROM t WHERE k = 2", path="data")
    assert "k=2" in one
    assert "k=1" not in one


def test_folders_hold_the_readers_own_files(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.csv").write_text("id\n1\n")
    (tmp_path / "d" / "b.csv").write_text("id\n2\n")
    (tmp_path / "d" / "note.md").write_text("no")
    (tmp_path / "d" / ".c.csv.1234.tmp").write_text("half")
    assert sorted(read("csv", "d", tmp_path)["id"].to_pylist()) == [1, 2]
    error = failure("parquet", "d", tmp_path)
    assert (error.kind, error.message) == (
        "empty",
        "cannot read `d`: the folder holds no file that ends in .parquet, .pq",
    )


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(CSV)
    error = failure("csv", "order.csv", tmp_path)
    assert error.kind == "missing"
    assert error.message == f"cannot read `order.csv`: there is no file {tmp_path}/order.csv"
    assert error.help == "did you mean `orders.csv`?"
    assert failure("csv", "data/x.csv", tmp_path).help == f"the folder {tmp_path}/data does not exist"
    error = failure("csv", "*.tsv", tmp_path)
    assert (error.kind, error.message) == ("missing", "cannot read `*.tsv`: the pattern matches no file")
    assert failure("csv", "http://host/a.csv", tmp_path).message == (
        "cannot read `http://host/a.csv`: `http://` is unsupported"
    )


def test_empty_files(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        (tmp_path / name).touch()
    assert failure("parquet", "a.parquet", tmp_path).message == (
        f"cannot read `a.parquet`: the file {tmp_path}/a.parquet is empty"
    )
    assert failure("json", "a.jsonl", tmp_path).help == "name its columns in `schema`"
    assert read("json", "a.jsonl", tmp_path, schema={"a": "int"}).to_pydict() == {"a": []}
    (tmp_path / "head.csv").write_text("a,b\n")
    assert read("csv", "head.csv", tmp_path).schema == pa.schema([("a", pa.string()), ("b", pa.string())])


@pytest.mark.parametrize(
    ("step", "name", "content", "message"),
    [
        ("csv", "a.csv", b"a,b\n1,2\n1,2,3\n", "line 3 has 3 values where the header has 2"),
        ("csv", "a.csv", b"a,b\n1,\xff\xfe\n", "line 2 is not UTF-8 text"),
        ("csv", "a.csv", b"a,a\n1,2\n", "two columns of its header are called `a`"),
        ("csv", "a.csv.gz", b"a,b\n1,2\n", "not compressed in the way that is expected"),
        ("json", "a.jsonl", b'{"a":1}\n{"a":\n', "a line is not a JSON object"),
        ("json", "a.jsonl", b"[1,2]\n", "a line is not a JSON object"),
        (
            "parquet",
            "a.parquet",
            b"hello world, not parquet",
            "not a whole Parquet file: it has no Parquet footer",
        ),
        ("parquet", "a.parquet", b"PAR1", "not a whole Parquet file"),
        ("arrow", "a.arrow", b"nope", "this is not an Arrow IPC file or stream"),
    ],
)
def test_files_that_are_not_what_they_should_be(
    tmp_path: Path, step: str, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    error = failure(step, name, tmp_path)
    assert error.kind == "invalid"
    assert error.message.startswith(f"cannot read `{name}`: ")
    assert message in error.message
    assert error.help
    assert "DataFusion" not in str(error)


def test_a_parquet_file_that_was_cut_off(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": range(100)}), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-30])
    assert "not a whole Parquet file" in failure("parquet", "cut.parquet", tmp_path).message
    (tmp_path / "damaged.parquet").write_bytes(whole[:4] + b"\xff" * 60 + whole[64:])
    message, help_text = failure_while_reading("parquet", "damaged.parquet", tmp_path)
    assert message == "this is not a whole Parquet file: its pages are damaged"
    assert help_text == "write it again, or check that it was copied whole"


def test_mistakes_behind_the_first_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 2000 + "x,3\n")
    assert failure_while_reading("csv", "a.csv", tmp_path) == (
        "'x' in column 1 is not int, in the row `x,3`",
        "the column types come from the first rows: name the type in `schema`, or raise `infer_rows`",
    )
    assert read("csv", "a.csv", tmp_path, infer_rows=5000).schema.field("a").type == pa.string()
    (tmp_path / "b.csv").write_text("a,b\n" + "1,2\n" * 2000 + "3\n")
    assert failure_while_reading("csv", "b.csv", tmp_path)[0] == "a row has 1 values where the header has 2"
    (tmp_path / "c.jsonl").write_text('{"a":1}\n' * 2000 + '{"a":"x"}\n')
    assert failure_while_reading("json", "c.jsonl", tmp_path)[0] == '`a` holds "x", which is not int'


@pytest.mark.parametrize(
    ("step", "name", "good", "bad"),
    [
        ("csv", "a.csv", b"1,2\n", b"x,3\n"),
        ("csv", "a.csv.gz", b"1,2\n", b"x,3\n"),
        ("csv", "a.csv.zst", b"1,2\n", b"3\n"),
        ("csv", "a.csv", b"1,2\n", b"1,\xff\n"),
        ("json", "a.jsonl", b'{"a":1}\n', b'{"a":"x"}\n'),
        ("json", "a.jsonl.xz", b'{"a":1}\n', b'{"a":\n'),
    ],
)
def test_the_place_of_a_mistake_is_found(
    tmp_path: Path, step: str, name: str, good: bytes, bad: bytes
) -> None:
    head = b"a,b\n" if step == "csv" else b""
    content = head + good * 3000 + bad + good * 2000
    kind = name.rpartition(".")[2]
    (tmp_path / name).write_bytes(_compress(kind)(content) if kind in ("gz", "xz", "zst") else content)
    with pytest.raises(Exception, match=r"error") as caught:
        read(step, name, tmp_path)
    line = 3002 if step == "csv" else 3001
    assert locate(str(caught.value), step, {"path": name}, tmp_path) == f"{tmp_path}/{name}:{line}"


def test_line_numbers_hold_in_files_that_are_read_in_parts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 3_000_000 + "x,3\n" + "1,2\n" * 1_000_000)
    with pytest.raises(Exception, match=r"error") as caught:
        read("csv", "a.csv", tmp_path)
    assert locate(str(caught.value), "csv", {"path": "a.csv"}, tmp_path) == f"{tmp_path}/a.csv:3000002"


def test_files_that_do_not_agree(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "2.parquet")
    error = failure("parquet", "*.parquet", tmp_path)
    assert "the files do not agree: `a` is" in error.message
    assert error.help is not None
    assert error.help.startswith("name its type: schema: { a:")


def test_settings_are_checked(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    assert "`delimiter` is one ASCII character" in failure("csv", "a.csv", tmp_path, delimiter="ab").message
    error = failure("csv", "a.csv", tmp_path, header=False, schema={"a": "int"})
    assert "without a header `schema` names all columns in order: it has 1, the file 3" in error.message


def test_errors_survive_as_text() -> None:
    error = ReaderError("missing", "a.csv", "there is no file /a.csv", "did you mean `b.csv`?")
    assert explain_error(str(error)) == (error.message, error.help)
    assert explain_error("something else entirely") is None

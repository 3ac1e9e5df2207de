"""What goes out of Arrow's types, and what is said about each column."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from heddle.database.model import REMARKS, TableInfo, TableName
from heddle.flightsql.columns import fitted_columns, plain_columns, plain_type, table_columns

TEXT_LIST = pa.list_(pa.string())
PLAIN = {
    "text view": (pa.array(["a", None], pa.string_view()), pa.string()),
    "large text": (pa.array(["a", None], pa.large_string()), pa.string()),
    "bytes view": (pa.array([b"a", None], pa.binary_view()), pa.binary()),
    "large bytes": (pa.array([b"a", None], pa.large_binary()), pa.binary()),
    "half": (pa.array([1.5, None], pa.float16()), pa.float32()),
    "dictionary": (pa.array(["a", None, "a"]).dictionary_encode(), pa.string()),
    "runs": (pc.run_end_encode(pa.array([1, 1, 2])), pa.int64()),
    "small decimal": (pa.array([1, None], pa.decimal32(5, 2)), pa.decimal128(5, 2)),
    "zone": (pa.array([1], pa.timestamp("us", "Etc/UTC")), pa.timestamp("us", "UTC")),
    "offset": (pa.array([1], pa.timestamp("ns", "+00:00")), pa.timestamp("ns", "UTC")),
    "large list": (pa.array([["a"], None], pa.large_list(pa.string_view())), TEXT_LIST),
    "list view": (pa.array([["a", "b"], None, []], pa.list_view(pa.string())), TEXT_LIST),
    "list of dictionaries": (
        pa.array([["a"], None], TEXT_LIST).cast(pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        TEXT_LIST,
    ),
    "struct": (
        pa.array([{"a": "x"}, None], pa.struct([("a", pa.large_string())])),
        pa.struct([("a", pa.string())]),
    ),
    "map": (
        pa.array([[("k", "v")]], pa.map_(pa.string(), pa.large_string())),
        pa.map_(pa.string(), pa.string()),
    ),
    "uuid": (pa.array([b"0123456789abcdef"], pa.uuid()), pa.binary(16)),
}


@pytest.mark.parametrize(("array", "plain"), PLAIN.values(), ids=PLAIN)
def test_what_clients_may_not_know_becomes_plain(array: pa.Array, plain: pa.DataType) -> None:
    batch = pa.record_batch([array, pa.array(range(len(array)))], names=["x", "y"])
    columns = plain_columns(batch.schema)
    assert columns.schema.field("x").type == plain_type(array.type) == plain
    found = columns.convert(batch)
    found.validate(full=True)
    stored = array.storage if isinstance(array, pa.ExtensionArray) else array
    assert found["x"].to_pylist() == stored.to_pylist()
    assert found["y"].equals(batch["y"])


def test_views_of_lists_that_lie_elsewhere() -> None:
    views = pa.ListViewArray.from_arrays([2, 0], [1, 2], pa.array(["a", "b", "c"]))
    batch = pa.record_batch([views], names=["x"])
    assert plain_columns(batch.schema).convert(batch)["x"].to_pylist() == [["c"], ["a", "b"]]


def test_what_is_plain_stays_where_it_is() -> None:
    batch = pa.record_batch([pa.array([1]), pa.array(["a"])], names=["x", "y"])
    columns = plain_columns(batch.schema)
    assert columns.cast == ()
    assert columns.convert(batch) is batch


def test_a_later_answer_takes_the_types_of_the_first() -> None:
    first = plain_columns(pa.schema([("x", pa.float64())]))
    columns = fitted_columns(pa.schema([("x", pa.int64())]), first)
    found = columns.convert(pa.record_batch([pa.array([7])], names=["x"]))
    assert found["x"].to_pylist() == [7.0]


NAMED = {
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INT",
    pa.int64(): "BIGINT",
    pa.uint64(): "BIGINT UNSIGNED",
    pa.float64(): "DOUBLE",
    pa.string_view(): "VARCHAR",
    pa.binary(): "VARBINARY",
    pa.date32(): "DATE",
    pa.time64("ns"): "TIME",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
    pa.duration("us"): "INTERVAL",
    pa.decimal128(10, 2): "DECIMAL",
    TEXT_LIST: "ARRAY",
    pa.struct([("a", pa.int64())]): "STRUCT",
    pa.null(): "NULL",
}


@pytest.mark.parametrize(("type_", "name"), NAMED.items(), ids=map(str, NAMED))
def test_types_have_names(type_: pa.DataType, name: str) -> None:
    (field,) = plain_columns(pa.schema([("x", type_)])).schema
    assert field.metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"].decode() == name


def test_digits_are_told() -> None:
    (field,) = plain_columns(pa.schema([("x", pa.decimal128(10, 2))])).schema
    assert field.metadata[b"ARROW:FLIGHT:SQL:PRECISION"] == b"10"
    assert field.metadata[b"ARROW:FLIGHT:SQL:SCALE"] == b"2"


def test_a_table_tells_where_its_columns_belong() -> None:
    field = pa.field("x", pa.int64(), nullable=False, metadata={REMARKS: b"how many"})
    table = TableInfo(TableName("c", "s", "t"), "TABLE", pa.schema([field]), writable=True)
    (found,) = table_columns(table)
    told = {key.removeprefix(b"ARROW:FLIGHT:SQL:"): value for key, value in found.metadata.items()}
    assert not found.nullable
    assert (told[b"CATALOG_NAME"], told[b"SCHEMA_NAME"], told[b"TABLE_NAME"]) == (b"c", b"s", b"t")
    assert (told[b"REMARKS"], told[b"IS_READ_ONLY"]) == (b"how many", b"0")

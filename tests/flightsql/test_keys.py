"""Keys of tables as Flight SQL tells them, from either side, in the protocol's order."""

from __future__ import annotations

import pyarrow as pa

from heddle.database.model import ForeignKey, TableInfo, TableName
from heddle.flightsql.metadata import keys, schemas
from heddle.flightsql.metadata.patterns import like
from heddle.flightsql.wire import flight_sql_pb2 as sql

COLUMNS = pa.schema([(name, pa.int64()) for name in ("a", "b", "c")])
PARENT = TableInfo(TableName("cat", "s", "parent"), "TABLE", COLUMNS, primary_key=("b", "a"))
CHILD = TableInfo(
    TableName("cat", "s", "child"),
    "TABLE",
    COLUMNS,
    foreign_keys=(ForeignKey("child_c_a_fkey", ("c", "a"), PARENT.name, ("b", "a")),),
)
TABLES = (CHILD, PARENT)
PAIRS = [("b", "c", 1), ("a", "a", 2)]


def test_a_primary_key_has_its_own_order() -> None:
    found = keys.primary_keys(sql.CommandGetPrimaryKeys(catalog="cat", db_schema="s", table="parent"), TABLES)
    assert found.schema.equals(schemas.PRIMARY_KEYS)
    assert found["column_name"].to_pylist() == ["b", "a"]
    assert found["key_sequence"].to_pylist() == [1, 2]
    assert keys.primary_keys(sql.CommandGetPrimaryKeys(table="child"), TABLES).num_rows == 0
    assert keys.primary_keys(sql.CommandGetPrimaryKeys(catalog="", table="parent"), TABLES).num_rows == 0


def test_foreign_keys_from_either_side() -> None:
    imported = keys.imported_keys(sql.CommandGetImportedKeys(table="child"), TABLES)
    exported = keys.exported_keys(sql.CommandGetExportedKeys(table="parent"), TABLES)
    crossed = keys.cross_reference(sql.CommandGetCrossReference(pk_table="parent", fk_table="child"), TABLES)
    for found in (imported, exported, crossed):
        assert found.schema.equals(schemas.FOREIGN_KEYS)
        columns = found.select(["pk_column_name", "fk_column_name", "key_sequence"]).to_pydict()
        assert list(zip(*columns.values(), strict=True)) == PAIRS
        assert set(found["fk_key_name"].to_pylist()) == {"child_c_a_fkey"}
    assert keys.imported_keys(sql.CommandGetImportedKeys(table="parent"), TABLES).num_rows == 0
    assert keys.exported_keys(sql.CommandGetExportedKeys(table="child"), TABLES).num_rows == 0


def test_patterns() -> None:
    assert like("a%")("abc")
    assert like("a_c")("abc")
    assert not like("a_c")("abbc")
    assert like("a\\_c")("a_c")
    assert not like("a\\_c")("abc")
    assert not like("a.c")("abc")
    assert like(None)("")
    assert not like("")("a")
    assert like("a%")("a\nb")

"""The schemas of all metadata commands, field by field: clients compare names, order, types and nullability,
and refuse an answer that differs."""

from __future__ import annotations

import pyarrow as pa
import pytest
from google.protobuf.message import Message

from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.clients.raw import Raw

FOREIGN_KEYS = """\
pk_catalog_name: string
pk_db_schema_name: string
pk_table_name: string not null
pk_column_name: string not null
fk_catalog_name: string
fk_db_schema_name: string
fk_table_name: string not null
fk_column_name: string not null
key_sequence: int32 not null
fk_key_name: string
pk_key_name: string
update_rule: uint8 not null
delete_rule: uint8 not null"""
TABLES = """\
catalog_name: string
db_schema_name: string
table_name: string not null
table_type: string not null"""
EXPECTED = {
    "catalogs": (sql.CommandGetCatalogs(), "catalog_name: string not null"),
    "schemas": (sql.CommandGetDbSchemas(), "catalog_name: string\ndb_schema_name: string not null"),
    "tables": (sql.CommandGetTables(), TABLES),
    "tables_with_schemas": (
        sql.CommandGetTables(include_schema=True),
        f"{TABLES}\ntable_schema: binary not null",
    ),
    "table_types": (sql.CommandGetTableTypes(), "table_type: string not null"),
    "primary_keys": (
        sql.CommandGetPrimaryKeys(table="orders"),
        """\
catalog_name: string
db_schema_name: string
table_name: string not null
column_name: string not null
key_name: string
key_sequence: int32 not null""",
    ),
    "imported_keys": (sql.CommandGetImportedKeys(table="orders"), FOREIGN_KEYS),
    "exported_keys": (sql.CommandGetExportedKeys(table="customers"), FOREIGN_KEYS),
    "cross_reference": (sql.CommandGetCrossReference(pk_table="customers", fk_table="orders"), FOREIGN_KEYS),
    "sql_info": (
        sql.CommandGetSqlInfo(),
        "info_name: uint32 not null\n"
        "value: dense_union<string_value: string=0, bool_value: bool=1, bigint_value: int64=2,"
        " int32_bitmask: int32=3, string_list: list<item: string>=4,"
        " int32_to_int32_list_map: map<int32, list<item: int32>>=5> not null",
    ),
    "types": (
        sql.CommandGetXdbcTypeInfo(),
        """\
type_name: string not null
data_type: int32 not null
column_size: int32
literal_prefix: string
literal_suffix: string
create_params: list<item: string not null>
nullable: int32 not null
case_sensitive: bool not null
searchable: int32 not null
unsigned_attribute: bool
fixed_prec_scale: bool not null
auto_increment: bool
local_type_name: string
minimum_scale: int32
maximum_scale: int32
sql_data_type: int32 not null
datetime_subcode: int32
num_prec_radix: int32
interval_precision: int32""",
    ),
}


@pytest.mark.parametrize(("command", "expected"), EXPECTED.values(), ids=EXPECTED)
def test_the_schema_is_exact(raw: Raw, command: Message, expected: str) -> None:
    """As promised by GetSchema and GetFlightInfo, and as it comes."""
    found = raw.ask(command)
    assert described(raw.schema(command)) == described(found.schema) == expected


def described(schema: pa.Schema) -> str:
    return "\n".join(f"{field.name}: {field.type}{'' if field.nullable else ' not null'}" for field in schema)


def test_a_table_s_schema_is_a_schema_message(raw: Raw) -> None:
    """Its fields carry what ODBC and Power BI show: the names that SQL has for types and places."""
    asked = sql.CommandGetTables(include_schema=True, table_name_filter_pattern="customers")
    (table,) = raw.ask(asked).to_pylist()
    schema = pa.ipc.read_schema(pa.py_buffer(table["table_schema"]))
    assert schema.names == ["id", "name", "country"]
    told = schema.field("id").metadata
    assert told[b"ARROW:FLIGHT:SQL:TYPE_NAME"] == b"BIGINT"
    assert told[b"ARROW:FLIGHT:SQL:SCHEMA_NAME"] == b"Shop"
    assert told[b"ARROW:FLIGHT:SQL:TABLE_NAME"] == b"customers"


ORDERED = {
    "catalogs": (sql.CommandGetCatalogs(), ["catalog_name"]),
    "schemas": (sql.CommandGetDbSchemas(), ["catalog_name", "db_schema_name"]),
    "tables": (sql.CommandGetTables(), ["catalog_name", "db_schema_name", "table_name", "table_type"]),
    "types": (sql.CommandGetXdbcTypeInfo(), ["data_type", "type_name"]),
    "table_types": (sql.CommandGetTableTypes(), ["table_type"]),
}


@pytest.mark.parametrize(("command", "columns"), ORDERED.values(), ids=ORDERED)
def test_rows_come_in_the_protocol_s_order(raw: Raw, command: Message, columns: list[str]) -> None:
    found = raw.ask(command).select(columns).to_pylist()
    rows = [tuple(row[name] for name in columns) for row in found]
    assert rows == sorted(rows)
    assert rows


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (
            sql.CommandGetTables(db_schema_filter_pattern="Sh%", table_name_filter_pattern="_rders"),
            {"orders"},
        ),
        (sql.CommandGetTables(db_schema_filter_pattern="Shop", table_types=["TABLE"]), set()),
        (sql.CommandGetTables(catalog="", table_name_filter_pattern="orders"), set()),
        (sql.CommandGetTables(catalog="elsewhere"), set()),
        (sql.CommandGetTables(db_schema_filter_pattern="shop"), set()),
        (sql.CommandGetTables(table_name_filter_pattern="o.*"), set()),
        (sql.CommandGetTables(table_name_filter_pattern=""), set()),
    ],
    ids=["patterns", "types", "without a catalog", "another catalog", "case", "no expression", "no name"],
)
def test_tables_are_filtered(raw: Raw, command: sql.CommandGetTables, found: set[str]) -> None:
    """A filter that is not set lets all pass; one that is empty asks for what has no catalog or schema."""
    assert set(raw.ask(command)["table_name"].to_pylist()) == found


def test_a_type_is_asked_for_by_its_number(raw: Raw) -> None:
    """12 is VARCHAR in ODBC, as in JDBC."""
    found = raw.ask(sql.CommandGetXdbcTypeInfo(data_type=12))
    assert set(found["data_type"].to_pylist()) == {12}
    assert "VARCHAR" in found["type_name"].to_pylist()


def test_facts_of_the_server_are_asked_for_one_by_one(raw: Raw) -> None:
    found = raw.ask(sql.CommandGetSqlInfo(info=[8, 0]))
    assert sorted(found["info_name"].to_pylist()) == [0, 8]
    everything = raw.ask(sql.CommandGetSqlInfo())["info_name"].to_pylist()
    assert len(set(everything)) == len(everything)
    assert max(everything) < 600, "an id that a driver does not know stops it"

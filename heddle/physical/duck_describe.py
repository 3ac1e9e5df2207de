"""Explain's side of DuckDB: the plan that it makes of a fragment's SQL, and what it pushed into each scan.

Files are read as in a run, as far as planning reads them; other inputs are streams without rows. DuckDB does
not say which table a scan is of, so each input gets a plan in which no other scan is like its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from heddle.core.planning import quoted
from heddle.core.record import record
from heddle.logical.explain import FragmentPlans, Pushed
from heddle.logical.plan import Fragment
from heddle.physical.duck import DuckSession
from heddle.physical.duck_sql import (
    DuckTable,
    duckdb_sql,
    parquet_table,
    stream_name,
    stream_table,
    values_of,
)

_MARK: Final = "\N{WHITE HEXAGON} "
"""Before the names of a stream's columns; it tells the stream from others."""

_Node = dict[str, Any]
"""An operator of a plan, as DuckDB's JSON has it: `name`, `extra_info` and `children`."""


@record(frozen=True, slots=True)
class DuckInput:
    """An operator that a fragment reads. `files` are None where DuckDB does not read them itself."""

    path: str
    files: tuple[Path, ...] | None
    schema: pa.Schema


def describe_on_duckdb(
    fragment: Fragment, inputs: Mapping[str, DuckInput], duck: DuckSession
) -> FragmentPlans:
    """`inputs` is by relation. Raises what DuckDB raises."""
    with duck.cursor().connection as cursor:
        tables = [_table(cursor, relation, given) for relation, given in inputs.items()]
        logical, physical = _plans(cursor, fragment, tables)
    pushed = [
        (given.path, found)
        for relation, given in inputs.items()
        for found in _pushed(fragment, inputs, relation, duck)
    ]
    return FragmentPlans(
        sql=duckdb_sql(fragment, [_with_values(table) for table in tables]),
        logical="\n".join(_lines(logical, 0)),
        physical="\n".join(_lines(physical, 0)),
        pushed=tuple(pushed),
        late=False,
    )


def _pushed(
    fragment: Fragment, inputs: Mapping[str, DuckInput], relation: str, duck: DuckSession
) -> Iterator[Pushed]:
    """For each scan of the relation."""
    files = inputs[relation].files is not None
    with duck.cursor().connection as cursor:
        tables = [
            _table(cursor, other, given)
            if files and other == relation
            else _stream(cursor, other, given, marked=other == relation)
            for other, given in inputs.items()
        ]
        _, plan = _plans(cursor, fragment, tables)
    for node in _nodes(plan):
        columns = _texts(node["extra_info"].get("Projections"))
        filters = tuple(_texts(node["extra_info"].get("Filters")))
        if files and node["name"] == "READ_PARQUET":
            yield Pushed(tuple(columns), filters)
        elif not files and columns and columns[0].startswith(_MARK):
            yield Pushed(tuple(name.removeprefix(_MARK) for name in columns), filters)


def _table(cursor: duckdb.DuckDBPyConnection, relation: str, given: DuckInput) -> DuckTable:
    if given.files is not None:
        return parquet_table(relation, given.files)
    return _stream(cursor, relation, given, marked=False)


def _stream(cursor: duckdb.DuckDBPyConnection, relation: str, given: DuckInput, *, marked: bool) -> DuckTable:
    mark = _MARK if marked else ""
    schema = pa.schema([pa.field(mark + field.name, field.type) for field in given.schema])
    cursor.register(stream_name(relation), pa.RecordBatchReader.from_batches(schema, iter(())))
    if not marked:
        return stream_table(relation)
    columns = ", ".join(f"{quoted(mark + name)} AS {quoted(name)}" for name in given.schema.names)
    return DuckTable(relation, f"(SELECT {columns} FROM {quoted(stream_name(relation))})")


def _plans(
    cursor: duckdb.DuckDBPyConnection, fragment: Fragment, tables: list[DuckTable]
) -> tuple[_Node, _Node]:
    """The optimized logical plan and the physical one."""
    cursor.execute("SET explain_output = 'all'")
    try:
        sql = f"EXPLAIN (FORMAT json) {duckdb_sql(fragment, tables)}"
        shown = dict(cursor.execute(sql, values_of(tables)).fetchall())
    finally:
        cursor.execute("RESET explain_output")
    return json.loads(shown["logical_opt"])[0], json.loads(shown["physical_plan"])[0]


def _lines(node: _Node, depth: int) -> Iterator[str]:
    """The operators as DataFusion shows them: each below the one that it feeds, indented."""
    said = [
        f"{key}=[{', '.join(texts)}]" for key, value in node["extra_info"].items() if (texts := _texts(value))
    ]
    yield "  " * depth + node["name"] + (f": {', '.join(said)}" if said else "")
    for child in node["children"]:
        yield from _lines(child, depth + 1)


def _nodes(node: _Node) -> Iterator[_Node]:
    yield node
    for child in node["children"]:
        yield from _nodes(child)


def _texts(value: object) -> list[str]:
    """What DuckDB gives as one text where it is alone, and as a list where there are several."""
    if isinstance(value, list):
        return [str(part) for part in value]
    return [] if value is None or value == "" else [str(value)]


def _with_values(table: DuckTable) -> DuckTable:
    """With its parameters, which are lists of files, written out."""
    source = table.source
    for files in table.values:
        assert isinstance(files, list), "DuckDB is given lists of files"
        source = source.replace("?", f"[{', '.join(_literal(file) for file in files)}]", 1)
    return replace(table, source=source)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

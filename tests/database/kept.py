"""Rows of kept tables, read as queries read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from datafusion import SessionConfig, SessionContext

from heddle.database.kept_tables import KeptTables
from heddle.database.model import IngestMode
from heddle.std import readers

NUMBERS = pa.schema([("n", pa.int64())])


def numbers(*values: int | None) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(values, pa.int64())}, schema=NUMBERS)


def put(
    kept: KeptTables,
    name: str,
    *batches: pa.RecordBatch,
    mode: IngestMode = "create_append",
    transaction: str | None = None,
    columns: Sequence[str] | None = None,
) -> int:
    with kept.ingest(name, batches[0].schema, mode, transaction, columns=columns) as ingest:
        for batch in batches:
            ingest.write(batch)
        return ingest.commit()


def table_of(kept: KeptTables, name: str, transaction: str | None = None) -> pa.Table:
    with kept.read(name, transaction) as reading:
        context = SessionContext(SessionConfig().with_target_partitions(1))
        readers.register(context, "t", reading.step, reading.config, Path("/nowhere"))
        return context.sql("SELECT * FROM t").to_arrow_table()


def values(kept: KeptTables, name: str, transaction: str | None = None) -> list[int]:
    return table_of(kept, name, transaction)["n"].to_pylist()


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "parts").iterdir()}

"""The object store as a service, asked by pyarrow."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from tests.services.object_store import ObjectStore


def test_tables_go_in_and_out(object_store: ObjectStore) -> None:
    files, bucket = object_store.files(), object_store.create_bucket()
    table = pa.table({"id": range(100_000)})
    pq.write_table(table, f"{bucket}/folder/a b.parquet", filesystem=files)
    assert pq.read_table(f"{bucket}/folder", filesystem=files, columns=["id"]).equals(table)


def test_a_restart_empties_it() -> None:
    with ObjectStore() as store:
        bucket = store.create_bucket()
        store.kill()
        store.restart()
        assert store.files().get_file_info(bucket).type.name == "NotFound"

"""Readers and writers over object stores whose credentials are a resource, against a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.diagnostics import Diagnostic
from tests.engine.harness import Ran, check, run
from tests.fhub.failure_table import failures
from tests.services.fault_proxy import FaultProxy, Say
from tests.services.object_store import REGION, ObjectStore

RESOURCE = """
resource lake = io.s3 {
  endpoint: "ENDPOINT"
  region: "REGION"
  access_key_id: "tests"
  secret_access_key: SECRET
}
"""
LITERAL = '"hush"'


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)


def program(folder: Path, store: ObjectStore, body: str, secret: str = LITERAL) -> Path:
    resource = RESOURCE.replace("ENDPOINT", store.url).replace("REGION", REGION).replace("SECRET", secret)
    path = folder / "lake.he"
    path.write_text(resource + body)
    return path


def stored(store: ObjectStore) -> tuple[str, pa.Table]:
    bucket = store.create_bucket()
    table = pa.table({"id": [1, 2, 3], "name": ["Ada", "Grace", "ü☃"]})
    pq.write_table(table, f"{bucket}/folder/a b.parquet", filesystem=store.files())
    return bucket, table


def told(ran: Ran) -> str:
    return ran.out + ran.err + repr(ran.events) + repr(ran.result)


@pytest.mark.parametrize("secret", [LITERAL, 'secret("LAKE_KEY")', 'env("LAKE_KEY")'])
@pytest.mark.parametrize("path", ["folder/", "folder/a b.parquet"])
def test_a_reader_takes_its_store(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str, path: str
) -> None:
    monkeypatch.setenv("LAKE_KEY", "hush")
    bucket, _ = stored(object_store)
    body = f"""
workflow W {{
  <store=lake> io.parquet {{ path: "s3://{bucket}/{path}" }}
    | (filter id > 1 | select {{name}})
    > names
}}
"""
    ran = run(program(tmp_path, object_store, body, secret), ["W.names"])
    assert ran.rows("W.names") == [{"name": "Grace"}, {"name": "ü☃"}]
    assert "hush" not in told(ran)


@pytest.mark.parametrize("step", ["csv", "json", "parquet", "arrow"])
def test_what_is_written_is_read(object_store: ObjectStore, tmp_path: Path, step: str) -> None:
    bucket = object_store.create_bucket()
    written = f"""
step out = <store=lake> io.{step} {{ path: "s3://{bucket}/out/rows {step}.{step}" }}
workflow W {{
  [{{ id: 1, name: "Ada" }}, {{ id: 2, name: "ü☃" }}]
    | out
}}
"""
    ran = run(program(tmp_path, object_store, written))
    assert "hush" not in told(ran)
    read = f"""
workflow W {{
  <store=lake> io.{step} {{ path: "s3://{bucket}/out/rows {step}.{step}" }}
    > rows
}}
"""
    again = run(program(tmp_path, object_store, read), ["W.rows"])
    assert again.rows("W.rows") == [{"id": 1, "name": "Ada"}, {"id": 2, "name": "ü☃"}]


def test_a_large_object_arrives_whole(object_store: ObjectStore, tmp_path: Path) -> None:
    """In several parts."""
    bucket = object_store.create_bucket()
    rows = pa.table({"id": pa.array(range(2_000_000))})
    pq.write_table(rows, tmp_path / "rows.parquet", compression="none", use_dictionary=False)
    body = f"""
workflow W {{
  io.parquet {{ path: "rows.parquet" }}
    | <store=lake> io.arrow {{ path: "s3://{bucket}/rows.arrow" }}
}}
"""
    run(program(tmp_path, object_store, body))
    with object_store.files().open_input_file(f"{bucket}/rows.arrow") as file:
        written = pa.ipc.open_file(file).read_all()
    assert written.sort_by("id").equals(rows)


def test_a_run_that_fails_leaves_nothing(object_store: ObjectStore, tmp_path: Path) -> None:
    bucket, table = stored(object_store)
    body = f"""
workflow W {{
  [{{ text: "1" }}, {{ text: "no number" }}]
    > texts

  texts
    | <store=lake> io.parquet {{ path: "s3://{bucket}/folder/a b.parquet" }}

  texts
    | (derive {{n = s"CAST(text AS INTEGER)"}})
    | io.json {{ path: "numbers.jsonl" }}
}}
""".replace('s"CAST(text AS INTEGER)"', "(text | as int)")
    ran = run(program(tmp_path, object_store, body))
    assert ran.result.status == "failed"
    assert pq.read_table(f"{bucket}/folder/a b.parquet", filesystem=object_store.files()).equals(table)


def test_two_stores_may_have_a_bucket_of_one_name(object_store: ObjectStore, tmp_path: Path) -> None:
    with ObjectStore() as other:
        bucket, _ = stored(object_store)
        while (theirs := other.create_bucket()) != bucket:
            assert int(theirs.rpartition("-")[2]) < int(bucket.rpartition("-")[2])
        rows = pa.table({"id": [2, 3], "city": ["Bonn", "Köln"]})
        pq.write_table(rows, f"{bucket}/folder/a b.parquet", filesystem=other.files())
        body = f"""
resource sea = io.s3 {{
  endpoint: "{other.url}"
  region: "{REGION}"
  access_key_id: "x"
  secret_access_key: "y"
}}
workflow W {{
  <store=lake> io.parquet {{ path: "s3://{bucket}/folder/a b.parquet" }}
    > ours

  <store=sea> io.parquet {{ path: "s3://{bucket}/folder/a b.parquet" }}
    > theirs

  ours
    | (join theirs (==id) | sort id | select {{name, city}})
    > both
}}
"""
        ran = run(program(tmp_path, object_store, body), ["W.both"])
        assert ran.rows("W.both") == [{"name": "Grace", "city": "Bonn"}, {"name": "ü☃", "city": "Köln"}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('rows | <store=lake> io.csv { path: "s3://BUCKET/a.csv", mode: "append" }', "cannot be appended to"),
        (
            'rows | <store=lake> io.csv { path: "s3://BUCKET/a", partition_by: ["id"] }',
            "cannot be partitioned",
        ),
        ('rows | <store=lake> io.csv { path: "s3://BUCKET/a/" }', "names no object"),
        ('rows | <store=lake> io.csv { path: "s3://no-such-bucket/a.csv" }', "no bucket `no-such-bucket`"),
        ('rows | <store=lake> io.csv { path: "a.csv" }', 'the path starts with "s3://"'),
        ('rows | <store=lake> io.csv { path: "gs://b/a.csv" }', 'the path starts with "s3://"'),
        ('rows | io.csv { path: "gs://b/a.csv" }', "writing to gs:// is unsupported"),
        ('rows | io.csv { path: "ftp://b/a.csv" }', "`ftp://` is unsupported"),
        (
            'rows | <store=lake> io.parquet { path: "s3://BUCKET/folder/a b.parquet", mode: "error" }',
            "is there already",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_written(object_store: ObjectStore, tmp_path: Path, body: str, message: str) -> None:
    bucket, _ = stored(object_store)
    text = "workflow W {\n  [{ id: 1 }]\n    > rows\n\n  " + body.replace("BUCKET", bucket) + "\n}\n"
    ran = run(program(tmp_path, object_store, text))
    assert ran.result.error is not None
    assert message in str(ran.result.error)


def found(folder: Path, store: ObjectStore, body: str, secret: str = LITERAL) -> list[Diagnostic]:
    text = "workflow W {\n  " + body + "\n    | io.print\n}\n"
    beside = ("HD0310", "HD0806")  # that a resource is not used, that a secret is written in the program
    return [d for d in check(program(folder, store, text, secret)) if d.code not in beside]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ('<store=lake> io.parquet { path: "a.parquet" }', "HD0408", 'so the path starts with "s3://"'),
        (
            '<store=lake> io.parquet { path: "s3://no-such-bucket/" }',
            "HD0408",
            "the object store did not answer",
        ),
        ('io.parquet { path: "s3://b/", store: {} }', "HD0701", "has no setting `store`"),
        ('<lake=lake> io.parquet { path: "s3://b/" }', "HD0801", "has no slot `lake`"),
        ('<store=sea> io.parquet { path: "s3://b/" }', "HD0303", "there is no resource `sea`"),
    ],
)
def test_what_checking_finds(
    object_store: ObjectStore, tmp_path: Path, body: str, code: str, message: str
) -> None:
    assert [(d.code, message in d.message) for d in found(tmp_path, object_store, body)] == [(code, True)]


def test_a_resource_of_another_module(object_store: ObjectStore, tmp_path: Path) -> None:
    body = '[{ id: 1 }]\n    | <store=k> io.csv { path: "s3://b/a.csv" }\n    > x\n\n  [{ id: 1 }]'
    path = program(tmp_path, object_store, "workflow W {\n  " + body + "\n    | io.print\n}\n")
    path.write_text('import "fhub/llm" llm\nresource k = llm.connection {}\n' + path.read_text())
    assert "`k` is a `fhub/llm.connection`, where a `std/io.s3` or `std/io.gs` or `std/io.az` is wanted" in [
        d.message for d in check(path)
    ]


def test_a_key_comes_from_one_place(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, _ = stored(object_store)
    body = f'<store=lake> io.parquet {{ path: "s3://{bucket}/folder/" }}'
    assert found(tmp_path, object_store, body) == []
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-another-account")
    (error,) = found(tmp_path, object_store, body)
    assert "the variable AWS_SESSION_TOKEN belongs to another" in error.message
    path = program(tmp_path, object_store, "workflow W {\n  " + body + "\n    | io.print\n}\n")
    path.write_text(path.read_text().replace('  access_key_id: "tests"\n', ""))
    assert "`lake` has a key without `access_key_id`" in "".join(d.message for d in check(path))


def test_what_a_resource_leaves_out_comes_from_the_environment(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in object_store.variables().items():
        monkeypatch.setenv(name, value)
    bucket = object_store.create_bucket()
    path = tmp_path / "lake.he"
    path.write_text(
        f'''
resource lake = io.s3 {{ region: "{REGION}" }}
workflow W {{
  [{{ id: 1 }}]
    > rows

  rows
    | <store=lake> io.csv {{ path: "s3://{bucket}/a.csv" }}

  rows
    | io.csv {{ path: "s3://{bucket}/b.csv" }}
}}
'''
    )
    assert run(path).result.status == "succeeded"
    for name in ("a.csv", "b.csv"):
        with object_store.files().open_input_file(f"{bucket}/{name}") as file:
            assert file.read() == b"id\n1\n"


def test_secrets_are_read_by_a_run_only(object_store: ObjectStore, tmp_path: Path) -> None:
    body = '<store=lake> io.parquet { path: "s3://b/" }'
    (warning,) = found(tmp_path, object_store, body, 'secret("LAKE_KEY")')
    assert (warning.code, warning.severity) == ("HD0406", "warning")


def test_a_secret_that_is_wrong_is_not_shown(object_store: ObjectStore, tmp_path: Path) -> None:
    body = 'workflow W {\n  <store=lake> io.csv { path: "s3://nobody/a.csv" }\n    | io.print\n}\n'
    path = program(tmp_path, object_store, body, '"a-secret-of-ours"')
    shown = "".join(f"{d.message} {d.help}" for d in check(path))
    assert "the object store did not answer" in shown
    assert "a-secret-of-ours" not in shown


def test_an_upload_that_is_refused_fails_the_run(object_store: ObjectStore, tmp_path: Path) -> None:
    bucket, table = stored(object_store)
    denied = Say(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    body = f"""
workflow W {{
  [{{ id: 1 }}]
    | <store=lake> io.parquet {{ path: "s3://{bucket}/folder/a b.parquet" }}
}}
"""
    with FaultProxy(object_store.url) as proxy:
        proxy.fail(denied, times=9, text="uploads")
        path = program(tmp_path, object_store, body)
        path.write_text(path.read_text().replace(object_store.url, proxy.url))
        ran = run(path)
    assert ran.result.status == "failed"
    assert f"`s3://{bucket}/folder/a b.parquet` cannot be written" in str(ran.result.error)
    assert "hush" not in told(ran)
    assert pq.read_table(f"{bucket}/folder/a b.parquet", filesystem=object_store.files()).equals(table)


SHOWN_BY = {
    "the store does not answer, or refuses the credentials": (
        test_what_checking_finds,
        test_a_secret_that_is_wrong_is_not_shown,
        test_an_upload_that_is_refused_fails_the_run,
    ),
    "there is no such object, or no such bucket": (test_what_checking_finds, test_what_cannot_be_written),
    "the path's `s3://`, `gs://` or `az://` is not that of the resource": (test_what_checking_finds,),
    "the run fails, or is cancelled": (test_a_run_that_fails_leaves_nothing,),
}


def test_the_table_of_failures_is_shown_by_tests() -> None:
    assert list(SHOWN_BY) == failures("object-stores.md")

"""A whole program: rows are looked up and read, and what it inserts is there when it has succeeded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.harness import run
from tests.fhub.clickhouse.steps import Steps

PROGRAM = """\
import "std/io" io
import "fhub/clickhouse" ch

resource db = ch.connection {
  host: "127.0.0.1"
  port: PORT
  database: "DATABASE"
  password: env("CH_PASSWORD")
}

step risk = <connection=db> ch.query {
  query: "SELECT user_id, score FROM risk WHERE user_id = @user_id"
}

workflow W {
  [
    { user_id: 7, amount: 1.5 }
    { user_id: 8, amount: 2.5 }
    { user_id: 7, amount: 3.5 }
    { user_id: -1, amount: 4.5 }
  ]
    | (
        from input
        join risk (==user_id)
        select { user_id, amount, score }
      )
    > joined

  joined
    | <connection=db> ch.insert { table: "TABLE" }
}
"""


@pytest.fixture
def program(ch: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    ch.execute("CREATE TABLE $risk (user_id UInt64, score Float64) ENGINE = MergeTree ORDER BY user_id")
    ch.execute("INSERT INTO $risk SELECT number, number / 2 FROM numbers(100000)")
    ch.execute(
        "CREATE TABLE $out (user_id Int64, amount Float64, score Float64) ENGINE = MergeTree ORDER BY user_id"
    )
    ch.execute("CREATE TABLE $few (user_id UInt8, amount UInt8) ENGINE = MergeTree ORDER BY user_id")
    monkeypatch.setenv("CH_PASSWORD", ch.server.password)
    path = tmp_path / "main.he"
    path.write_text(PROGRAM.replace("PORT", str(ch.server.port)).replace("DATABASE", ch.database))
    return path


def test_a_program_joins_and_inserts(ch: Steps, program: Path) -> None:
    program.write_text(program.read_text().replace("TABLE", "out"))
    mark = ch.server.mark()
    ran = run(program)
    assert ran.result.status == "succeeded"
    assert ch.execute("SELECT * FROM $out ORDER BY amount") == "7\t1.5\t3.5\n8\t2.5\t4\n7\t3.5\t3.5\n"
    asked = [q for q in ch.server.queries(mark) if "heddle_tuples" in q.sql]
    assert len(asked) == 1
    assert asked[0].read_rows < 20_000


def test_a_program_that_fails_inserts_nothing(ch: Steps, program: Path) -> None:
    program.write_text(program.read_text().replace("TABLE", "few"))
    mark = ch.server.mark()
    ran = run(program)
    assert ran.result.status == "failed"
    assert ch.execute("SELECT count() FROM $few") == "0\n"
    assert not [q for q in ch.server.queries(mark) if q.sql.startswith("INSERT")]
    assert ch.server.password not in ran.out + ran.err

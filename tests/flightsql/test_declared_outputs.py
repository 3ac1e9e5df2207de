"""What a program declares of its outputs, at a server that has settings of its own."""

from __future__ import annotations

from pathlib import Path

from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.asking import query
from tests.flightsql.clients.raw import Raw
from tests.services.heddle_serve import HeddleServe

PROGRAM = """\
workflow Declared {
  [{ id: 1 }]
    > kept { key: "id", materialize: true }

  [{ id: 1 }]
    > switched_off { materialize: "every 5m" }

  [{ id: 1, other: 2 }]
    > referring { references: [{ id: "Declared.kept.id" }, { other: "Absent.things.id" }] }
}
"""
SETTINGS = """\
[serve.materialize]
"Declared.switched_off" = false
"""


def write(folder: Path) -> None:
    (folder / "declared.he").write_text(PROGRAM)
    (folder / "heddle.toml").write_text(SETTINGS)


def test_what_is_declared_is_served() -> None:
    with HeddleServe(write) as server, Raw(server.uri) as raw:
        told = server.log.read_text()
        assert "declared.he:9: `Declared.referring` refers to `Absent.things`, which no program has" in told
        kinds = raw.ask(sql.CommandGetTables(db_schema_filter_pattern="Declared"))
        assert dict(zip(*kinds.select(["table_name", "table_type"]).to_pydict().values(), strict=True)) == {
            "kept": "TABLE",
            "referring": "VIEW",
            "switched_off": "VIEW",
        }
        found = raw.ask(sql.CommandGetExportedKeys(table="kept"))
        assert found["fk_table_name"].to_pylist() == ["referring"]
        assert raw.ask(query("SELECT id FROM Declared.kept")).to_pydict() == {"id": [1]}

"""Three models of dbt as tables of DuckDB: `dbt run` on a project made in the folder that it is given."""

import json
import sys
from pathlib import Path

import duckdb
from dbt.cli.main import dbtRunner

MODELS = {
    "people": "select * from (values ('ada', 1815), ('grace', 1906), ('barbara', 1939)) as p(name, born)",
    "recent": "select * from {{ ref('people') }} where born > 1900",
    "names": "select name from {{ ref('recent') }}",
}

folder = Path(sys.argv[1])
database = folder / "hello.duckdb"
(folder / "models").mkdir()
for name, sql in MODELS.items():
    (folder / "models" / f"{name}.sql").write_text("{{ config(materialized='table') }}\n" + sql)
# JSON is YAML too.
(folder / "dbt_project.yml").write_text(json.dumps({"name": "hello", "version": "1.0", "profile": "hello"}))
outputs = {"here": {"type": "duckdb", "path": str(database)}}
(folder / "profiles.yml").write_text(json.dumps({"hello": {"target": "here", "outputs": outputs}}))
options = ["--quiet", "--no-send-anonymous-usage-stats"]
done = dbtRunner().invoke([*options, "run", "--project-dir", sys.argv[1], "--profiles-dir", sys.argv[1]])
if not done.success:
    raise SystemExit(f"dbt run failed: {done.exception}")
with duckdb.connect(str(database)) as connection:
    print(*(name for (name,) in connection.sql("from names order by name desc").fetchall()), flush=True)

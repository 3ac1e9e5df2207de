"""Import paths and inferred rows, over real folders."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.catalog import ProjectCatalog, connectors
from heddle.config import load_project
from heddle.core.signature import ModuleSignature
from heddle.core.types import Column, RowType
from heddle.frontend.catalog import CatalogProblem
from heddle.frontend.typed import ConfigData, EnvRef, ParamRef
from heddle.lockfile import lock_key
from heddle.sdk.loader import loaded

STEP = "from heddle.core import Table\ndef clean(input: Table) -> Table:\n    return input\n"
PLUGIN = (
    "from heddle.core import Table\nfrom heddle.sdk.plugin import Plugin\nplugin = Plugin(namespace={0!r})\n"
    "@plugin.step(name='clean')\ndef clean(input: Table) -> Table:\n    return input\n"
)


def catalog(folder: Path, program: str = "main.he", **params: str) -> ProjectCatalog:
    path = folder / program
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    project, diagnostics = load_project(path)
    assert not diagnostics
    return ProjectCatalog(project.select(None, params), path)


def found(catalog: ProjectCatalog, path: str) -> ModuleSignature:
    module = catalog.module(path)
    assert isinstance(module, ModuleSignature), module
    return module


def problem(catalog: ProjectCatalog, path: str) -> CatalogProblem:
    result = catalog.module(path)
    assert isinstance(result, CatalogProblem), result
    return result


def test_built_in_modules(tmp_path: Path) -> None:
    known = catalog(tmp_path)
    assert set(found(known, "std/io").readers) == {"csv", "json", "parquet", "arrow"}
    assert set(found(known, "std/col").steps) == {"cast", "rename"}
    for name in connectors():
        module = found(known, f"fhub/{name}")
        assert module.steps
    assert {"clickhouse", "http", "kafka", "llm", "postgresql"} <= set(connectors())


def test_modules_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "heddle.toml").write_text('[plugins]\n"team/risk" = "plugins/risk.py"\n')
    for place in (
        "programs/near.py",
        "local/common.py",
        "programs/sub/deep.py",
        "programs/package/__init__.py",
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(STEP)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "risk.py").write_text(PLUGIN.format("team/risk"))
    known = catalog(tmp_path, "programs/main.he")
    for path in ("./near", "./near.py", "./sub/deep", "./package", "local/common", "team/risk"):
        module = found(known, path)
        assert module.path == path
        assert loaded(module).steps["clean"].call is not None
    assert found(known, "team/risk").namespace == "team/risk"


def test_installed_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_risk.py").write_text(PLUGIN.format("acme/risk"))
    info = tmp_path / "acme_risk-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-risk\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[heddle.plugins]\nacme/risk = acme_risk:plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = found(catalog(tmp_path / "project"), "acme/risk")
    assert list(module.steps) == ["clean"]
    assert loaded(module).steps["clean"].call is not None


def test_sibling_modules_of_the_project_root(tmp_path: Path) -> None:
    (tmp_path / "heddle.toml").write_text("")
    (tmp_path / "shared.py").write_text("V = 1\n")
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "a.py").write_text("from shared import V\n" + STEP)
    assert found(catalog(tmp_path, "programs/main.he"), "./a").steps


@pytest.mark.parametrize(
    ("path", "help_text"),
    [
        ("std/oi", 'did you mean "std/io"? it was looked for in the standard library'),
        ("fhub/kafk", 'did you mean "fhub/kafka"? it was looked for in the connectors that come with Heddle'),
        ("./scor", 'did you mean "./score"? it was looked for in scor.py'),
        ("local/x", "it was looked for in local/x.py"),
        (
            "score",
            'a file beside the program is imported as "./score"; or list it in heddle.toml: [plugins] '
            '"score" = "score.py"',
        ),
        (
            "team/rsk",
            'did you mean "team/risk"? it was looked for in [plugins] of heddle.toml and the installed '
            "plugins",
        ),
        ("team/risk", "correct its path under [plugins]; paths there start at heddle.toml's folder"),
    ],
)
def test_missing_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, help_text: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "heddle.toml").write_text('[plugins]\n"team/risk" = "nowhere.py"\n')
    (tmp_path / "score.py").write_text(STEP)
    result = problem(catalog(tmp_path), path)
    assert (result.code, result.severity, result.help) == ("HD0401", "error", help_text)


@pytest.mark.parametrize(
    ("text", "code", "message", "help_text"),
    [
        (
            "def f(:\n",
            "HD0402",
            'the module "./a" cannot be loaded: a.py is not valid Python: invalid syntax',
            "see a.py:1",
        ),
        (
            "\n1 / 0\n",
            "HD0402",
            "a.py fails while it is loaded: ZeroDivisionError: division by zero",
            "see a.py:2",
        ),
        (
            PLUGIN.format("x").replace("'clean'", "'c', rows='no'"),
            "HD0403",
            'rows="no" is not one of',
            "see a.py:4",
        ),
        (
            "X = 1\n",
            "HD0405",
            "a.py offers no step: it has no public function",
            "see a.py; a step is a function",
        ),
    ],
)
def test_modules_that_do_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: str, message: str, help_text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text(text)
    result = problem(catalog(tmp_path), "./a")
    assert result.code == code
    assert message in result.message
    assert (result.help or "").startswith(help_text)


def test_namespaces_and_other_languages(tmp_path: Path) -> None:
    (tmp_path / "heddle.toml").write_text('[plugins]\n"rsk" = "risk.py"\n"go" = "gone"\n')
    (tmp_path / "risk.py").write_text(PLUGIN.format("risk"))
    for folder in ("gone", "rusty"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "heddle-plugin.toml").write_text("")
    known = catalog(tmp_path)
    assert problem(known, "rsk").code == "HD0404"
    assert [problem(known, path).code for path in ("go", "./rusty")] == ["HD0412", "HD0412"]


def test_rows_of_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([1], pa.int32()), "t": ["x"]}), tmp_path / "a.parquet")
    (tmp_path / "bad.parquet").write_text("no")
    known = catalog(tmp_path, sales="a.parquet")
    io = found(known, "std/io")
    reader = io.readers["parquet"]
    row, nothing = known.infer_row(io, reader, {"path": "a.parquet"}, None)
    assert (str(row), nothing) == ("{id: int32?, t: string?}", None)
    assert known.infer_row(io, reader, {"path": ParamRef("sales")}, None)[0] == row
    for path, code, severity in (
        ("nope.parquet", "HD0407", "warning"),
        ("bad.parquet", "HD0408", "error"),
        (ParamRef("unbound"), "HD0406", "warning"),
        (EnvRef("FILE"), "HD0406", "warning"),
    ):
        row, why = known.infer_row(io, reader, {"path": path}, None)
        assert row.open
        assert why is not None
        assert (why.code, why.severity) == (code, severity)


def test_rows_of_column_steps(tmp_path: Path) -> None:
    known = catalog(tmp_path)
    col = found(known, "std/col")
    row = RowType((Column("a", pa.string()),))
    assert str(known.infer_row(col, col.steps["cast"], {"a": "int"}, row)[0]) == "{a: int?}"
    why = known.infer_row(col, col.steps["cast"], {"b": "int"}, row)[1]
    assert why is not None
    assert (why.code, why.severity) == ("HD0410", "error")


def test_rows_of_statements_come_from_the_lock(tmp_path: Path) -> None:
    known = catalog(tmp_path)
    pg = found(known, "fhub/postgresql")
    query = pg.steps["query"]
    config = {"query": "SELECT id FROM users WHERE id = @id"}
    row, why = known.infer_row(pg, query, config, None)
    assert row.open
    assert why is not None
    assert (why.code, why.severity) == ("HD0409", "warning")
    written = {"steps": {lock_key(pg, query, config): {"row": {"id": "int", "name": "string?"}}}}
    (tmp_path / "heddle.lock").write_text(json.dumps(written))
    assert str(catalog(tmp_path).infer_row(pg, query, config, None)[0]) == "{id: int, name: string?}"
    assert catalog(tmp_path).infer_row(pg, query, {"query": "SELECT 1"}, None)[0].open
    (tmp_path / "heddle.lock").write_text("{")
    damaged = catalog(tmp_path).infer_row(pg, query, config, None)[1]
    assert damaged is not None
    assert (damaged.code, damaged.severity) == ("HD0411", "warning")


def test_rows_that_the_program_writes(tmp_path: Path) -> None:
    known = catalog(tmp_path)
    kafka, llm = found(known, "fhub/kafka"), found(known, "fhub/llm")
    schema: dict[str, ConfigData] = {"topic": "t", "schema": {"id": "int", "note": "string?"}}
    assert str(known.infer_row(kafka, kafka.steps["consume"], schema, None)[0]) == "{id: int, note: string?}"
    row = RowType((Column("text", pa.string()),))
    extracted = known.infer_row(llm, llm.steps["extract"], {"schema": {"city": "string"}}, row)[0]
    assert str(extracted) == "{text: string?, city: string}"


def test_modules_are_loaded_once(tmp_path: Path) -> None:
    counter = tmp_path / "runs"
    (tmp_path / "a.py").write_text(f"open({str(counter)!r}, 'a').write('x')\n" + STEP)
    known = catalog(tmp_path)
    assert known.module("./a") is known.module("./a")
    assert counter.read_text() == "x"

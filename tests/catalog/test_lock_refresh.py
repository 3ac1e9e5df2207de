"""`heddle check --refresh`, and runs that ask what `heddle.lock` does not say, over a plugin with a service.

The service is a folder: `NAME.json` holds a table's columns and rows, `down` makes it refuse to be opened.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.cli.main import call
from heddle.core.types import Column, RowType
from heddle.engine import Engine
from heddle.lockfile import LockEntry, LockFile, update_lock

SERVICE = """
import json
from pathlib import Path

import pyarrow as pa

from heddle.core import Table
from heddle.sdk import Plugin, ResourceConfig, Secret, Statement, StepConfig, StepContext

plugin = Plugin(namespace="store")


class StoreConfig(ResourceConfig):
    folder: str
    password: Secret[str] = ""


class Store:
    def __init__(self, config: StoreConfig) -> None:
        self.folder = Path(config.folder)
        if (self.folder / "down").exists():
            raise ConnectionError(f"nobody listens for {config.password}")
        with (self.folder / "log").open("a") as log:
            log.write("opened\\n")

    def health(self) -> str | None:
        return "it is full" if (self.folder / "full").exists() else None

    def table(self, name: str) -> pa.Table:
        path = self.folder / f"{name}.json"
        if not path.exists():
            raise LookupError(f"there is no table {name}")
        said = json.loads(path.read_text())
        types = {"int": pa.int64(), "string": pa.string(), "short": pa.int16()}
        row = said["row"].items()
        schema = pa.schema([pa.field(n, types[t.rstrip("?")], t.endswith("?")) for n, t in row])
        return pa.Table.from_pylist(said["rows"], schema=schema)


plugin.resource(name="folder")(Store)


class QueryConfig(StepConfig):
    query: Statement
    schema: dict[str, str] | None = None


def columns(config: QueryConfig) -> pa.Schema:
    with (config.resource.folder / "log").open("a") as log:
        log.write(f"described {config.query}\\n")
    return config.resource.table(config.query.split()[-1]).schema


@plugin.step(name="query", resource={"store": "folder"}, rows="flat", effect=False, infer=columns)
def query(config: QueryConfig, context: StepContext) -> Table:
    return Table.from_arrow(config.resource.table(config.query.split()[-1]))
"""


@dataclass
class Result:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


class Shop:
    """A project over the service; `program.he` reads the table `orders`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service = folder / "service"
        self.service.mkdir()
        (folder / "heddle.toml").write_text('[plugins]\n"store" = "store.py"\n[profile.test]\n')
        (folder / "store.py").write_text(SERVICE)
        self.table("orders", {"id": "int", "country": "string?"}, [{"id": 1, "country": "NL"}])
        self.program(reading("orders"))

    def table(self, name: str, row: dict[str, str], rows: list[dict[str, object]]) -> None:
        (self.service / f"{name}.json").write_text(json.dumps({"row": row, "rows": rows}))

    def program(self, text: str, name: str = "program.he", password: str = 'secret("STORE_SECRET")') -> None:
        head = (
            f'import "std/io" io\nimport "store" store\n\nresource disk = store.folder '
            f'{{ folder: "{self.service}", password: {password} }}\n\n'
        )
        (self.folder / name).write_text(head + text)

    def heddle(self, *arguments: str, program: str = "program.he") -> Result:
        verb, *options = arguments
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = call([verb, *options, str(self.folder / program)])
        return Result(code, out.getvalue(), err.getvalue())

    @property
    def lock(self) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = json.loads((self.folder / "heddle.lock").read_text())["steps"]
        return found

    @property
    def rows(self) -> dict[str, object]:
        return {str(entry["asked"]): entry["row"] for entry in self.lock.values()}

    @property
    def described(self) -> list[str]:
        log = self.service / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line.startswith("described")]


def reading(*tables: str, stages: str = "") -> str:
    lines = [
        f'  <store=disk> store.query {{ query: "SELECT * FROM {name}" }}{stages}\n    | io.print\n'
        for name in tables
    ]
    return "workflow W {\n" + "".join(lines) + "}\n"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("STORE_SECRET", "s3cret-word")
    return Shop(tmp_path)


def test_refresh_writes_what_the_service_says(shop: Shop) -> None:
    before = shop.heddle("check")
    assert "HD0409" in before.stdout
    assert not shop.described
    result = shop.heddle("check", "--refresh")
    assert result.exit_code == 0, result.output
    assert "HD0409" not in result.stdout
    [entry] = shop.lock.values()
    assert entry == {
        "asked": {"query": "SELECT * FROM orders"},
        "programs": ["program.he"],
        "row": {"id": "int", "country": "string?"},
    }
    assert "heddle.lock: added store.query at" in result.stderr
    assert "id: int; country: string?" in result.stderr
    after = shop.heddle("check")
    assert (after.exit_code, after.stdout) == (0, "")
    assert len(shop.described) == 1


def test_refresh_finds_what_the_columns_show(shop: Shop) -> None:
    shop.program(reading("orders", stages="\n    | (from input | filter total > 3)"))
    result = shop.heddle("check", "--refresh")
    assert result.exit_code == 2
    assert "total" in result.stdout
    assert shop.lock


def test_refresh_tells_what_has_changed(shop: Shop) -> None:
    shop.table("users", {"id": "int"}, [])
    shop.program(reading("orders", "users"))
    shop.heddle("check", "--refresh")
    text = (shop.folder / "heddle.lock").read_text()
    state = (shop.folder / "heddle.lock").stat()
    again = shop.heddle("check", "--refresh")
    assert again.stderr.count("heddle.lock: kept store.query") == 2
    assert (shop.folder / "heddle.lock").stat().st_mtime_ns == state.st_mtime_ns
    shop.table("orders", {"id": "string", "total": "short?"}, [])
    changed = shop.heddle("check", "--refresh")
    assert "`country` is gone; `id` is string, was int; `total` is new: int16?" in changed.stderr
    assert (shop.folder / "heddle.lock").read_text() != text
    entry = LockFile.read(shop.folder).entries
    assert [e.row.column("total") for e in entry.values() if e.row.column("total")] == [
        Column("total", pa.int16())
    ]


def test_what_a_program_asks_no_more_is_dropped(shop: Shop) -> None:
    """An entry stays as long as another program, or another profile, asks it."""
    shop.table("users", {"id": "int"}, [])
    shop.program(reading("orders", "users"))
    shop.program(reading("users"), "other.he")
    shop.heddle("check", "--refresh")
    shop.heddle("check", "--refresh", "--profile", "test")
    shop.heddle("check", "--refresh", program="other.he")
    [users] = [e for e in shop.lock.values() if e["asked"] == {"query": "SELECT * FROM users"}]
    assert users["programs"] == ["other.he", "program.he", "program.he --profile test"]
    shop.program(reading("orders"))
    shop.heddle("check", "--refresh")
    assert len(shop.lock) == 2
    shop.heddle("check", "--refresh", "--profile", "test")
    assert len(shop.lock) == 2
    (shop.folder / "other.he").unlink()
    dropped = shop.heddle("check", "--refresh")
    assert "heddle.lock: dropped store.query" in dropped.stderr
    assert list(shop.rows.values()) == [{"id": "int", "country": "string?"}]


def test_a_service_that_is_down_keeps_its_entries(shop: Shop) -> None:
    shop.heddle("check", "--refresh")
    kept = shop.lock
    (shop.service / "down").touch()
    result = shop.heddle("check", "--refresh")
    assert result.exit_code == 2
    assert "HD0414" in result.stdout
    assert "nobody listens" in result.stdout
    assert "s3cret-word" not in result.output
    assert shop.lock == kept


def test_what_can_be_asked_is_kept_beside_what_cannot(shop: Shop) -> None:
    shop.program(reading("orders", "nothing"))
    result = shop.heddle("check", "--refresh")
    assert result.exit_code == 2
    assert "there is no table nothing" in result.stdout
    assert shop.rows == {"{'query': 'SELECT * FROM orders'}": {"id": "int", "country": "string?"}}


def test_a_missing_value_is_a_finding_at_its_place(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.program(reading("orders"), password='env("STORE_PASSWORD")')
    result = shop.heddle("check", "--refresh", "--one-line")
    assert result.exit_code == 2
    assert "program.he:4:" in result.stdout
    assert "`STORE_PASSWORD` is not set" in result.stdout
    monkeypatch.setenv("STORE_PASSWORD", "x")
    given = shop.heddle("check", "--refresh")
    assert given.exit_code == 0, given.output


def test_a_run_asks_and_writes_nothing(shop: Shop) -> None:
    shop.program(reading("orders", stages="\n    | (from input | filter total > 3)"))
    failed = shop.heddle("run")
    assert failed.exit_code == 2
    assert "total" in failed.stderr
    shop.program(reading("orders"))
    ran = shop.heddle("run")
    assert ran.exit_code == 0, ran.output
    assert "HD0409" not in ran.stderr
    assert "NL" in ran.stdout
    assert not (shop.folder / "heddle.lock").exists()
    assert len(shop.described) == 2
    shop.heddle("explain")
    assert len(shop.described) == 3


def test_what_was_asked_for_one_run_is_asked_again_for_the_next(shop: Shop) -> None:
    path = shop.folder / "program.he"
    shop.program(reading("orders", stages="\n    | (from input | select {country})"))
    with Engine.open(path) as engine:
        assert engine.check().ok
        assert engine.check(ask=True).ok
        shop.table("orders", {"id": "int"}, [])
        assert not engine.check(ask=True).ok


def test_a_run_trusts_the_lock(shop: Shop) -> None:
    shop.heddle("check", "--refresh")
    ran = shop.heddle("run")
    assert ran.exit_code == 0, ran.output
    explained = shop.heddle("explain")
    assert "gives {id: int, country: string?}, as heddle.lock says" in explained.stdout
    assert len(shop.described) == 1


@pytest.mark.parametrize(
    ("row", "rows"),
    [
        ({"id": "int"}, [{"id": 1}]),
        ({"id": "string", "country": "string?"}, [{"id": "1", "country": None}]),
        ({"id": "int?", "country": "string?"}, [{"id": None, "country": "NL"}]),
    ],
)
def test_rows_that_the_lock_does_not_describe_fail_the_run(
    shop: Shop, row: dict[str, str], rows: list[dict[str, object]]
) -> None:
    shop.heddle("check", "--refresh")
    shop.table("orders", row, rows)
    ran = shop.heddle("run")
    assert ran.exit_code == 1
    assert "heddle.lock says otherwise of its columns, so it is stale" in ran.stderr
    assert f"heddle check --refresh {shop.folder}/program.he" in ran.stderr.replace("\n", " ")


def test_a_run_without_its_service_is_warned_of_it(shop: Shop) -> None:
    (shop.service / "down").touch()
    ran = shop.heddle("run")
    assert ran.exit_code == 1
    assert "warning[HD0414]" in ran.stderr
    assert "s3cret-word" not in ran.output


def test_a_damaged_lock_is_not_written_over(shop: Shop) -> None:
    (shop.folder / "heddle.lock").write_text("{")
    result = shop.heddle("check", "--refresh")
    assert result.exit_code == 2
    assert "heddle.lock is damaged" in result.stderr
    assert (shop.folder / "heddle.lock").read_text() == "{"


def test_a_written_schema_wins(shop: Shop) -> None:
    shop.program(
        'workflow W {\n  <store=disk> store.query { query: "SELECT * FROM orders", schema: {id: "int"} }\n'
        "    | io.print\n}\n"
    )
    result = shop.heddle("check", "--refresh")
    assert (result.exit_code, shop.described) == (0, [])
    assert not (shop.folder / "heddle.lock").exists()


def test_resources_are_asked_whether_they_are_there(shop: Shop) -> None:
    there = shop.heddle("check", "--services")
    assert there.exit_code == 0
    assert "the resource `disk` is there" in there.stderr
    (shop.service / "full").touch()
    full = shop.heddle("check", "--services")
    assert full.exit_code == 2
    assert "the resource `disk` cannot do its work: it is full" in full.stdout
    (shop.service / "down").touch()
    down = shop.heddle("check", "--services")
    assert down.exit_code == 2
    assert "HD0415" in down.stdout
    assert "s3cret-word" not in down.output


def test_services_are_asked_once(shop: Shop) -> None:
    result = shop.heddle("check", "--refresh", "--watch")
    assert result.exit_code == 2
    assert "exclude each other" in result.output


def test_every_type_comes_back(tmp_path: Path) -> None:
    types = [
        pa.int8(), pa.uint64(), pa.float32(), pa.int64(), pa.float64(), pa.string(), pa.large_string(),
        pa.binary(), pa.date32(), pa.time64("us"), pa.timestamp("us", "UTC"), pa.timestamp("ns"),
        pa.timestamp("us", "Europe/Amsterdam"), pa.duration("us"), pa.decimal128(38, 9), pa.decimal256(50, 2),
        pa.list_(pa.int64()), pa.list_(pa.field("item", pa.int64(), nullable=False)),
        pa.struct([pa.field("a", pa.int64()), pa.field("b", pa.float32(), nullable=False)]),
        pa.map_(pa.string(), pa.int64()), pa.dictionary(pa.int32(), pa.string()),
    ]  # fmt: skip
    columns = [Column(f"c{i}", type_, i % 2 == 0) for i, type_ in enumerate(types)]
    row = RowType((*columns, Column("unknown", None)), open=True)
    entries = {"a.b#1": LockEntry(row, {"table": "t"}, frozenset({"p.he"}))}
    update_lock(tmp_path, lambda old: entries)
    assert dict(LockFile.read(tmp_path).entries) == entries

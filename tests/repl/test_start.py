"""A statement of the command line loads neither the editor nor the driver of endpoints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from heddle.cli import sql
from heddle.repl import formats
from tests.repl.conftest import HEDDLE, environ

SCRIPT = """\
import json, sys
from heddle.cli.main import call
code = call(["sql", *sys.argv[1:]])
print(json.dumps({"code": code, "modules": sorted(sys.modules)}))
"""
FOR_OTHERS = {
    *("prompt_toolkit", "rich", "pygments", "adbc_driver_manager", "adbc_driver_flightsql"),
    *("heddle.repl.editor", "heddle.repl.remote", "heddle.repl.completion", "heddle.repl.commands"),
    *("heddle.std.encoders", "heddle.std.file_sinks", "heddle.database.prql"),
}


def test_a_statement_loads_only_what_it_uses(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "shop.he", "-c", "select 1 as one"],
        cwd=folder,
        env=environ(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    *shown, found = done.stdout.splitlines()
    answer = json.loads(found)
    assert (shown, answer["code"]) == (["one", "---", "  1"], 0)
    assert set(answer["modules"]) & FOR_OTHERS == set()


def test_the_command_knows_all_formats() -> None:
    assert sql.FORMATS == formats.FORMATS


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("grpc://127.0.0.1:1", "--param", "a=1"), "--profile and --param are for programs"),
        (("shop.he", "--user", "me"), "--user and the options of TLS are for endpoints"),
        (("grpc://", "-c", "select 1"), "it is grpc://HOST:PORT, or grpc+tls://HOST:PORT"),
        (("shop.he", "--rows", "0"), "see `heddle sql --help`"),
        (("shop.he", "-f", "nowhere.sql"), "nowhere.sql cannot be read"),
    ],
)
def test_wrong_use(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    done = subprocess.run(
        [HEDDLE, "sql", *arguments],
        cwd=folder,
        env=environ(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr

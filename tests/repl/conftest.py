"""What the tests of `heddle sql` share: a program to ask, the command with what it prints, terminals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.flightsql.clients import shop
from tests.flightsql.conftest import serving
from tests.repl.terminal import Terminal
from tests.services.heddle_serve import HeddleServe

__all__ = ["serving"]

HEDDLE = str(Path(sys.executable).with_name("heddle"))
TIMEOUT_S = 120


def environ(folder: Path, **more: str) -> dict[str, str]:
    """Nothing of the person's who runs the tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "TERM": "xterm-256color", **more}


class Sql(Protocol):
    def __call__(self, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the program `shop.he`."""
    shop.write(tmp_path)
    return tmp_path


@pytest.fixture
def sql(folder: Path) -> Sql:
    """`heddle sql` with these arguments; names of variables of the environment follow."""

    def run(*arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HEDDLE, "sql", *arguments],
            cwd=folder,
            env=environ(folder, NO_COLOR="1", **more),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run


@pytest.fixture
def terminal(folder: Path) -> Iterator[Callable[..., Terminal]]:
    """Opens `heddle sql` in a terminal, with arguments and variables of the environment."""
    with ExitStack() as opened:

        def start(*arguments: str, **more: str) -> Terminal:
            command = [HEDDLE, "sql", *(arguments or ("shop.he",))]
            return opened.enter_context(Terminal(command, folder, environ(folder, **more)))

        yield start


@pytest.fixture
def uri(serving: HeddleServe) -> str:
    return serving.uri

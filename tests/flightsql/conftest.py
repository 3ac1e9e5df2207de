"""One `heddle serve` for all tests of a process, and what they ask it with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psutil
import pytest

from tests.flightsql.clients import every_type, keyed, shop
from tests.flightsql.clients.raw import Raw
from tests.services.heddle_serve import HeddleServe

_numbers = count(1)


def programs(folder: Path) -> None:
    shop.write(folder)
    every_type.write(folder)
    keyed.write(folder)


@pytest.fixture(scope="session")
def serving() -> Iterator[HeddleServe]:
    with HeddleServe(programs, ("--native", "0")) as server:
        yield server


@pytest.fixture
def transport() -> str:
    """By which port tests ask."""
    return "grpc"


@pytest.fixture
def uri(serving: HeddleServe, transport: str) -> str:
    return serving.uri if transport == "grpc" else serving.native_uri


@pytest.fixture
def server(serving: HeddleServe) -> psutil.Process:
    """The server's process."""
    return psutil.Process(serving.process.pid)


@pytest.fixture
def raw(uri: str) -> Iterator[Raw]:
    with Raw(uri) as raw:
        yield raw


@pytest.fixture
def table() -> str:
    """The name of a table of one test's own."""
    return f"t{next(_numbers)}"

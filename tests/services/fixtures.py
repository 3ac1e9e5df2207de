"""The services as fixtures. Each pytest process starts those that its tests ask for, once, and stops them at
the end; with pytest-xdist each worker has its own. A test that fails shows the ends of their logs."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.services.service import Service

if TYPE_CHECKING:
    from tests.services.clickhouse import ClickHouse
    from tests.services.flight_sql import FlightSql
    from tests.services.kafka import Kafka
    from tests.services.llm import Llm
    from tests.services.object_store import ObjectStore
    from tests.services.postgresql import Postgresql

S = TypeVar("S", bound=Service)
_failed = pytest.StashKey[bool]()


def _run(service: S, request: pytest.FixtureRequest) -> Iterator[S]:
    service.start()
    yield service
    service.stop(keep_log=request.session.stash.get(_failed, False))


@pytest.fixture(scope="session")
def postgresql(request: pytest.FixtureRequest) -> Iterator[Postgresql]:
    from tests.services.postgresql import Postgresql

    yield from _run(Postgresql(), request)


@pytest.fixture(scope="session")
def secure_postgresql(request: pytest.FixtureRequest) -> Iterator[Postgresql]:
    """With a password, and by TLS only."""
    from tests.services.postgresql import Postgresql

    yield from _run(Postgresql(password=True, tls=True), request)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    from tests.services.kafka import Kafka

    yield from _run(Kafka(), request)


@pytest.fixture(scope="session")
def clickhouse(request: pytest.FixtureRequest) -> Iterator[ClickHouse]:
    """The user `default` has a password."""
    from tests.services.clickhouse import ClickHouse

    yield from _run(ClickHouse(password=True), request)


@pytest.fixture(scope="session")
def flight_sql(request: pytest.FixtureRequest) -> Iterator[FlightSql]:
    from tests.services.flight_sql import FlightSql

    yield from _run(FlightSql(), request)


@pytest.fixture(scope="session")
def llm(request: pytest.FixtureRequest) -> Iterator[Llm]:
    from tests.services.llm import Llm

    yield from _run(Llm(), request)


@pytest.fixture(scope="session")
def object_store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    from tests.services.object_store import ObjectStore

    yield from _run(ObjectStore(), request)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.session.stash[_failed] = True
        for service in Service.running:
            if not any(fixture.endswith(service.name.replace("-", "_")) for fixture in item.fixturenames):
                continue  # it runs for the tests of others
            report.sections.append((f"{service.name}: the end of {service.log}", service.log_tail()))
    return report

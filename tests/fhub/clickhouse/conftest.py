from __future__ import annotations

import pytest

from tests.fhub.clickhouse.steps import Steps
from tests.services.clickhouse import ClickHouse


@pytest.fixture
def ch(clickhouse: ClickHouse) -> Steps:
    return Steps(clickhouse, clickhouse.create_database())

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fhub.postgresql.database import Database, opened
from tests.services.postgresql import Postgresql


@pytest.fixture(scope="module")
def database(postgresql: Postgresql) -> Iterator[Database]:
    """One for the tests of a file; each makes tables of its own, or of its own content."""
    with opened(postgresql, postgresql.create_database()) as found:
        yield found

"""Every row of the page's table of failures is shown by a test."""

from __future__ import annotations

from tests.fhub.database import test_database as tests
from tests.fhub.failure_table import failures

SHOWN_BY = {
    "an ADBC driver tells of a failure of the network or a time-out": (
        tests.test_a_server_that_is_not_there_and_a_secret,
    ),
    "any other failure of an ADBC driver: a mistake in the statement, a constraint": (tests.test_errors,),
    "any failure of a DB-API module, which does not tell what may pass": (tests.test_errors,),
    "no such driver": (tests.test_a_driver_that_is_not_there,),
    "rows of a DB-API module without `schema`": (tests.test_a_module_without_types_needs_a_schema,),
}


def test_the_table_is_shown_by_tests() -> None:
    assert list(SHOWN_BY) == failures("database.md")

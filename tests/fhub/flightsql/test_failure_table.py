"""Every row of the page's table of failures is shown by a test."""

from __future__ import annotations

from tests.fhub.failure_table import failures
from tests.fhub.flightsql import test_flightsql as tests

SHOWN_BY = {
    "the server cannot be reached, or is lost": (tests.test_a_server_that_is_not_there,),
    "`timeout` has passed": (tests.test_a_call_that_takes_too_long,),
    "a mistake in the statement": (tests.test_an_error,),
    "the run is stopped": (tests.test_a_cancelled_call_ends,),
}


def test_the_table_is_shown_by_tests() -> None:
    assert list(SHOWN_BY) == failures("flightsql.md")

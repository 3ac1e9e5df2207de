"""Every row of the page's table of failures is shown by a test."""

from __future__ import annotations

from tests.fhub.failure_table import failures
from tests.fhub.sqlite import test_sqlite as tests

SHOWN_BY = {
    "no file, or no SQLite file": (tests.test_files,),
    "another process writes for longer than `timeout`": (tests.test_writers_of_one_run_share_a_transaction,),
    "a mistake in the statement, a constraint": (tests.test_an_error, tests.test_a_value_that_does_not_fit),
    "text that is no UTF-8": (tests.test_an_error,),
    "the run is stopped": (tests.test_a_cancelled_query_ends,),
}


def test_the_table_is_shown_by_tests() -> None:
    assert list(SHOWN_BY) == failures("sqlite.md")

"""Every row of the page's table of failures is shown by a test."""

from __future__ import annotations

from tests.fhub.duckdb import test_duckdb as tests
from tests.fhub.failure_table import failures

SHOWN_BY = {
    "no file, or no DuckDB file": (tests.test_files,),
    "another process has the file open": (tests.test_a_file_that_another_process_has_open,),
    "two transactions change the same rows": (tests.test_two_transactions_that_change_the_same_row,),
    "a mistake in the statement, a value that cannot be cast, a constraint": (
        tests.test_an_error,
        tests.test_a_value_that_does_not_fit,
    ),
    "the run is stopped": (tests.test_a_cancelled_query_ends,),
}


def test_the_table_is_shown_by_tests() -> None:
    assert list(SHOWN_BY) == failures("duckdb.md")

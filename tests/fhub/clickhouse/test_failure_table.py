"""Every row of the page's table of failures is shown by a test."""

from __future__ import annotations

from tests.fhub.clickhouse import test_faults as faults
from tests.fhub.clickhouse import test_read as reading
from tests.fhub.failure_table import failures

SHOWN_BY = {
    "the server cannot be reached": (faults.test_a_server_that_is_not_there, faults.test_an_unknown_host),
    "429 or 503 with `Retry-After` of up to 30 s": (faults.test_a_busy_server_says_when_to_come_again,),
    "502, 503, 504 without it": (faults.test_a_server_that_refuses,),
    "wrong user or password (code 516)": (faults.test_a_wrong_password_is_not_shown,),
    "TLS: certificate not trusted, no TLS": (faults.test_by_tls,),
    "a mistake in the statement": (reading.test_a_statement_that_is_refused,),
    "too slow or too busy: codes 159, 202, 203, 209, 210, 225, 236, 242, 252, 279, 285, 319, 373, 439, 999, "
    "and 241 for the server's total memory": (
        faults.test_a_server_that_refuses,
        faults.test_a_deadline_reaches_the_server,
    ),
    "the answer is cut, or the server ends": (
        faults.test_a_stream_that_was_cut,
        faults.test_a_stream_that_ends_early_without_a_fault_of_the_network,
        faults.test_a_server_that_is_killed_while_it_answers,
        faults.test_an_insert_that_was_cut_counts_once,
    ),
    "an error after the first rows": (reading.test_an_error_in_the_middle_is_an_error,),
    "the server is silent for `send_receive_timeout`": (faults.test_a_server_that_falls_silent,),
    "the columns changed since they were described": (reading.test_columns_that_changed_are_asked_for_again,),
}


def test_the_table_is_shown_by_tests() -> None:
    assert list(SHOWN_BY) == failures("clickhouse.md")

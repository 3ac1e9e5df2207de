"""Every row of the page's table of failures is shown by a test."""

from __future__ import annotations

from tests.fhub.failure_table import failures
from tests.fhub.http import test_faults as faults
from tests.fhub.http import test_request as requests

SHOWN_BY = {
    "status 429 or 503 with `Retry-After`": (
        faults.test_what_may_pass_is_sent_again,
        faults.test_what_writes_is_sent_again_when_it_was_not_done,
        faults.test_all_requests_wait_as_one_was_told,
        faults.test_a_wait_that_is_too_long_is_told,
    ),
    "status 408, 425, 429, 502, 503, 504, 529": (
        faults.test_what_may_pass_is_sent_again,
        faults.test_a_service_that_is_away_fails_the_call,
        faults.test_a_key_makes_writing_safe,
    ),
    "status 500": (faults.test_what_may_pass_is_sent_again, faults.test_what_writes_is_sent_once),
    "the connection breaks off, or no answer within `timeout`": (
        faults.test_what_may_pass_is_sent_again,
        faults.test_what_writes_is_sent_once,
        faults.test_silence_is_no_answer,
    ),
    "the service cannot be reached": (faults.test_nobody_listens,),
    "status 401; TLS": (requests.test_secrets_are_never_shown, faults.test_who_the_service_is),
    "any other status from 300 on": (requests.test_a_status_rejects_its_row,),
    "an answer that does not fit `schema`": (
        requests.test_an_answer_of_another_form_rejects_its_row,
        requests.test_pages_that_cannot_be_read,
    ),
}


def test_the_table_is_shown_by_tests() -> None:
    assert list(SHOWN_BY) == failures("http.md")

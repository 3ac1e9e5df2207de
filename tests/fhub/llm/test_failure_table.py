"""Every row of the page's table of failures is shown by a test."""

from __future__ import annotations

from tests.fhub.failure_table import failures
from tests.fhub.llm import test_faults as faults
from tests.fhub.llm import test_steps as steps

SHOWN_BY = {
    "status 429 or 503 with `Retry-After`": (
        faults.test_a_limit_is_waited_for,
        faults.test_a_limit_beyond_the_deadline_is_told,
    ),
    "status 408, 425, 429, 5xx; a connection that breaks off; no answer within `timeout`": (
        faults.test_what_may_pass_is_asked_again,
        faults.test_a_server_that_is_away_fails_the_call,
        faults.test_silence_ends_with_the_deadline,
    ),
    "status 500, again and again, while other rows are answered": (
        faults.test_a_row_that_the_server_cannot_bear_is_rejected,
    ),
    "an answer that is no JSON, or not of OpenAI's form; a stream without an end": (
        faults.test_what_may_pass_is_asked_again,
        faults.test_answers_that_are_none_fail_the_call,
        faults.test_a_stream_that_breaks_off_is_asked_for_again,
    ),
    "status 400, 413 or 422 about the messages, such as a text that is too long": (
        faults.test_what_is_wrong_with_a_row_rejects_it,
        steps.test_a_prompt_that_is_too_long_is_rejected,
        steps.test_a_text_that_is_too_long_is_the_only_one_rejected,
    ),
    "status 401 or 403; an unknown model; no credit left; a refused setting; a redirect; TLS": (
        faults.test_what_no_row_can_get_past_ends_the_run,
    ),
    "an answer that does not fit `schema` or `labels`": (
        steps.test_a_model_may_repair_its_answer,
        steps.test_an_answer_that_does_not_fit_rejects_its_row,
        steps.test_another_label_rejects_its_row,
    ),
    "an answer that was cut off by `max_tokens`": (steps.test_an_answer_that_does_not_fit_rejects_its_row,),
    "the model refuses to answer": (steps.test_an_answer_that_does_not_fit_rejects_its_row,),
    "a null to `embed`": (steps.test_texts_become_vectors,),
}


def test_the_table_is_shown_by_tests() -> None:
    assert list(SHOWN_BY) == failures("llm.md")

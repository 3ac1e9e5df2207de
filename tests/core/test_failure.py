"""What a user sees of an exception: their own frames, and none of a connector's."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from fhub.cells import load_json
from heddle.core.failure import stack_trace_of


def test_what_a_connector_says_has_no_trace() -> None:
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(load_json, "{").exception()
    assert isinstance(error, json.JSONDecodeError)
    assert stack_trace_of(error) == ""


def test_code_of_the_user_that_calls_a_connector_is_shown() -> None:
    def mine() -> None:
        load_json("{")

    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(mine).exception()
    assert error is not None
    trace = stack_trace_of(error)
    assert 'load_json("{")' in trace
    assert "fhub/cells.py" not in trace


def test_libraries_that_the_user_calls_are_shown() -> None:
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(json.loads, "{").exception()
    assert error is not None
    assert "json/decoder.py" in stack_trace_of(error)

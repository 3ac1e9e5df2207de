"""What a language model's server does wrong: what is waited for, what rejects a row, what ends the run."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from fhub.llm import plugin
from heddle.sdk.runtime import ModuleRuntime
from heddle.sdk.testing import StepError
from tests.fhub.llm.asking import MODEL, ask, metric
from tests.services.fault_proxy import Fault, FaultProxy, Say
from tests.services.llm import Llm
from tests.services.llm_proxy import (
    NO_JSON,
    RESET,
    SERVER_ERROR,
    STALL,
    STALL_IN_STREAM,
    TRUNCATED_STREAM,
    completion,
    too_many_requests,
)
from tests.services.service import HOST, deaf_port

KEY = "sk-nobody-may-see-this"


def error(status: int, message: str, **more: Any) -> Say:
    return Say(status, json.dumps({"error": {"message": message, **more}}).encode())


@pytest.mark.parametrize(
    "fault", [too_many_requests("0"), SERVER_ERROR, RESET, NO_JSON, Say(503), completion("x", usage=False)]
)
def test_what_may_pass_is_asked_again(proxy: FaultProxy, fault: Fault) -> None:
    proxy.fail(fault)
    proxy.fail(completion("fine"))
    result = ask("prompt", proxy.url, [{"n": 1}], usage=True)
    if not callable(fault):
        assert result.rows == [{"answer": "fine", "prompt_tokens": 7, "completion_tokens": 5, "cost": None}]
        assert (len(proxy.requests), metric(result, "retries")) == (2, 1)
    else:
        assert result.rows == [
            {"answer": "x", "prompt_tokens": None, "completion_tokens": None, "cost": None}
        ]


def test_a_limit_is_waited_for(proxy: FaultProxy) -> None:
    proxy.fail(too_many_requests("1"))
    proxy.fail(completion("fine"), times=3)
    began = time.monotonic()
    rows = [{"n": n} for n in range(3)]
    assert len(ask("prompt", proxy.url, rows, connection={"concurrency": 1}).rows) == 3
    assert time.monotonic() - began >= 1.0
    assert len(proxy.requests) == 4


def test_a_limit_beyond_the_deadline_is_told(proxy: FaultProxy) -> None:
    proxy.fail(too_many_requests("200"), times=9)
    with pytest.raises(StepError, match="status 429, and asks to wait 200 s: Rate limit reached") as caught:
        ask("prompt", proxy.url, [{"n": 1}], context={"deadline": 100.0})
    assert caught.value.transient


@pytest.mark.parametrize("fault", [TRUNCATED_STREAM, RESET, SERVER_ERROR])
def test_a_stream_that_breaks_off_is_asked_for_again(proxy: FaultProxy, fault: Fault) -> None:
    proxy.fail(fault)
    result = ask("prompt", proxy.url, [{"n": 1}], prompt="Count to ten.", temperature=0.0, stream=True)
    assert result.rows[0]["answer"]
    assert len(proxy.requests) == 2


@pytest.mark.parametrize(("fault", "stream"), [(STALL, False), (STALL, True), (STALL_IN_STREAM, True)])
def test_silence_ends_with_the_deadline(proxy: FaultProxy, fault: Fault, stream: bool) -> None:
    proxy.fail(fault, times=9)
    with pytest.raises(StepError, match=r"no answer within 0\.5 s") as caught:
        ask("prompt", proxy.url, [{"n": 1}], {"deadline": 0.5}, prompt="Count to ten.", stream=stream)
    assert caught.value.transient


def test_a_cancelled_call_ends_at_once(proxy: FaultProxy) -> None:
    proxy.fail(STALL, times=9)
    with pytest.raises(StepError) as caught:
        ask("prompt", proxy.url, [{"n": 1}, {"n": 2}], {"cancelled": lambda: len(proxy.requests) > 0})
    assert caught.value.kind == "cancelled"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            error(401, f"Incorrect API key provided: {KEY[:8]}***"),
            "refuses the API key (status 401); set `api_key`",
        ),
        (error(403, f"key {KEY}"), "refuses the API key (status 403); set `api_key`"),
        (error(404, "no", code="model_not_found"), f"knows no model `{MODEL}`, or is no such address: no"),
        (error(400, "no", code="model_not_found"), f"knows no model `{MODEL}`, or is no such address: no"),
        (error(429, "pay", code="insufficient_quota"), ": the account has no credit left: pay"),
        (error(400, f"bad {KEY}", param="max_tokens"), "answers with status 400: bad ***"),
        (Say(302, b"", {"Location": "http://127.0.0.1:9/"}), "answers with status 302: "),
    ],
)
def test_what_no_row_can_get_past_ends_the_run(proxy: FaultProxy, fault: Fault, message: str) -> None:
    proxy.fail(fault, times=9)
    with pytest.raises(StepError) as caught:
        ask("prompt", proxy.url, [{"n": 1}], {"deadline": 100.0}, {"api_key": KEY})
    assert not caught.value.transient
    assert caught.value.message.endswith(message)
    assert KEY[:8] not in caught.value.message + caught.value.stack_trace
    assert proxy.requests[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "fault",
    [error(400, "too long"), error(413, "too long"), error(422, "too long", param="messages")],
)
def test_what_is_wrong_with_a_row_rejects_it(proxy: FaultProxy, fault: Fault) -> None:
    proxy.fail(fault, text="bad row")
    proxy.fail(completion("fine"), text="good row")
    result = ask("prompt", proxy.url, [{"t": "bad row"}, {"t": "good row"}])
    status = fault.status if isinstance(fault, Say) else 0
    assert result.rejected == {0: f"the model's server refuses it (status {status}): too long"}
    assert result.rows == [{"answer": "fine"}]


def test_a_row_that_the_server_cannot_bear_is_rejected(proxy: FaultProxy) -> None:
    proxy.fail(SERVER_ERROR, times=4, text="bad row")
    proxy.fail(completion("fine"), text="good row")
    result = ask("prompt", proxy.url, [{"t": "bad row"}, {"t": "good row"}])
    assert list(result.rejected) == [0] and "status 500: the model has crashed" in result.rejected[0]
    proxy.fail(SERVER_ERROR, times=8)
    with pytest.raises(StepError, match="status 500: the model has crashed") as caught:
        ask("prompt", proxy.url, [{"t": "bad row"}, {"t": "good row"}])
    assert caught.value.transient


def test_another_attempt_asks_for_the_rest(proxy: FaultProxy) -> None:
    """A call that fails in the midst keeps what it has: answers cost."""
    for n in range(4):
        proxy.fail(completion(f"answer {n}"), text=f"row {n}.", times=2)
    proxy.fail(Say(503), text="row 4.", times=4)
    proxy.fail(completion("answer 4"), text="row 4.")
    runtime = ModuleRuntime(plugin.module())
    config = {"base_url": proxy.url, "model": MODEL, "prompt": "row {n}.", "concurrency": 1}
    step = runtime.bind("prompt", config, {})
    import pyarrow as pa

    from heddle.core.step import StepContext

    rows = pa.table({"n": range(5)})
    with pytest.raises(StepError) as caught:
        list(step.call(rows, StepContext(idempotency_key="run/step/0", row_count=5)))
    assert caught.value.transient
    assert len(proxy.requests) == 4 + 4
    (table,) = step.call(rows, StepContext(idempotency_key="run/step/0", attempt=2, row_count=5))
    assert table["answer"].to_pylist() == [f"answer {n}" for n in range(5)]
    assert len(proxy.requests) == 4 + 4 + 1


def test_health(llm: Llm, proxy: FaultProxy) -> None:
    runtime = ModuleRuntime(plugin.module())

    def health(url: str) -> str | None:
        resource = runtime.open_resource("connection", {"base_url": url, "api_key": KEY})
        try:
            return runtime.check_resource(resource)
        finally:
            runtime.close_resource(resource)

    assert health(llm.url) is None
    proxy.fail(error(401, KEY))
    assert health(proxy.url) == f"{proxy.url} refuses the API key (status 401)"
    with deaf_port() as port:
        problem = health(f"http://{HOST}:{port}/v1")
    assert problem is not None and "cannot be reached" in problem


def test_a_server_that_is_away_fails_the_call(proxy: FaultProxy) -> None:
    proxy.fail(Say(503), times=4)
    with pytest.raises(StepError, match="answers with status 503") as caught:
        ask("prompt", proxy.url, [{"n": 1}])
    assert caught.value.transient
    assert len(proxy.requests) == 4


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (NO_JSON, "its answer is no JSON"),
        (Say(200, b'{"choices": []}'), "its answer is not of OpenAI's form"),
        (Say(200, b"[]"), "its answer is not of OpenAI's form"),
        (
            Say(
                200,
                b'data: {"error": {"message": "out of memory"}}\n\n',
                {"Content-Type": "text/event-stream"},
            ),
            "its answer broke off: out of memory",
        ),
        (
            Say(200, b'data: {"choices": []}\n\n', {"Content-Type": "text/event-stream"}),
            "its answer broke off",
        ),
    ],
)
def test_answers_that_are_none_fail_the_call(proxy: FaultProxy, fault: Fault, message: str) -> None:
    proxy.fail(fault, times=9)
    with pytest.raises(StepError) as caught:
        ask("prompt", proxy.url, [{"n": 1}], stream="event" in str(fault))
    assert caught.value.message == f"{proxy.url}/chat/completions: {message}"
    assert caught.value.transient
    assert len(proxy.requests) == 3

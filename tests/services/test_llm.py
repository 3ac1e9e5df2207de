"""The language model as a service, and what goes wrong with one in front of it."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.services.fault_proxy import FaultProxy
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

PATIENCE_S = 60.0
STALLED_S = 1.0


def post(url: str, path: str, timeout_s: float = PATIENCE_S, **body: object) -> str:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        return answer.read().decode()


def ask(url: str, question: str, timeout_s: float = PATIENCE_S, **options: object) -> str:
    messages = [{"role": "user", "content": question}]
    options = {"temperature": 0, "max_tokens": 40, **options}
    return post(url, "chat/completions", timeout_s, model=Llm.model, messages=messages, **options)


def content(answer: str) -> str:
    return str(json.loads(answer)["choices"][0]["message"]["content"])


@pytest.fixture
def proxy(llm: Llm) -> Iterator[FaultProxy]:
    with FaultProxy(llm.url) as opened:
        yield opened


def test_answers_keep_to_a_schema(llm: Llm) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": schema}}
    answer = ask(llm.url, "Extract name and age: Ada is 36 years old.", response_format=form)
    assert json.loads(content(answer)) == {"name": "Ada", "age": 36}


def test_texts_become_vectors(llm: Llm) -> None:
    data = json.loads(post(llm.url, "embeddings", model=Llm.model, input=["a word", "and more"]))["data"]
    assert [len(each["embedding"]) for each in data] == [576, 576]


def test_an_answer_comes_in_events(proxy: FaultProxy) -> None:
    events = ask(proxy.url, "Say hello.", stream=True, max_tokens=5).strip().split("\n\n")
    assert len(events) > 3
    assert events[-1] == "data: [DONE]"
    assert json.loads(proxy.requests[0].body)["stream"] is True


def test_a_limit_is_told_and_then_it_answers(proxy: FaultProxy) -> None:
    proxy.fail(too_many_requests("2"), times=2, text="hello")
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(proxy.url, "Say hello.")
        assert (caught.value.code, caught.value.headers["Retry-After"]) == (429, "2")
        caught.value.close()
    assert content(ask(proxy.url, "Say hello.", max_tokens=5))


def test_wrong_answers(proxy: FaultProxy) -> None:
    proxy.fail(SERVER_ERROR)
    proxy.fail(NO_JSON)
    proxy.fail(completion('{"nom": "Ada"}'), times=2)
    with pytest.raises(urllib.error.HTTPError, match="500") as caught:
        ask(proxy.url, "?")
    caught.value.close()
    with pytest.raises(json.JSONDecodeError):
        content(ask(proxy.url, "?"))
    assert json.loads(content(ask(proxy.url, "?"))) == {"nom": "Ada"}
    assert "nom" in ask(proxy.url, "?", stream=True)


def test_broken_answers(proxy: FaultProxy) -> None:
    proxy.fail(RESET)
    proxy.fail(TRUNCATED_STREAM)
    with pytest.raises(ConnectionResetError):
        ask(proxy.url, "Count to ten.", stream=True)
    with pytest.raises(http.client.IncompleteRead):
        ask(proxy.url, "Count to ten.", stream=True)


@pytest.mark.parametrize("fault", [STALL, STALL_IN_STREAM])
def test_silence(proxy: FaultProxy, fault: object) -> None:
    proxy.fail(fault)  # type: ignore[arg-type]
    with pytest.raises(TimeoutError):
        ask(proxy.url, "Count to ten.", STALLED_S, stream=True)


def test_a_restart(llm: Llm) -> None:
    with Llm() as own:
        own.kill()
        with pytest.raises(urllib.error.URLError):
            ask(own.url, "Say hello.")
        own.restart()
        assert content(ask(own.url, "Say hello.", max_tokens=5))

"""The steps of `fhub/llm` against a real model: what it is sent, and what becomes of its answers."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

import pytest

from fhub.llm import plugin
from heddle.sdk.testing import StepError, run_step
from tests.fhub.llm.asking import MODEL, ask, bodies, messages, metric
from tests.services.fault_proxy import FaultProxy
from tests.services.llm import Llm
from tests.services.llm_proxy import completion

STORED = 'ada\'); DROP TABLE x; -- {name} "quoted" \n ü\u202e☃ \x00 {"a": 1}'


def test_the_answer_stands_beside_the_row(llm: Llm) -> None:
    result = ask("prompt", llm.url, [{"n": 1}, {"n": 2}], prompt="Say the number {n}.", temperature=0.0)
    assert [list(row) for row in result.rows] == [["answer"], ["answer"]]
    assert all(row["answer"] for row in result.rows)


def test_values_are_put_in_once(proxy: FaultProxy) -> None:
    proxy.fail(completion("fine"), times=2)
    rows = [{"text": STORED, "name": "Ada", "amount": 1.5}, {"text": None, "name": "x", "amount": None}]
    result = ask("prompt", proxy.url, rows, connection={"concurrency": 1}, system="Be {name}.",
                 prompt='{{x}} {"json": true} {text}: {amount}')  # fmt: skip
    assert [row["answer"] for row in result.rows] == ["fine", "fine"]
    assert messages(proxy) == [
        [("system", "Be Ada."), ("user", '{x} {"json": true} ' + STORED + ": 1.5")],
        [("system", "Be x."), ("user", '{x} {"json": true} : ')],
    ]


def test_without_a_prompt_the_row_is_sent(proxy: FaultProxy) -> None:
    proxy.fail(completion("fine"))
    ask("prompt", proxy.url, [{"id": 7, "text": STORED, "none": None}], system="Sum up.")
    (said,) = messages(proxy)
    assert said[0] == ("system", "Sum up.")
    assert json.loads(said[1][1]) == {"id": 7, "text": STORED, "none": None}


def test_settings_reach_the_request(proxy: FaultProxy) -> None:
    proxy.fail(completion("fine"))
    ask("prompt", proxy.url, [{"a": 1}], temperature=0.5, options={"seed": 3, "max_tokens": None})
    (body,) = bodies(proxy)
    body.pop("messages")
    assert body == {"model": MODEL, "temperature": 0.5, "seed": 3}


def test_equal_questions_are_asked_once(proxy: FaultProxy) -> None:
    rows = [{"n": 1}, {"n": 2}, {"n": 1}, {"n": 1}]
    proxy.fail(completion("one"), times=6)
    result = ask(
        "prompt", proxy.url, rows, prompt="Say {n}", usage=True, price={"prompt": 1.0, "completion": 2.0}
    )
    assert [row["prompt_tokens"] for row in result.rows] == [7, 7, 0, 0]
    assert [row["completion_tokens"] for row in result.rows] == [5, 5, 0, 0]
    assert result.rows[0]["cost"] == pytest.approx(17e-6)
    assert sum(row["cost"] for row in result.rows) == pytest.approx(metric(result, "cost"))
    assert (metric(result, "requests"), metric(result, "prompt_tokens")) == (2, 14)
    ask("prompt", proxy.url, rows, prompt="Say {n}", temperature=0.9)
    assert len(proxy.requests) == 2 + 4


def test_order_is_that_of_the_rows(proxy: FaultProxy) -> None:
    for n in range(20):
        proxy.fail(completion(f"answer {n}"), text=f"row {n}.")
    proxy.gather(3)
    rows = [{"n": n} for n in range(20)]
    result = ask("prompt", proxy.url, rows, connection={"concurrency": 3}, prompt="row {n}.")
    assert [row["answer"] for row in result.rows] == [f"answer {n}" for n in range(20)]
    assert proxy.most_at_once == 3


def test_text_is_told_while_it_comes(llm: Llm) -> None:
    result = ask("prompt", llm.url, [{"n": 1}], prompt="Say hello.", temperature=0.0, stream=True, usage=True)
    assert result.rows[0]["completion_tokens"] > 0
    assert "".join(log.message for log in result.logs) == result.rows[0]["answer"].strip("\n")


def test_texts_become_vectors(proxy: FaultProxy) -> None:
    rows = [{"t": "a word"}, {"t": None}, {"t": "another"}, {"t": "a word"}]
    result = ask("embed", proxy.url, rows, text="t", batch_size=64)
    assert result.rejected == {1: "`t` is null"}
    vectors = [row["embedding"] for row in result.rows]
    assert len(vectors) == 3 and vectors[0] == vectors[2] != vectors[1]
    assert math.isclose(sum(x * x for x in vectors[0]), 1.0, rel_tol=1e-3)
    assert [body["input"] for body in bodies(proxy)] == [["a word", "another"]]


def test_a_batch_of_texts_is_a_request(proxy: FaultProxy) -> None:
    rows = [{"t": f"text {n}"} for n in range(5)]
    assert len(ask("embed", proxy.url, rows, text="t", batch_size=2).rows) == 5
    assert sorted(len(body["input"]) for body in bodies(proxy)) == [1, 2, 2]


def test_a_text_that_is_too_long_is_the_only_one_rejected(proxy: FaultProxy) -> None:
    rows = [{"t": "word " * 5000}, {"t": "two"}]
    result = ask("embed", proxy.url, rows, text="t")
    assert list(result.rejected) == [0]
    assert "is too large to process" in result.rejected[0]
    assert len(result.rows) == 1


def test_a_prompt_that_is_too_long_is_rejected(llm: Llm) -> None:
    rows = [{"t": "one"}, {"t": "word " * 5000}]
    result = ask("prompt", llm.url, rows, prompt="{t}")
    assert list(result.rejected) == [1]
    assert "refuses it (status 400)" in result.rejected[1]


def test_an_extract_is_a_row(llm: Llm) -> None:
    schema = {"name": "string", "age": "int"}
    rows = [{"t": "Ada is 36 years old."}]
    result = ask("extract", llm.url, rows, prompt="{t}", schema=schema, max_tokens=30)
    assert result.rows == [{"name": "Ada", "age": 36}]


@pytest.mark.parametrize("response_format", ["json_schema", "json_object", "none"])
def test_the_form_is_told(proxy: FaultProxy, response_format: str) -> None:
    proxy.fail(completion('```json\n{"n": 12.50, "tags": ["a"], "more": {"x": 1}, "raw": [1.0]}\n```'))
    schema = {"n": "decimal(6,2)", "tags": "list<string>", "more": "{x: int, y: date?}", "raw": "json",
              "none": "timestamp?"}  # fmt: skip
    result = ask(
        "extract", proxy.url, [{"a": 1}], schema=schema, response_format=response_format, system="Read."
    )
    (row,) = result.rows
    assert (str(row["n"]), row["tags"], row["more"]) == ("12.50", ["a"], {"x": 1, "y": None})
    assert (row["raw"], row["none"]) == ("[1.0]", None)
    (body,) = bodies(proxy)
    told = body.get("response_format", {}).get("type", "none")
    assert told == response_format
    assert ("JSON schema" in body["messages"][0]["content"]) == (response_format != "json_schema")
    if response_format == "json_schema":
        assert body["response_format"]["json_schema"]["schema"]["required"] == list(schema)
        assert body["response_format"]["json_schema"]["strict"] is False


def test_a_model_may_repair_its_answer(proxy: FaultProxy) -> None:
    proxy.fail(completion('{"nom": "Ada"}'))
    proxy.fail(completion('{"name": "Ada"}'))
    result = ask("extract", proxy.url, [{"a": 1}], schema={"name": "string"}, usage=True)
    assert result.rows == [{"name": "Ada", "prompt_tokens": 14, "completion_tokens": 10, "cost": None}]
    asked = messages(proxy)[1]
    assert [who for who, _ in asked] == ["system", "user", "assistant", "user"]
    assert asked[3][1] == "That does not fit: `name` is missing. Answer again, with nothing but the JSON."


@pytest.mark.parametrize(
    ("answer", "finish", "reason"),
    [
        ('{"age": "old"}', "stop", 'the model\'s answer does not fit: `age` is "old" where int is wanted'),
        ("Ada", "stop", "the model's answer does not fit: the answer is no JSON: "),
        ("[1]", "stop", "the model's answer does not fit: [1] where an object is wanted"),
        ('{"ag', "length", "the model's answer was cut off; raise `max_tokens`"),
        ("no", "content_filter", "the model refuses to answer: no"),
    ],
)
def test_an_answer_that_does_not_fit_rejects_its_row(
    proxy: FaultProxy, answer: str, finish: str, reason: str
) -> None:
    proxy.fail(completion(answer, finish_reason=finish), times=2, text="bad row")
    proxy.fail(completion('{"age": 36}'), text="good row")
    rows = [{"t": "bad row"}, {"t": "good row"}]
    result = ask("extract", proxy.url, rows, prompt="{t}", schema={"age": "int"})
    assert result.rejected[0].startswith(reason)
    assert result.rows == [{"age": 36}]


def test_a_label_is_one_of_those(llm: Llm) -> None:
    rows = [{"t": "I love it"}, {"t": "It is awful"}]
    result = ask("classify", llm.url, rows, prompt="{t}", labels=["good", "bad"], max_tokens=20)
    assert all(row["label"] in ("good", "bad") for row in result.rows)


@pytest.mark.parametrize("answer", ['{"label": "Good"}', '"good"', " Good. ", '```\n{"label": "good"}\n```'])
def test_labels_are_found(proxy: FaultProxy, answer: str) -> None:
    proxy.fail(completion(answer))
    result = ask("classify", proxy.url, [{"a": 1}], labels=["good", "bad"], response_format="none")
    assert result.rows == [{"label": "good"}]


def test_another_label_rejects_its_row(proxy: FaultProxy) -> None:
    proxy.fail(completion('{"label": "great"}'), times=2)
    result = ask("classify", proxy.url, [{"a": 1}], labels=["good", "bad"])
    assert result.rejected == {
        0: "the model's answer does not fit: the answer is none of the labels good, bad"
    }


def test_answers_are_kept_on_disk(proxy: FaultProxy, cache: Path) -> None:
    proxy.fail(completion("one"), times=10)
    config: dict[str, Any] = {"prompt": "Say {n}", "cache": "1MB", "usage": True}
    first = ask("prompt", proxy.url, [{"n": 1}, {"n": 2}], connection={"api_key": "key-of-ada"}, **config)
    again = ask("prompt", proxy.url, [{"n": 2}, {"n": 3}], connection={"api_key": "key-of-bob"}, **config)
    assert len(proxy.requests) == 3
    assert [row["prompt_tokens"] for row in first.rows + again.rows] == [7, 7, 0, 7]
    assert metric(again, "cached_answers") == 1
    ask("prompt", proxy.url, [{"n": 2}], **config, system="Another question.")
    assert len(proxy.requests) == 4
    (file,) = (cache / "heddle" / "llm").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert b"key-of-ada" not in file.read_bytes()


def test_vectors_are_kept_on_disk(proxy: FaultProxy) -> None:
    first = ask("embed", proxy.url, [{"t": "a"}, {"t": "b"}], text="t", cache="1MB")
    again = ask("embed", proxy.url, [{"t": "b"}, {"t": "a"}], text="t", cache="1MB")
    assert [row["embedding"] for row in again.rows] == [row["embedding"] for row in reversed(first.rows)]
    assert len(proxy.requests) == 1


def test_a_cache_that_cannot_be_used_is_none(proxy: FaultProxy, cache: Path) -> None:
    folder = cache / "heddle" / "llm"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "answers.sqlite").write_bytes(b"this is no database, but long enough to look like one " * 40)
    proxy.fail(completion("one"))
    result = ask("prompt", proxy.url, [{"n": 1}], cache="1MB")
    assert result.rows == [{"answer": "one"}]
    assert [log.level for log in result.logs] == ["warning"]


def test_a_step_says_more_than_its_connection(proxy: FaultProxy) -> None:
    proxy.fail(completion("fine"), times=2)
    ask("prompt", "http://127.0.0.1:9/v1", [{"n": 1}], base_url=proxy.url, model="other")
    config = {"base_url": proxy.url, "model": "own", "max_tokens": 2}
    run_step(plugin, "prompt", [{"n": 1}], config=config)
    assert [body["model"] for body in bodies(proxy)] == ["other", "own"]


@pytest.mark.parametrize(
    ("step", "config", "message"),
    [
        ("prompt", {"prompt": "{m}"}, "`prompt` names the column `m`, which the input does not have; "
         "it has `n`"),
        ("prompt", {"system": "{nn}"}, "`system` names the column `nn`, which the input does not have; "
         "did you mean `n`?"),
        ("embed", {"text": "m"}, "`text` names the column `m`, which the input does not have; it has `n`"),
        ("prompt", {"options": {"stream": True}}, "`options` cannot say `stream`, which is the step's own"),
        ("prompt", {"cache": "lots"}, '`cache` is a size such as "200MB" or "2GB", not \'lots\''),
        ("prompt", {"cache": "1MB", "temperature": 1.0}, "a `cache` gives one answer again and again, and a "
         "`temperature` above 0 asks for others; drop one of them"),
        ("prompt", {"timeout": "soon"}, "`timeout` is 'soon'; a duration is written like "
         '"200ms", "30s", "5m" or "1h"'),
        ("classify", {"labels": ["a", "a"]}, "`labels` are different texts, one at least"),
        ("extract", {"schema": {}}, "`schema` names the columns to extract, one at least"),
    ],
)  # fmt: skip
def test_settings_that_do_not_go(step: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(StepError) as caught:
        ask(step, "http://127.0.0.1:9/v1", [{"n": 1}], **config)
    assert caught.value.message == message


def test_a_model_must_be_named() -> None:
    with pytest.raises(StepError, match="no model is named: set `model`"):
        run_step(plugin, "prompt", [{"n": 1}], config={})

"""Models on this machine: the stand-in that says what it is, and a model in a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fhub.embedded import EmbeddedError
from fhub.llm import plugin
from fhub.llm.embedded import served
from fhub.llm.stand_in import LABEL
from heddle.sdk.testing import run_step
from tests.services.llm import MODEL_FILE

STAND_IN = {"connection": {"base_url": "embedded:stand-in", "model": "stand-in"}}
ROWS = [{"a": 1}, {"a": 2}]


def test_the_stand_in_answers_the_same_each_time_and_says_what_it_is() -> None:
    first, second = (run_step(plugin, "prompt", ROWS, config={}, resources=STAND_IN).rows for _ in range(2))
    assert first == second
    assert [row["answer"] for row in first] == [f'{LABEL} {{"a":1}}', f'{LABEL} {{"a":2}}']


def test_the_stand_in_fills_schemas_and_labels() -> None:
    schema = {"kind": "string", "count": "int", "sure": "bool?"}
    extracted = run_step(plugin, "extract", ROWS, config={"schema": schema}, resources=STAND_IN).rows
    assert extracted[0]["count"] == 0
    assert extracted[0]["kind"] == LABEL
    labels = run_step(plugin, "classify", ROWS, config={"labels": ["x", "y"]}, resources=STAND_IN).rows
    assert {row["label"] for row in labels} == {"x"}


def test_the_stand_in_gives_vectors() -> None:
    texts = [{"text": "one"}, {"text": "two"}, {"text": "one"}]
    vectors = [
        row["embedding"]
        for row in run_step(plugin, "embed", texts, config={"text": "text"}, resources=STAND_IN).rows
    ]
    assert vectors[0] == vectors[2] != vectors[1]


def test_a_model_in_a_file() -> None:
    model = {"connection": {"base_url": f"embedded:{MODEL_FILE}", "model": "smollm2"}}
    (row,) = run_step(
        plugin, "prompt", ROWS[:1], config={"max_tokens": 3, "temperature": 0.0}, resources=model
    ).rows
    assert row["answer"]
    assert LABEL not in row["answer"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"there is no file .*none\.gguf"):
        served("embedded:none.gguf", tmp_path)
    assert served("http://127.0.0.1:1/v1", tmp_path) is None
    assert os.listdir(tmp_path) == []

from __future__ import annotations

import pytest
from plugin import plugin

from heddle.sdk.testing import StepError, run_step


def test_words_are_counted() -> None:
    result = run_step(plugin, "count_words", [{"text": " to be  or not"}, {"text": "stop"}])
    assert result.rows == [{"words": 4}, {"words": 1}]


def test_short_texts_are_rejected() -> None:
    result = run_step(plugin, "count_words", [{"text": "one two"}, {"text": ""}], config={"least": 2})
    assert result.rejected == {1: "fewer than 2 words"}


def test_settings_are_checked() -> None:
    with pytest.raises(StepError, match="setting `least`: a string where int is wanted"):
        run_step(plugin, "count_words", [], config={"least": "two"})

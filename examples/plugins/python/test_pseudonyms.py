from __future__ import annotations

import pytest
from pseudonyms import plugin

from heddle.sdk.testing import StepError, run_step

KEY = {"key": {"secret": "a secret of some length"}}
EMAILS = ["Ada@example.org", " ada@example.org ", "grace@navy.mil", None, "nobody"]
ROWS = [{"email": email} for email in EMAILS]


def test_the_same_person_has_the_same_pseudonym() -> None:
    result = run_step(plugin, "pseudonym", ROWS, resources=KEY)
    ada, again, grace, missing, _ = [row["person"] for row in result.rows]
    assert ada == again != grace
    assert len(ada) == 16
    assert missing is None
    assert result.rejected == {4: "not an e-mail address"}
    assert [m.value for m in result.metrics] == [3.0]


def test_another_key_gives_other_pseudonyms() -> None:
    other = {"key": {"secret": "another secret of some length"}}
    first = run_step(plugin, "pseudonym", ROWS, resources=KEY, config={"chars": 8})
    second = run_step(plugin, "pseudonym", ROWS, resources=other, config={"chars": 8})
    assert first.rows[0] != second.rows[0]


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(StepError, match="the secret has 5 characters; 16 are needed"):
        run_step(plugin, "pseudonym", ROWS, resources={"key": {"secret": "short"}})


def test_domains_are_counted() -> None:
    assert run_step(plugin, "domains", ROWS[:4]).rows == [
        {"domain": "example.org", "addresses": 2},
        {"domain": "navy.mil", "addresses": 1},
    ]

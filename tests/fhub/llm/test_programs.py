"""Programs that ask a model, through the engine and the connector's own process."""

from __future__ import annotations

from pathlib import Path

import pytest

from heddle.engine import Engine
from tests.engine.harness import check, run
from tests.fhub.llm.asking import MODEL
from tests.services.fault_proxy import FaultProxy, Say
from tests.services.llm_proxy import completion

PROGRAM = """
import "fhub/llm" openai

step generate_audit = openai.prompt {
  system: "Write a fraud audit."
}

handler failed {
  *
    > errors
}

workflow Audit ? failed {
  [{ user_id: 1, amount: 12000.5 }, { user_id: 2, amount: 5.0 }, { user_id: 3, amount: 99000.0 }]
    | generate_audit
    | (filter amount > 10)
    > audits
}
"""
PROFILE = """
[profile.test.steps.generate_audit]
base_url = { env = "LLM_BASE_URL" }
model = "MODEL"
max_tokens = 4
"""


def project(folder: Path, program: str = PROGRAM) -> Path:
    (folder / "heddle.toml").write_text(PROFILE.replace("MODEL", MODEL))
    path = folder / "audit.he"
    path.write_text(program)
    return path


def test_settings_come_from_a_profile(
    proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step has no resource, and the filter behind it goes before it: two rows are asked about."""
    monkeypatch.setenv("LLM_BASE_URL", proxy.url)
    program = PROGRAM.replace(" ? failed", "").replace("handler failed {\n  *\n    > errors\n}\n", "")
    proxy.fail(completion("a report"), times=9)
    ran = run(project(tmp_path, program), ["Audit.audits"], profile="test")
    assert ran.rows("Audit.audits") == [
        {"user_id": 1, "amount": 12000.5, "answer": "a report"},
        {"user_id": 3, "amount": 99000.0, "answer": "a report"},
    ]
    assert len(proxy.requests) == 2


def test_a_handler_gets_what_is_rejected(
    proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_BASE_URL", proxy.url)
    refused = b'{"error": {"message": "this is too long"}}'
    proxy.fail(Say(400, refused), text='\\"user_id\\":3')
    proxy.fail(completion("a report"), times=9)
    program = PROGRAM.replace("    > errors", '    | io.json { path: "errors.jsonl" }')
    ran = run(project(tmp_path, program), ["Audit.audits"], profile="test")
    assert [row["user_id"] for row in ran.rows("Audit.audits")] == [1]
    errors = (tmp_path / "errors.jsonl").read_text()
    assert "the model's server refuses it (status 400): this is too long" in errors
    assert '\\"user_id\\":3' in errors


def test_a_template_is_checked(tmp_path: Path) -> None:
    program = PROGRAM.replace("Write a fraud audit.", "Audit {user}.")
    (found,) = [d for d in check(project(tmp_path, program)) if d.severity == "error"]
    assert (found.code, found.message) == (
        "HD0416",
        "`prompt` refuses its settings: `system` names the column `user`, which the input does not have; "
        "did you mean `user_id`?",
    )


def test_a_setting_that_only_a_run_can_read(tmp_path: Path) -> None:
    program = PROGRAM.replace("openai.prompt {", 'openai.embed {\n  text: env("COLUMN")').replace(
        'system: "Write a fraud audit."', ""
    )
    found = [d for d in check(project(tmp_path, program)) if d.code != "HD0310"]
    assert [(d.code, d.severity) for d in found] == [("HD0406", "warning")]


def test_columns_are_known_offline(tmp_path: Path) -> None:
    program = PROGRAM.replace('fraud audit."', 'fraud audit."\n  usage: true')
    program = program.replace("filter amount > 10", "select {answer, prompt_tokens, cost}")
    checked = Engine.open(project(tmp_path, program)).check()
    assert [f"{d.code} {d.message}" for d in checked.diagnostics] == []

"""Steps under names of the project: `[steps."MODULE".NAME]` in heddle.toml."""

from __future__ import annotations

from pathlib import Path

from heddle.engine import CheckResult, Engine
from heddle.frontend.typed import StepNode

PROGRAM = """\
import "fhub/kafka" kafka

resource events = kafka.connection { broker: "localhost:9092" }

workflow W {
  [
    { order_id: 1 }
  ]
    | <broker=events> kafka.retry_queue CONFIG
}
"""
NAMED = """\
[steps."fhub/kafka".retry_queue]
step = "produce"
settings = { topic = "orders.retry", key = "order_id" }
"""


def checked(folder: Path, toml: str, config: str = "") -> CheckResult:
    (folder / "heddle.toml").write_text(toml)
    program = folder / "p.he"
    program.write_text(PROGRAM.replace(" CONFIG", f" {config}" if config else ""))
    return Engine.open(program, environ={}).check()


def produced(result: CheckResult) -> StepNode:
    assert result.program is not None, [d.message for d in result.diagnostics]
    (node,) = [n for n in result.program.nodes if isinstance(n, StepNode)]
    return node


def test_a_named_step_is_the_step_with_its_settings(tmp_path: Path) -> None:
    call = produced(checked(tmp_path, NAMED)).call
    assert (call.callee, call.signature.name) == ("kafka.retry_queue", "produce")
    assert (call.config["topic"], call.config["key"]) == ("orders.retry", "order_id")
    assert call.resources == {"broker": "events"}


def test_a_call_may_say_other_settings(tmp_path: Path) -> None:
    call = produced(checked(tmp_path, NAMED, '{ topic: "other" }')).call
    assert (call.config["topic"], call.config["key"]) == ("other", "order_id")


def messages(result: CheckResult) -> list[tuple[str, str]]:
    return [(d.code, d.message) for d in result.diagnostics if d.severity == "error"]


def test_mistakes_are_told_where_the_step_is_called(tmp_path: Path) -> None:
    assert messages(checked(tmp_path, NAMED.replace("produce", "produse"))) == [
        (
            "HD0708",
            "heddle.toml says that `kafka.retry_queue` is `produse`, which the module does not have",
        )
    ]
    assert messages(checked(tmp_path, NAMED.replace("topic", "topik"))) == [
        ("HD0708", "heddle.toml sets `topik`, which `kafka.retry_queue` does not have"),
        ("HD0704", "`kafka.retry_queue` needs the setting `topic` (string)"),
    ]


def test_mistakes_in_the_file_are_told_there(tmp_path: Path) -> None:
    found = messages(checked(tmp_path, '[steps."fhub/kafka".retry_queue]\nsettings = {}\n'))
    assert ("HD0723", "`retry_queue` does not say which step it is") in found


def test_without_a_name_there_is_no_such_step(tmp_path: Path) -> None:
    ((code, message),) = messages(checked(tmp_path, ""))
    assert code.startswith("HD03")
    assert "retry_queue" in message

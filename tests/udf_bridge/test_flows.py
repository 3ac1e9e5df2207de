"""Writers, streams, estimates and parameters: the same in a plugin's process and in the engine's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.core.config import ConfigValue
from heddle.core.step import RejectedRows, Turn
from heddle.sdk.loader import load_module
from heddle.udf_bridge.plugins import Plugins
from heddle.udf_bridge.transport import (
    CallContext,
    ResourceBinding,
    StepBinding,
    StepFailure,
    StepSession,
    StepTransport,
)

STEPS = Path(__file__).with_name("flow_steps.py")
CONTEXT = CallContext("run1", "W", "flows.step", 1, None, None, lambda: False, lambda wake: lambda: None)


class Side:
    def __init__(self, plugins: Plugins, transport: StepTransport, folder: Path) -> None:
        self.plugins = plugins
        self._transport = transport
        self._folder = folder
        self._module = load_module(STEPS, "flows", namespace="flows").signature

    def open(
        self,
        step: str,
        config: Mapping[str, ConfigValue] | None = None,
        *,
        output: pa.Schema | None = None,
        parameters: Mapping[str, ConfigValue] | None = None,
    ) -> StepSession:
        module = self._module
        resource = ResourceBinding("place", module, "folder", {"path": "."})
        binding = StepBinding(
            f"W.{step}",
            module,
            module.steps[step],
            {"until": 10} | dict(config or {}) if step != "lines" else {},
            {"folder": resource},
            str(self._folder),
            output,
            parameters=parameters or {},
        )
        return self._transport.open(binding, lambda told: None)

    @property
    def said(self) -> list[str]:
        log = self._folder / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture(params=["process", "inline"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    plugins = Plugins()
    transport = plugins.transport(inline=request.param == "inline")
    yield Side(plugins, transport, tmp_path)
    transport.close()
    plugins.close()


ROWS = pa.table({"x": [1, 2, 3]})


def test_a_writer_commits_what_all_calls_wrote(side: Side) -> None:
    session = side.open("lines")
    assert session.invoke(ROWS, CONTEXT).output is None
    session.invoke(ROWS.slice(1), CONTEXT)
    assert side.said == ["run1 opened"]
    session.ask("commit", None, CONTEXT)
    session.ask("abort", None, CONTEXT)
    session.close()
    assert side.said[:2] == ["run1 opened", "run1 committed 5"]


def test_writers_of_runs_are_apart(side: Side) -> None:
    session, other = side.open("lines"), replace(CONTEXT, run_id="run2")
    session.invoke(ROWS, CONTEXT)
    session.invoke(ROWS.slice(2), other)
    session.ask("abort", None, CONTEXT)
    session.ask("commit", None, other)
    session.close()
    assert side.said[:4] == ["run1 opened", "run2 opened", "run1 aborted 3", "run2 committed 1"]


def test_a_writer_whose_commit_fails_is_to_be_aborted(side: Side) -> None:
    session = side.open("lines")
    session.invoke(pa.table({"x": range(200)}), CONTEXT)
    with pytest.raises(StepFailure, match="too many rows"):
        session.ask("commit", None, CONTEXT)
    session.ask("abort", None, CONTEXT)
    session.close()
    assert side.said[1] == "run1 aborted 200"


def test_a_failed_write_leaves_the_writer_open(side: Side) -> None:
    session = side.open("lines")
    session.invoke(ROWS, CONTEXT)
    with pytest.raises(StepFailure, match="a bad column"):
        session.invoke(pa.table({"bad": [1]}), CONTEXT)
    session.ask("abort", None, CONTEXT)
    session.close()
    assert side.said[1] == "run1 aborted 3"


def test_nothing_to_commit(side: Side) -> None:
    session = side.open("lines")
    assert session.ask("commit", None, CONTEXT) is None
    session.close()
    assert [line for line in side.said if line != "closed"] == []


def turn(session: StepSession, rows: int) -> tuple[list[int], list[RejectedRows], ConfigValue]:
    refused: list[RejectedRows] = []
    batches = list(session.batches(replace(CONTEXT, turn=Turn(rows, 1.0)), refused))
    numbers = [n for batch in batches for n in batch.column("n").to_pylist()]
    return numbers, refused, session.ask("position", None, CONTEXT)


def test_a_stream_is_read_in_turns(side: Side) -> None:
    session = side.open("count", {"until": 7}, output=pa.schema([("n", pa.int64())]))
    numbers, refused, standing = turn(session, 3)
    assert (numbers, refused) == ([0, 1, 2], [])
    assert standing == {"position": {"next": 3}, "ended": False, "lag": 4}
    session.ask("commit", {"next": 3}, CONTEXT)
    numbers, (rejected,), standing = turn(session, 10)
    assert numbers == [4, 5, 6]
    assert (rejected.reason, rejected.error_type) == ("three", "Three")
    assert rejected.records is not None
    assert rejected.records.to_pylist() == [{"offset": 3}]
    assert standing == {"position": {"next": 7}, "ended": True, "lag": 0}
    assert turn(session, 10)[0] == []
    session.ask("close", None, CONTEXT)
    session.close()
    assert side.said[:2] == ["position 3", "stream closed"]


def test_a_stream_knows_the_columns_that_are_expected(side: Side) -> None:
    session = side.open("count", output=pa.schema([("a", pa.int64()), ("b", pa.int64())]))
    (batch,) = session.batches(replace(CONTEXT, turn=Turn(2, 1.0)))
    assert batch.to_pylist() == [{"a": 0, "b": 0}, {"a": 1, "b": 1}]
    session.close()


def test_an_estimate_and_a_parameter(side: Side) -> None:
    session = side.open("known", {"until": 12}, parameters={"day": "2026-01-31"})
    assert session.ask("estimate", None, CONTEXT) == 12
    (batch,) = session.batches(CONTEXT)
    assert batch.to_pylist() == [{"day": "2026-01-31"}]
    with pytest.raises(StepFailure, match="does not know `commit`"):
        session.ask("commit", None, CONTEXT)
    session.close()


@pytest.mark.parametrize("side", ["process"], indirect=True)
def test_what_is_open_ends_with_its_session(side: Side) -> None:
    session = side.open("lines")
    session.invoke(ROWS, CONTEXT)
    session.close()
    assert side.said == ["run1 opened", "run1 aborted 3", "closed"]


@pytest.mark.parametrize("side", ["process"], indirect=True)
def test_a_writer_does_not_go_on_in_another_process(side: Side) -> None:
    session = side.open("lines")
    session.invoke(ROWS, CONTEXT)
    (host,) = side.plugins.hosts().hosts()
    host.connection().process.kill()
    with pytest.raises(StepFailure, match="the plugin `flows` ended in mid-"):
        session.invoke(ROWS, CONTEXT)
    with pytest.raises(StepFailure, match=r"ended in mid-run, and with it what `lines` had open"):
        session.ask("commit", None, CONTEXT)
    session.close()

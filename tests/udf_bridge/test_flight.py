"""Steps of a plugin that runs behind a gateway: the contract of local ones, and what a network adds."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.core.report import StepLogged, StepMeasured, StepProgressed
from heddle.udf_bridge.keys import binding_key
from heddle.udf_bridge.transport import (
    Batching,
    CallsMerged,
    StepBinding,
    StepContractError,
    StepFailure,
)
from tests.conformance.plugin import PATIENCE_S, Cancel, Told, context, wait_until
from tests.services.service import HOST, free_port
from tests.udf_bridge.served import GatewayProcess, Served, gateway, served

ROOT = Path(__file__).parents[2]
NUMBERS = pa.table({"x": pa.array([1, -2, 3, 4], pa.int64()), "name": ["a", "b", None, "d"]})


@pytest.fixture(scope="module")
def process() -> Iterator[GatewayProcess]:
    with gateway() as process:
        yield process


@pytest.fixture
def plugin(process: GatewayProcess) -> Iterator[Served]:
    with served(process.url) as side:
        yield side


def test_a_map_step(plugin: Served) -> None:
    assert plugin.output("add", NUMBERS, {"amount": 10}).column("y").to_pylist() == [11, 8, 13, 14]


def test_a_filter_step(plugin: Served) -> None:
    assert plugin.output("keep_even", NUMBERS).column("x").to_pylist() == [-2, 4]


def test_a_flat_step(plugin: Served) -> None:
    output = plugin.output("repeat", NUMBERS, {"times": 3})
    assert output.column("x").to_pylist() == [x for x in (1, -2, 3, 4) for _ in range(3)]


def test_a_table_step(plugin: Served) -> None:
    assert plugin.output("total", NUMBERS.select(["x"])).to_pydict() == {"total": [6]}


def test_a_source(plugin: Served) -> None:
    session = plugin.session("numbers", {"count": 2500, "batch_rows": 1000})
    batches = list(session.batches(context()))
    assert [n for batch in batches for n in batch.column("n").to_pylist()] == list(range(2500))
    assert len(batches) == 3


def test_a_source_without_rows(plugin: Served) -> None:
    batches = list(plugin.session("numbers", {"count": 0}).batches(context()))
    assert sum(batch.num_rows for batch in batches) == 0
    assert batches[0].schema.names == ["n"]


def test_a_sink_and_the_resource_it_shares(plugin: Served) -> None:
    sink = plugin.session("sink", counter={"start": 100})
    count = plugin.session("count", counter={"start": 100})
    assert sink.invoke(NUMBERS, context()).output is None
    output = count.invoke(None, context()).output
    assert output is not None
    assert output.to_pydict() == {"count": [104]}


def test_a_resource_closes_with_its_last_step(plugin: Served, process: GatewayProcess) -> None:
    first = plugin.session("sink", counter={"start": 4200})
    second = plugin.session("sink", counter={"start": 4200})
    first.invoke(NUMBERS, context())
    first.close()
    second.invoke(NUMBERS, context())
    second.close()
    process.wait_for_line("counter closed at 4208")


def test_a_resource_that_cannot_be_opened(plugin: Served) -> None:
    with pytest.raises(StepFailure, match=r"resource `visits`.* could not be opened: the counter is broken"):
        plugin.session("count", counter={"fail": True})


def test_a_refused_setting(plugin: Served) -> None:
    signature = plugin.module.steps["add"]
    open_config = replace(signature, config=())
    plugin.module = replace(plugin.module, steps={**plugin.module.steps, "add": open_config})
    with pytest.raises(StepFailure, match=r"settings of .* were refused"):
        plugin.session("add", {})


def test_all_kinds_of_settings(plugin: Served) -> None:
    settings = {"flag": True, "count": 3, "name": "ö", "tags": ["a"], "place": {"city": "Ulm"}}
    text = plugin.output("settings", None, settings).column("json")[0].as_py()
    assert json.loads(text)["place"] == {"city": "Ulm", "zip": ""}
    assert json.loads(text)["name"] == "ö"


def test_the_environment_is_the_gateways(plugin: Served) -> None:
    value = plugin.output("environment", None, {"name": "CONFORMANCE_REGION"})
    assert value.to_pydict() == {"value": ["north"]}


def test_inferred_columns(plugin: Served) -> None:
    signature = plugin.module.steps["schema_of"]
    columns = {"columns": {"id": "int", "name": "string?"}}
    binding = StepBinding("W.s", plugin.module, signature, columns, {}, ".", None)
    row = plugin.probe.infer(binding_key(binding), None)
    assert [(c.name, c.type, c.nullable) for c in row.columns] == [
        ("id", pa.int64(), False),
        ("name", pa.string(), True),
    ]


def test_rejections(plugin: Served) -> None:
    result = plugin.call("reject_negative", NUMBERS)
    assert [(r.rows.to_pylist(), r.reason, r.error_type) for r in result.rejections] == [
        ([1], "x is negative", "Negative")
    ]
    assert result.output is not None
    assert result.output.column("x").to_pylist() == [1, 3, 4]


def test_logs_progress_and_metrics(plugin: Served, process: GatewayProcess) -> None:
    plugin.call("log", NUMBERS, {"message": "hallo"})
    (logged,) = plugin.told.of(StepLogged)
    assert isinstance(logged, StepLogged)
    assert (logged.level, logged.message, logged.fields["rows"]) == ("info", "hallo", "4")
    assert plugin.told.of(StepProgressed) == [StepProgressed(4, 4, "")]
    assert plugin.told.of(StepMeasured) == [StepMeasured("seen", 4.0, "rows")]
    process.wait_for_line("conformance: out: hallo")
    process.wait_for_line("conformance: err: hallo")


def test_the_context_of_a_call(plugin: Served) -> None:
    result = plugin.session("context").invoke(None, context(deadline_s=60.0, attempt=3))
    assert result.output is not None
    assert result.output.to_pylist() == [
        {
            "run_id": "run-1",
            "workflow": "W",
            "step": "conformance.step",
            "attempt": 3,
            "idempotency_key": "run-1/W.step/0",
            "deadline": 60.0,
        }
    ]


@pytest.mark.parametrize("transient", [True, False])
def test_a_failure(plugin: Served, transient: bool) -> None:
    with pytest.raises(StepFailure, match="no luck") as caught:
        plugin.call("fail", NUMBERS, {"message": "no luck", "transient": transient})
    assert (caught.value.error_type, caught.value.transient) == ("ConformanceError", transient)
    assert "conformance.py" in caught.value.stack_trace


def test_a_broken_contract(plugin: Served) -> None:
    with pytest.raises(StepContractError):
        plugin.call("add", pa.table({"x": ["no number"]}), {"amount": 1})


def test_a_crash_costs_one_call(plugin: Served) -> None:
    with pytest.raises(StepFailure, match="exit") as caught:
        plugin.call("crash", NUMBERS)
    assert (caught.value.error_type, caught.value.transient) == ("PluginCrashed", True)
    assert plugin.output("identity", NUMBERS).equals(NUMBERS)


def test_a_call_is_cancelled(plugin: Served) -> None:
    cancel = Cancel()
    session = plugin.session("sleep", {"seconds": 600.0})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(session.invoke, NUMBERS, context(cancel))
        wait_until(lambda: plugin.calls == 1, "the call")
        cancel.cancel()
        assert running.exception(PATIENCE_S) is not None
    wait_until(lambda: plugin.calls == 0, "no call")


def test_a_step_that_does_not_listen_to_its_cancellation(plugin: Served) -> None:
    cancel = Cancel()
    session = plugin.session("hang")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(session.invoke, NUMBERS, context(cancel))
        wait_until(lambda: plugin.calls == 1, "the call")
        cancel.cancel()
        assert isinstance(running.exception(PATIENCE_S), StepFailure)
    assert plugin.output("identity", NUMBERS).equals(NUMBERS)


@pytest.mark.parametrize("step", ["sleep", "hang"])
def test_a_deadline(plugin: Served, step: str) -> None:
    session = plugin.session(step, {"seconds": 600.0} if step == "sleep" else {})
    with pytest.raises(StepFailure, match=r"no answer within 0\.3 s") as caught:
        session.invoke(NUMBERS, context(deadline_s=0.3))
    assert (caught.value.error_type, caught.value.transient) == ("Timeout", True)


def test_who_stops_reading_ends_the_call(plugin: Served) -> None:
    rows = plugin.session("numbers", {"count": 1_000_000_000, "batch_rows": 100_000}).batches(context())
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    wait_until(lambda: plugin.calls == 0, "no call")


def test_a_big_table(plugin: Served) -> None:
    count = 2_000_000
    rows = pa.table(
        {
            "x": pa.array(range(count), pa.int64()),
            "ratio": pa.array([0.5] * count),
            "word": pa.array(["lorem ipsum dolor"] * count).dictionary_encode(),
        }
    )
    assert plugin.output("rebuild", rows).equals(rows)


@pytest.mark.parametrize(
    "rows",
    [
        pa.table({"x": pa.array([], pa.int64())}),
        pa.Table.from_batches([pa.RecordBatch.from_struct_array(pa.array([{}] * 5, pa.struct([])))]),
        pa.table({"a": pa.array([[{"b": [1]}], None]), "c": pa.array([b"\0", None], pa.binary())}),
        pa.concat_tables([pa.table({"w": pa.array([w]).dictionary_encode()}) for w in ("a", "b", "c")]),
    ],
    ids=["no rows", "no columns", "nested", "several dictionaries"],
)
def test_shapes(plugin: Served, rows: pa.Table) -> None:
    output = plugin.output("rebuild", rows)
    assert output.num_rows == rows.num_rows
    assert output.schema.equals(rows.schema)
    assert output.to_pylist() == rows.to_pylist()


def test_calls_side_by_side(plugin: Served) -> None:
    session = plugin.session("add", {"amount": 1})
    with ThreadPoolExecutor(8) as pool:
        inputs = [pa.table({"x": pa.array([i], pa.int64())}) for i in range(40)]
        outputs = list(pool.map(lambda rows: session.invoke(rows, context()).output, inputs))
    assert [o.column("y").to_pylist() for o in outputs if o is not None] == [[i + 1] for i in range(40)]


def test_calls_of_several_runs_are_merged(plugin: Served) -> None:
    told = [Told() for _ in range(6)]
    batching = Batching(10_000, 1.0)
    sessions = [plugin.session("sleep", {"seconds": 0.05}, batching=batching, told=t) for t in told]
    barrier = threading.Barrier(len(sessions))

    def caller(number: int) -> list[object]:
        seen = []
        for turn in range(5):
            barrier.wait(PATIENCE_S)
            rows = pa.table({"x": pa.array([number * 10 + turn], pa.int64())})
            output = sessions[number].invoke(rows, context()).output
            assert output is not None
            seen += output.column("x").to_pylist()
        sessions[number].close()
        return seen

    with ThreadPoolExecutor(len(sessions)) as pool:
        seen = list(pool.map(caller, range(len(sessions))))
    assert seen == [[n * 10 + turn for turn in range(5)] for n in range(len(sessions))]
    assert any(t.of(CallsMerged) for t in told)


def test_a_gateway_that_dies_in_mid_call_and_one_that_comes_back() -> None:
    # A port that no client is given: one that connects again and again could take it before the second one.
    with gateway(listen=f"{HOST}:{free_port()}") as first, served(first.url) as side:
        sleeping = side.session("sleep", {"seconds": 600.0})
        adding = side.session("add", {"amount": 1})
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(sleeping.invoke, NUMBERS, context())
            wait_until(lambda: side.calls == 1, "the call")
            first.kill()
            failure = running.exception(PATIENCE_S)
        assert isinstance(failure, StepFailure)
        assert (failure.error_type, failure.transient) == ("PluginCrashed", True)
        assert first.url in failure.message
        with pytest.raises(StepFailure, match="cannot be reached"):
            adding.invoke(NUMBERS, context())
        with gateway(listen=first.place):
            wait_until(lambda: _succeeds(lambda: adding.invoke(NUMBERS, context())), "the new gateway")
            output = adding.invoke(NUMBERS, context()).output
            assert output is not None
            assert output.column("y").to_pylist() == [2, -1, 4, 5]


def test_a_gateway_that_falls_silent() -> None:
    with gateway() as silent:
        side = Served(silent.url, lease_s=4.0)
        session = side.session("sleep", {"seconds": 600.0})
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(session.invoke, NUMBERS, context())
            wait_until(lambda: side.calls == 1, "the call")
            silent.pause()
            failure = running.exception(PATIENCE_S)
        silent.kill()
        side.close()
    assert isinstance(failure, StepFailure)
    assert (failure.error_type, failure.transient) == ("PluginCrashed", True)


def test_a_deadline_of_a_gateway_that_is_silent() -> None:
    with gateway() as silent:
        side = Served(silent.url)
        session = side.session("identity")
        silent.pause()
        with pytest.raises(StepFailure, match=r"no answer within 0\.2 s") as caught:
            session.invoke(NUMBERS, context(deadline_s=0.2))
        silent.kill()
        side.close()
    assert (caught.value.error_type, caught.value.transient) == ("Timeout", True)


def test_resources_close_when_the_client_is_gone(process: GatewayProcess) -> None:
    client = subprocess.Popen(
        [sys.executable, "-m", "tests.udf_bridge.served", process.url, "resource"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"held\n"
        client.kill()
    process.wait_for_line("counter closed at 7")


def test_a_call_ends_when_the_client_is_gone(plugin: Served, process: GatewayProcess) -> None:
    """Long before the lease of its session."""
    client = subprocess.Popen(
        [sys.executable, "-m", "tests.udf_bridge.served", process.url, "call"], cwd=ROOT
    )
    with client:
        wait_until(lambda: plugin.calls == 1, "the call")
        client.kill()
    wait_until(lambda: plugin.calls == 0, "no call")


def _succeeds(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except StepFailure:
        return False
    return True

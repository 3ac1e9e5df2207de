"""What a call knows and tells: context, logs, progress, metrics, failures, cancellation, deadlines."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from heddle.core.report import StepLogged, StepMeasured, StepProgressed
from heddle.udf_bridge.keys import BindingKey
from heddle.udf_bridge.transport import (
    PluginOutput,
    StepFailure,
)
from tests.conformance.plugin import PATIENCE_S, Cancel, Conformance, context, wait_until

ROWS = pa.table({"x": [1, 2, 3]})


def test_the_context(plugin: Conformance) -> None:
    session = plugin.session("context")
    (batch,) = session.batches(context(deadline_s=12.5, attempt=3))
    assert batch.to_pylist() == [
        {
            "run_id": "run-1",
            "workflow": "W",
            "step": "conformance.step",
            "attempt": 3,
            "idempotency_key": "run-1/W.step/0",
            "deadline": 12.5,
        }
    ]
    (batch,) = session.batches(context(key=None))
    assert (batch["idempotency_key"][0].as_py(), batch["deadline"][0].as_py()) == (None, None)


def test_only_declared_variables_are_seen(plugin: Conformance) -> None:
    def variable(name: str) -> str | None:
        (batch,) = plugin.session("environment", {"name": name}).batches(context())
        return batch["value"][0].as_py()  # type: ignore[no-any-return]

    assert variable("CONFORMANCE_REGION") == "north"
    assert variable("CONFORMANCE_OTHER") is None


def test_logs_progress_metrics_and_output(fresh_plugin: Conformance) -> None:
    told = fresh_plugin.told
    session = fresh_plugin.session("log", {"message": "all is well"})
    assert session.invoke(ROWS, context()).output == ROWS
    fields = {"rows": "3", "step": "conformance.step", "key": "run-1/W.step/0"}
    assert told.of(StepLogged) == [StepLogged("info", "all is well", fields)]
    (progress,) = told.of(StepProgressed)
    assert isinstance(progress, StepProgressed)
    assert (progress.rows_done, progress.rows_total) == (3, 3)
    assert told.of(StepMeasured) == [StepMeasured("seen", 3.0, "rows")]
    out = told.wait_for_line("out: all is well")
    err = told.wait_for_line("err: all is well")
    assert isinstance(out, PluginOutput) and out.stream == "stdout"
    assert isinstance(err, PluginOutput) and err.stream == "stderr"


def test_a_failure(plugin: Conformance) -> None:
    with pytest.raises(StepFailure) as caught:
        plugin.call("fail", ROWS, {"message": "no luck today"})
    failure = caught.value
    assert (failure.message, failure.error_type) == ("no luck today", "ConformanceError")
    assert not failure.transient


def test_a_transient_failure(plugin: Conformance) -> None:
    with pytest.raises(StepFailure) as caught:
        plugin.call("fail", ROWS, {"message": "later", "transient": True})
    assert caught.value.transient


def test_a_failure_does_not_end_the_plugin(plugin: Conformance) -> None:
    pid = plugin.pid
    with pytest.raises(StepFailure):
        plugin.call("fail", ROWS, {"message": "x"})
    assert plugin.output("identity", ROWS).equals(ROWS)
    assert plugin.pid == pid


def test_a_step_without_a_body(plugin: Conformance) -> None:
    with pytest.raises(StepFailure, match="declared"):
        plugin.session("declared")


def test_cancellation(plugin: Conformance) -> None:
    """A step that looks ends soon, with the plugin alive."""
    pid = plugin.pid
    cancel = Cancel()
    session = plugin.session("sleep", {"seconds": 600.0})
    errors: list[StepFailure] = []

    def call() -> None:
        try:
            session.invoke(ROWS, context(cancel))
        except StepFailure as failure:
            errors.append(failure)

    caller = threading.Thread(target=call)
    caller.start()
    wait_until(plugin.in_call, "the call")
    cancel.cancel()
    caller.join(PATIENCE_S)
    assert not caller.is_alive()
    # Where the cancellation was faster than the call, the SDK says it, not the step.
    assert [e.error_type.removesuffix("Error") for e in errors] == ["Cancelled"]
    assert plugin.pid == pid


def test_a_deadline(plugin: Conformance) -> None:
    pid = plugin.pid
    session = plugin.session("sleep", {"seconds": 600.0})
    with pytest.raises(StepFailure, match=r"no answer within 0\.2 s") as caught:
        session.invoke(ROWS, context(deadline_s=0.2))
    assert (caught.value.error_type, caught.value.transient) == ("Timeout", True)
    assert plugin.pid == pid


def test_a_step_that_hangs_is_ended_with_its_process(fresh_plugin: Conformance) -> None:
    pid = fresh_plugin.pid
    session = fresh_plugin.session("hang")
    with pytest.raises(StepFailure, match=r"no answer within 0\.2 s"):
        session.invoke(ROWS, context(deadline_s=0.2))
    assert fresh_plugin.output("identity", ROWS).equals(ROWS)
    assert fresh_plugin.pid != pid


def test_calls_at_the_same_time(plugin: Conformance) -> None:
    session = plugin.session("add", {"amount": 1})
    failures: list[str] = []

    def calls(offset: int) -> None:
        for i in range(50):
            rows = pa.table({"x": list(range(offset, offset + 1 + i * 400))})
            output = session.invoke(rows, context()).output
            if output is None or output["y"].to_pylist() != [x + 1 for x in rows["x"].to_pylist()]:
                failures.append(f"{offset}: {i}")

    callers = [threading.Thread(target=calls, args=(offset,)) for offset in range(0, 8_000_000, 1_000_000)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not failures


def test_the_row_of_a_step_that_depends_on_settings(plugin: Conformance) -> None:
    session = plugin.session("schema_of", {"columns": {"id": "int", "name": "string?"}})
    (batch,) = session.batches(context())
    assert batch.schema.names == ["id", "name"]
    assert batch.schema.types == [pa.int64(), pa.string()]
    key = BindingKey("schema_of", '{"columns":{"id":"int","name":"string?"}}', (), "")
    assert str(plugin.host.connection().infer(key, None)) == "{id: int, name: string?}"

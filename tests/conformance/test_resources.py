"""Resources: opened once for all who use them alike, checked, closed with the last."""

from __future__ import annotations

import pyarrow as pa
import pytest

from heddle.core.wire import plugin_pb2 as wire
from heddle.udf_bridge.keys import ResourceKey
from heddle.udf_bridge.transport import StepFailure, StepSession
from tests.conformance.plugin import Conformance, context, wait_until


def count(session: StepSession) -> int:
    (batch,) = session.batches(context())
    return int(batch["count"][0].as_py())


def rows(number: int) -> pa.Table:
    return pa.table({"x": list(range(number))})


def test_steps_share_a_resource(fresh_plugin: Conformance) -> None:
    sink = fresh_plugin.session("sink", counter={"start": 100})
    counter = fresh_plugin.session("count", counter={"start": 100})
    assert sink.invoke(rows(3), context()).output is None
    sink.invoke(rows(2), context())
    assert count(counter) == 105


def test_other_settings_are_another_resource(fresh_plugin: Conformance) -> None:
    fresh_plugin.session("sink", counter={"start": 100}).invoke(rows(3), context())
    assert count(fresh_plugin.session("count", counter={"start": 200})) == 200


def test_it_is_closed_with_its_last_user(fresh_plugin: Conformance) -> None:
    first = fresh_plugin.session("sink", counter={"start": 7})
    second = fresh_plugin.session("count", counter={"start": 7})
    first.invoke(rows(1), context())
    first.close()
    assert count(second) == 8
    second.close()
    fresh_plugin.told.wait_for_line("counter closed at 8")


def test_it_is_closed_when_the_plugin_is_drained(fresh_plugin: Conformance) -> None:
    counter = fresh_plugin.session("count", counter={"start": 41})
    assert count(counter) == 41
    pid = fresh_plugin.pid
    told = fresh_plugin.told
    fresh_plugin.hosts.close()
    told.wait_for_line("counter closed at 41")
    assert pid


def test_one_that_cannot_be_opened(fresh_plugin: Conformance) -> None:
    with pytest.raises(StepFailure) as caught:
        fresh_plugin.session("count", counter={"fail": True})
    failure = caught.value
    assert "`visits`" in failure.message
    assert "the counter is broken" in failure.message
    assert failure.error_type == "CounterBroken"
    assert failure.transient
    assert count(fresh_plugin.session("count", counter={})) == 0


def test_health(fresh_plugin: Conformance) -> None:
    connection = fresh_plugin.host.connection()
    well = ResourceKey("counter", '{"start":1,"fail":false,"token":""}', "visits")
    ill = ResourceKey("counter", '{"start":-1,"fail":false,"token":""}', "visits")
    assert connection.check_resource(well) is None
    assert connection.check_resource(ill) == "the counter is negative"


def test_a_lease_that_runs_out(fresh_plugin: Conformance) -> None:
    """The plugin closes what nobody used, and says so to the next who does."""
    connection = fresh_plugin.host.connection()
    control = connection.control
    opened = control.call(
        wire.OpenResourceRequest(type="counter", name="visits", config_json='{"start":5}', lease_s=0.2),
        wire.OpenResourceResponse,
    )
    fresh_plugin.told.wait_for_line("counter closed at 5")
    bound = control.call(
        wire.BindStepRequest(step="count", config_json="{}", resources={"counter": opened.resource_id}),
        wire.BindStepResponse,
    )
    checked = control.call(
        wire.CheckResourceRequest(resource_id=opened.resource_id), wire.CheckResourceResponse
    )
    assert wire.Failure.EXPIRED in (bound.failure.kind, checked.failure.kind)


def test_what_expired_is_opened_again(fresh_plugin: Conformance) -> None:
    """The engine binds anew when a resource of a binding is gone."""
    connection = fresh_plugin.host.connection()
    connection.lease_s = 0.3
    counter = fresh_plugin.session("count", counter={"start": 9})
    assert count(counter) == 9
    fresh_plugin.told.wait_for_line("counter closed at 9")
    assert count(counter) == 9


def test_secrets_stay_out_of_what_is_told(fresh_plugin: Conformance) -> None:
    with pytest.raises(StepFailure) as caught:
        fresh_plugin.session("count", counter={"fail": True, "token": "hunter2-secret"})
    assert "hunter2" not in str(caught.value) + caught.value.stack_trace
    wait_until(lambda: fresh_plugin.host.connection().alive, "the plugin")
    assert "hunter2" not in repr(fresh_plugin.told.reports)

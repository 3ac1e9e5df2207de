"""Calls over lanes: what goes in, what comes out, what is told between."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow as pa
import pytest

from heddle.core.wire import plugin_pb2 as wire
from tests.sdk.raw_client import Memory, RawPlugin, conformance, inline, probe, wait_for

ROWS = pa.table({"x": [1, -2, 3], "s": ["a", "b", None]})
LARGE = pa.table({"x": range(200_000), "s": ["abc"] * 200_000})


@pytest.fixture(scope="module")
def plugin() -> Iterator[RawPlugin]:
    with conformance() as started:
        yield started


@pytest.fixture(scope="module")
def looking() -> Iterator[RawPlugin]:
    with probe() as started:
        yield started


@pytest.mark.parametrize("step", ["identity", "rebuild"])
@pytest.mark.parametrize("rows", [ROWS, ROWS.slice(1, 1), ROWS.slice(0, 0), ROWS.select([])])
def test_a_table_goes_there_and_back(plugin: RawPlugin, step: str, rows: pa.Table) -> None:
    answer = plugin.call(step, rows)
    assert answer.table.equals(rows)
    assert answer.table.num_rows == rows.num_rows
    assert answer.frames == ["batch", "result"]


def test_an_input_in_several_batches_is_one_call(plugin: RawPlugin) -> None:
    answer = plugin.call("total", ROWS, ROWS, ROWS)
    assert answer.table.to_pylist() == [{"total": 6}]
    assert len(answer.batches) == 1


def test_batches_of_different_schemas_are_refused_and_the_lane_lives(plugin: RawPlugin) -> None:
    with plugin.lane() as lane:
        binding = plugin.bind("identity")
        refused = lane.call(binding, ROWS, pa.table({"other": [1]}))
        assert refused.failure is not None
        assert refused.failure.kind == wire.Failure.PROTOCOL
        assert refused.failure.message == "the batches of an input have different schemas"
        assert lane.call(binding, ROWS).table.equals(ROWS)


def test_a_source_streams_and_a_sink_sends_nothing(plugin: RawPlugin) -> None:
    numbers = plugin.call("numbers", config={"count": 5, "batch_rows": 2}, source=True)
    assert [t["n"].to_pylist() for t in numbers.tables] == [[0, 1], [2, 3], [4]]
    counter = plugin.open("counter", {"start": 4}).resource_id
    with plugin.lane() as lane:
        assert lane.call(plugin.bind("sink", counter=counter), ROWS).frames == ["result"]
        counted = lane.call(plugin.bind("count", counter=counter), source=True)
    assert counted.table.to_pylist() == [{"count": 7}]


def test_a_stream_over_an_input_comes_in_its_order(looking: RawPlugin) -> None:
    answer = looking.call("several", ROWS)
    assert answer.table.equals(pa.concat_tables([ROWS] * 3))
    assert answer.frames == ["batch", "batch", "batch", "result"]


def test_rejections_are_row_numbers_of_the_whole_input(plugin: RawPlugin) -> None:
    answer = plugin.call("reject_negative", ROWS, ROWS)
    (rejection,) = answer.rejections
    assert struct.unpack("<2q", rejection.rows) == (1, 4)
    assert (rejection.reason, rejection.error_type) == ("x is negative", "Negative")
    assert answer.table.num_rows == 6
    assert answer.frames[-2:] == ["rejection", "result"]


def test_many_rejections_go_in_frames_that_fit(looking: RawPlugin) -> None:
    rows = pa.table({"x": pa.nulls(2_500_000, pa.int8()).fill_null(1)})
    memory, grant = Memory(4 << 20), Memory(4 << 20)
    with looking.lane() as lane:
        lane.begin(looking.bind("reject_many"), [memory.put(rows)])
        answer = lane.finish(rows, [grant])
    assert [len(r.rows) // 8 for r in answer.rejections] == [1 << 20, 1 << 20, 2_500_000 - (2 << 20), 1]
    assert answer.rejections[-1].error_type == "Twice"
    numbers = b"".join(r.rows for r in answer.rejections[:-1])
    assert numbers == pa.array(range(2_500_000)).buffers()[1].to_pybytes()[: len(numbers)]


def test_logs_progress_and_metrics_come_before_the_result(plugin: RawPlugin) -> None:
    answer = plugin.call("log", ROWS, config={"message": "grüße"})
    (log,), (progress,), (metric,) = answer.logs, answer.progress, answer.metrics
    assert (log.level, log.message) == ("info", "grüße")
    assert dict(log.fields) == {"rows": "3", "step": "test", "key": ""}
    assert (progress.rows_done, progress.rows_total) == (3, 3)
    assert (metric.name, metric.value, metric.unit) == ("seen", 3.0, "rows")
    wait_for(lambda: "out: grüße" in plugin.output and "err: grüße\n" in plugin.errors, "the output")


def test_every_logger_of_a_call_is_heard_and_late_lines_go_to_stderr(looking: RawPlugin) -> None:
    answer = looking.call("slow_log", source=True)
    assert [(log.level, log.message) for log in answer.logs] == [
        ("warning", "from a library"),
        ("error", "from a thread"),
        ("error", "it failed"),
    ]
    assert answer.logs[0].fields["n"] == "1"
    assert "ValueError: inside" in answer.logs[2].fields["stack_trace"]
    assert "bad arguments" in looking.errors
    looking.call("let_log", source=True)
    wait_for(lambda: "warning: after the end late=True\n" in looking.errors, "the late line")


def test_the_context_is_what_the_call_said(plugin: RawPlugin) -> None:
    context = wire.Context(
        run_id="r", workflow="W", step="a.b", attempt=2, idempotency_key="k", deadline_s=1.5
    )
    with plugin.lane() as lane:
        answer = lane.call(plugin.bind("context"), context=context, source=True)
    (row,) = answer.table.to_pylist()
    assert row == {
        "run_id": "r", "workflow": "W", "step": "a.b", "attempt": 2, "idempotency_key": "k", "deadline": 1.5
    }  # fmt: skip
    (row,) = plugin.call("context", source=True).table.to_pylist()
    assert (row["idempotency_key"], row["deadline"]) == (None, None)


def test_relative_paths_start_at_the_programs_folder(looking: RawPlugin) -> None:
    assert looking.call("base", source=True).table.to_pylist() == [{"text": "/base/a.csv"}]


def test_a_failure_names_the_error_and_the_users_lines(plugin: RawPlugin) -> None:
    failure = plugin.call("fail", ROWS, config={"message": "no luck", "transient": True}).failure
    assert failure is not None
    assert (failure.kind, failure.message, failure.error_type, failure.transient) == (
        wire.Failure.STEP, "no luck", "ConformanceError", True
    )  # fmt: skip
    assert failure.stack_trace.count("File ") == 1
    assert "raise ConformanceError(config.message, config.transient)" in failure.stack_trace


def test_user_code_that_exits_does_not_end_the_process(looking: RawPlugin) -> None:
    failure = looking.call("exit", source=True).failure
    assert failure is not None
    assert (failure.message, failure.error_type) == ("it called sys.exit(4)", "SystemExit")
    assert looking.call("pid", source=True).table.to_pylist() == [{"text": str(looking.process.pid)}]


def test_user_code_reads_an_empty_stdin(looking: RawPlugin) -> None:
    assert looking.call("stdin", source=True).table.to_pylist() == [{"text": "''"}]


def test_settings_are_checked_and_named(plugin: RawPlugin) -> None:
    def refused(step: str, config: dict[str, object]) -> str:
        failure = plugin.bind_response(step, config).failure
        assert failure.kind == wire.Failure.CONFIG
        return failure.message

    assert refused("add", {}) == "the setting `amount` (int) is missing"
    assert refused("add", {"amount": "one"}) == "setting `amount`: a string where int is wanted"
    assert refused("add", {"amount": 1, "amont": 2}) == "there is no setting `amont`; there are: `amount`"
    assert refused("identity", {"a": 1}) == "there is no setting `a`; there are: none"
    place = {"flag": True, "count": 1, "name": "n", "place": {"city": "a", "zip": 3}}
    assert refused("settings", place) == "setting `place.zip`: an int where string is wanted"
    assert refused("sink", {}) == "`conformance.sink` needs a resource in its slot `counter` (counter)"


def test_every_kind_of_setting_arrives(plugin: RawPlugin) -> None:
    given = {
        "flag": False, "count": -1, "ratio": 2, "name": "ü", "level": "high", "tags": ["a"],
        "weights": {"w": 1}, "limit": None, "place": {"city": "Ulm"},
    }  # fmt: skip
    (row,) = plugin.call("settings", config=given, source=True).table.to_pylist()
    assert row["json"] == (
        '{"count":-1,"flag":false,"level":"high","limit":null,"name":"\\u00fc",'
        '"place":{"city":"Ulm","zip":""},"ratio":2.0,"tags":["a"],"weights":{"w":1.0}}'
    )


def test_what_has_no_body_or_is_not_there(plugin: RawPlugin) -> None:
    declared = plugin.bind_response("declared").failure
    assert (declared.kind, declared.message) == (
        wire.Failure.UNSUPPORTED, "the step `conformance.declared` is declared but has no body"
    )  # fmt: skip
    assert plugin.bind_response("nothing").failure.kind == wire.Failure.PROTOCOL
    with plugin.lane() as lane:
        failure = lane.call(12345, ROWS).failure
    assert failure is not None
    assert failure.message == "there is no binding 12345 in this process"


def test_a_cancelled_call_ends_with_the_kind_cancelled(plugin: RawPlugin) -> None:
    with plugin.lane() as lane:
        id = lane.begin(plugin.bind("sleep", {"seconds": 600}), [inline(ROWS)])
        wait_for(lambda: plugin.health().calls == 1, "the call")
        plugin.cancel(id)
        failure = lane.finish().failure
    assert failure is not None
    assert (failure.kind, failure.error_type) == (wire.Failure.CANCELLED, "CancelledError")


def test_a_call_may_be_cancelled_before_it_arrives(plugin: RawPlugin) -> None:
    with plugin.lane() as lane:
        binding = plugin.bind("sleep", {"seconds": 600})
        plugin.cancel(lane.next_id())
        lane.begin(binding, [inline(ROWS)])
        failure = lane.finish().failure
    assert failure is not None
    assert failure.kind == wire.Failure.CANCELLED


def test_a_closed_lane_is_a_cancellation(plugin: RawPlugin) -> None:
    with plugin.lane() as lane:
        lane.begin(plugin.bind("sleep", {"seconds": 600}), [inline(ROWS)])
        wait_for(lambda: plugin.health().calls == 1, "the call")
    wait_for(lambda: plugin.health().calls == 0, "the call's end")


def test_an_endless_source_ends_when_it_is_cancelled(looking: RawPlugin) -> None:
    with looking.lane() as lane:
        id = lane.begin(looking.bind("endless"))
        assert lane.frames.receive() is not None
        looking.cancel(id)
        answer = lane.finish()
    assert answer.failure is not None
    assert answer.failure.kind == wire.Failure.CANCELLED
    wait_for(lambda: "endless was closed\n" in looking.errors, "the generator's end")


def test_lanes_are_served_side_by_side(plugin: RawPlugin) -> None:
    with plugin.lane() as slow, plugin.lane() as quick:
        id = slow.begin(plugin.bind("sleep", {"seconds": 600}), [inline(ROWS)])
        for _ in range(3):
            assert quick.call(plugin.bind("identity"), ROWS).table.equals(ROWS)
        plugin.cancel(id)
        assert slow.finish().failure is not None

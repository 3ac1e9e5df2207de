"""A plugin process from its ready line to its end, whatever the end is."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.control import ControlClient
from tests.sdk.raw_client import CONFORMANCE, DEADLINE_S, RawPlugin, conformance, inline, probe, wait_for

ROWS = pa.table({"x": [1, 2]})


@pytest.fixture
def plugin() -> Iterator[RawPlugin]:
    with conformance(declared={"CONFORMANCE_REGION": "north"}) as started:
        yield started


@pytest.fixture
def looking() -> Iterator[RawPlugin]:
    with probe() as started:
        yield started


def test_it_says_who_it_is(plugin: RawPlugin) -> None:
    assert (plugin.hello.protocol, plugin.hello.namespace) == (1, "conformance")
    assert plugin.hello.sdk.startswith("heddle-python ")
    assert list(plugin.hello.environment) == ["CONFORMANCE_REGION"]
    described = plugin.description
    assert (described.namespace, described.version, described.doc) == (
        "conformance", "1.2.3", "What every SDK must do."
    )  # fmt: skip
    assert "schema_of" in [s.name for s in described.steps if s.output_from_config]
    assert [s.name for s in described.steps if not s.runnable] == ["declared"]


def test_declared_variables_come_with_the_description(plugin: RawPlugin) -> None:
    def value(name: str) -> object:
        answer = plugin.call("environment", config={"name": name}, source=True)
        return answer.table["value"][0].as_py()

    assert value("CONFORMANCE_REGION") == "north"
    assert value("HEDDLE_PLUGIN_FOLDER") is None


@pytest.mark.parametrize(
    ("versions", "cure"), [((2, 5), "update the package `heddle`"), ((0, 0), "update Heddle")]
)
def test_no_common_version_says_which_side_to_update(
    plugin: RawPlugin, versions: tuple[int, int], cure: str
) -> None:
    request = wire.HandshakeRequest(protocol_min=versions[0], protocol_max=versions[1], engine_version="9.9")
    hello = plugin.ask(request, wire.HandshakeResponse)
    assert hello.protocol == 0
    assert hello.failure.kind == wire.Failure.PROTOCOL
    assert "the engine (Heddle 9.9) speaks version" in hello.failure.message
    assert cure in hello.failure.message


def test_by_hand_it_shows_what_it_offers() -> None:
    done = subprocess.run(
        [sys.executable, CONFORMANCE], env=_without_folder(), capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("plugin conformance\n")
    assert "step add { amount: int }" in done.stdout


def _without_folder() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "HEDDLE_PLUGIN_FOLDER"}


def _terminated(plugin: RawPlugin) -> None:
    plugin.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("end", [RawPlugin.end_stdin, _terminated])
def test_the_end_closes_resources_and_leaves_nothing(
    plugin: RawPlugin, end: Callable[[RawPlugin], None]
) -> None:
    plugin.open("counter", {"start": 1})
    plugin.open("counter", {"start": 2})
    end(plugin)
    assert plugin.wait() == 0
    assert plugin.errors == "counter closed at 2\ncounter closed at 1\n"
    assert not plugin.folder.exists()


@pytest.mark.parametrize("end", [RawPlugin.end_stdin, _terminated])
def test_a_step_that_hangs_does_not_keep_the_process(
    plugin: RawPlugin, end: Callable[[RawPlugin], None]
) -> None:
    plugin.open("counter", {"start": 7})
    with plugin.lane() as lane:
        lane.begin(plugin.bind("hang"), [inline(ROWS)])
        wait_for(lambda: plugin.health().calls == 1, "the call")
        end(plugin)
        plugin.wait()
    assert "counter closed at 7\n" in plugin.errors
    assert not plugin.folder.exists()


def test_a_resource_that_never_closes_does_not_keep_the_process(looking: RawPlugin) -> None:
    looking.open("door", {"endless": True})
    looking.end_stdin()
    looking.wait()
    assert "closed door\n" in looking.errors
    assert not looking.folder.exists()


def test_a_call_under_way_is_cancelled_at_the_end(plugin: RawPlugin) -> None:
    with plugin.lane() as lane:
        lane.begin(plugin.bind("sleep", {"seconds": 600}), [inline(ROWS)])
        wait_for(lambda: plugin.health().calls == 1, "the call")
        plugin.end_stdin()
        assert plugin.wait() == 0


def test_a_crash_is_the_steps_own_exit_status(plugin: RawPlugin) -> None:
    with plugin.lane() as lane:
        lane.begin(plugin.bind("crash"), [inline(ROWS)])
        assert lane.frames.receive() is None
    assert plugin.wait() == 3


def test_an_interrupt_is_ignored(plugin: RawPlugin) -> None:
    plugin.process.send_signal(signal.SIGINT)
    assert plugin.call("identity", ROWS).table.equals(ROWS)


def test_drain_lets_calls_finish_and_takes_no_more(looking: RawPlugin) -> None:
    looking.open("door", {"name": "first", "stuck": True})
    looking.open("door", {"name": "second"})
    with looking.lane() as lane, looking.lane() as other:
        id = lane.begin(looking.bind("endless"))
        wait_for(lambda: looking.health().calls == 1, "the call")
        drained = looking.ask_later(wire.DrainRequest(), wire.DrainResponse)
        binding = looking.bind("pid")
        wait_for(lambda: other.call(binding, source=True).failure is not None, "the draining")
        refused = other.call(binding, source=True).failure
        looking.cancel(id)
        lane.finish()
        problems = list(drained.result().problems)
    assert refused is not None
    assert refused.message == "the plugin is ending, and takes no more calls"
    assert problems == ["closing the resource `mine` (door): RuntimeError: it is stuck"]
    wait_for(lambda: looking.errors.count("closed ") == 2, "what it printed")
    assert looking.errors.index("closed second") < looking.errors.index("closed first")


def test_health_tells_of_calls_and_sick_resources(looking: RawPlugin) -> None:
    assert looking.health() == wire.HealthResponse()
    looking.open("door", {"sick": True})
    assert list(looking.health().problems) == ["the resource `mine` (door): OSError: no pulse"]


def test_resources_say_how_they_are(plugin: RawPlugin) -> None:
    def problem(start: int) -> str:
        id = plugin.open("counter", {"start": start}).resource_id
        request = wire.CheckResourceRequest(resource_id=id)
        return plugin.ask(request, wire.CheckResourceResponse).problem

    assert problem(0) == ""
    assert problem(-1) == "the counter is negative"


def test_resources_that_do_not_open(plugin: RawPlugin) -> None:
    failure = plugin.open("counter", {"fail": True}).failure
    assert (failure.kind, failure.message, failure.error_type, failure.transient) == (
        wire.Failure.STEP, "the counter is broken", "CounterBroken", True
    )  # fmt: skip
    failure = plugin.open("counter", {"start": "secret text"}).failure
    assert (failure.kind, failure.message) == (
        wire.Failure.CONFIG, "setting `start`: a string where int is wanted"
    )  # fmt: skip
    assert plugin.open("nothing").failure.message == "the module `conformance` has no resource `nothing`"


def test_closing_a_resource_tells_what_that_raised(looking: RawPlugin) -> None:
    id = looking.open("door", {"stuck": True}).resource_id
    request = wire.CloseResourceRequest(resource_id=id)
    assert looking.ask(request, wire.CloseResourceResponse).failure.message == "it is stuck"
    again = looking.ask(request, wire.CloseResourceResponse).failure
    assert again.message == f"there is no resource {id} in this process"


def test_slots_bring_their_resources(looking: RawPlugin) -> None:
    front = looking.open("door", {"name": "front"}).resource_id
    back = looking.open("door", {"name": "back"}).resource_id
    with looking.lane() as lane:
        answer = lane.call(looking.bind("use", front=front, back=back), source=True)
    assert answer.table.to_pylist() == [{"text": "front+back"}]


def test_a_resource_that_nothing_uses_is_closed_after_its_lease(looking: RawPlugin) -> None:
    leased = looking.open("door", {"name": "leased"}, lease_s=3.0).resource_id
    lasting = looking.open("door", {"name": "lasting"}).resource_id
    binding = looking.bind("use", front=leased, back=lasting)
    with looking.lane() as lane:
        wait_for(lambda: "closed leased\n" in looking.errors, "the end of the lease")
        failure = lane.call(binding, source=True).failure
    assert failure is not None
    assert (failure.kind, failure.message) == (
        wire.Failure.EXPIRED, "the resource `mine` was closed, because nothing used it for 3 s"
    )  # fmt: skip
    check = looking.ask(wire.CheckResourceRequest(resource_id=leased), wire.CheckResourceResponse)
    assert check.failure.kind == wire.Failure.EXPIRED
    assert looking.bind_response("use", front=leased, back=lasting).failure.kind == wire.Failure.EXPIRED
    looking.ask(wire.CloseResourceRequest(resource_id=leased), wire.CloseResourceResponse)
    assert looking.errors.count("closed leased") == 1
    assert "closed lasting" not in looking.errors


def _garbage(size: int) -> bytes:
    return struct.pack("<I", size) + os.urandom(size)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack("<I", (16 << 20) + 1), "16777217 bytes was announced; 16777216 are allowed"),
        (struct.pack("<I", 3) + b"\xff\xff\xff", "a frame is not what the protocol says"),
        (struct.pack("<I", 100) + b"\x00", "closed inside a frame"),
        (struct.pack("<I", 0), "a frame of the kind None outside of a call"),
        (struct.pack("<I", 2) + wire.EngineFrame(end=wire.EndInput()).SerializeToString(), "the kind end"),
    ],
)
def test_a_frame_that_must_not_be_ends_only_its_lane(looking: RawPlugin, data: bytes, message: str) -> None:
    with looking.lane() as lane:
        lane.connection.sendall(data)
        lane.connection.shutdown(socket.SHUT_WR)
        assert lane.connection.recv(1) == b""
    wait_for(lambda: message in looking.errors, "the message")
    assert looking.call("pid", source=True).table.num_rows == 1


def test_garbage_never_ends_the_process(looking: RawPlugin) -> None:
    call = wire.EngineFrame(
        call=wire.Call(call_id=99, binding_id=looking.bind("where"), has_input=True, batch=inline(ROWS))
    ).SerializeToString()
    for size in range(0, 400, 7):
        with looking.lane() as lane:
            lane.connection.sendall(struct.pack("<I", len(call)) + call + _garbage(size))
            lane.connection.shutdown(socket.SHUT_WR)
            while lane.connection.recv(4096):
                pass
    assert looking.process.poll() is None
    assert looking.call("pid", source=True).table.num_rows == 1


def test_broken_arrow_data_never_ends_the_process(looking: RawPlugin) -> None:
    good = inline(pa.table({"x": [1, 2, 3], "s": ["a", "b", None]})).inline
    binding = looking.bind("where")
    with looking.lane() as lane:
        for place in range(0, len(good), 3):
            broken = bytearray(good)
            broken[place] ^= 0xFF
            lane.begin(binding, [wire.Batch(inline=bytes(broken))])
            lane.finish()
        for end in range(0, len(good), 5):
            lane.begin(binding, [wire.Batch(inline=good[:end])])
            lane.finish()
        assert lane.call(looking.bind("pid"), source=True).failure is None


def test_the_frames_limit_is_the_engines(looking: RawPlugin) -> None:
    with probe(frame_bytes_max=1 << 20) as small, small.lane() as lane:
        answer = lane.call(small.bind("several"), pa.table({"b": [b"x" * 1000] * 500}))
        assert len(answer.batches) == 3
        lane.connection.sendall(struct.pack("<I", (1 << 20) + 1))
        assert lane.frames.receive() is None


def test_columns_are_inferred_from_settings(looking: RawPlugin) -> None:
    from heddle.core.types import Column, RowType
    from heddle.core.wire.description import decode_row, encode_row

    def inferred(step: str, config: dict[str, object]) -> wire.InferSchemaResponse:
        input = RowType((Column("a", pa.int64(), False),), open=True)
        request = wire.InferSchemaRequest(binding_id=looking.bind(step, config), input=encode_row(input))
        return looking.ask(request, wire.InferSchemaResponse)

    assert str(decode_row(inferred("columns", {"name": "n"}).output)) == "{a: string, n: int}"
    assert str(decode_row(inferred("schema", {"name": "n"}).output)) == "{n: int8}"
    wrong = inferred("columns", {"name": "n", "kind": "integer"}).failure
    assert "integer" in wrong.message
    assert (
        "infer= returned int; it returns a Table class"
        in inferred("no_columns", {"name": "n"}).failure.message
    )
    request = wire.InferSchemaRequest(binding_id=looking.bind("pid"), input=encode_row(RowType(())))
    assert looking.ask(request, wire.InferSchemaResponse).failure.kind == wire.Failure.UNSUPPORTED


def test_the_control_channel_survives_what_is_no_request(looking: RawPlugin) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(looking.folder / "control.sock"))
        raw.sendall(os.urandom(4096))
    client = ControlClient(str(looking.folder / "control.sock"))
    assert client.call(wire.HealthRequest(), wire.HealthResponse, DEADLINE_S).calls == 0
    client.close()

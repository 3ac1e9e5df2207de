"""The bounded channel: order, back-pressure, errors, closing and cancellation."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from heddle.errors import Cancelled
from heddle.physical.cancel import CancelToken
from heddle.physical.channel import Channel, ChannelClosed

DEADLINE_S = 60.0
ROOMY = 1 << 20


def batch(value: int) -> pa.RecordBatch:
    return pa.record_batch({"n": [value]})


def values(channel: Channel) -> list[int]:
    return [b.column(0)[0].as_py() for b in channel]


def test_batches_arrive_in_order_and_end_with_the_last_producer() -> None:
    channel = Channel(CancelToken(), bytes_max=ROOMY, producers=2)
    channel.put(batch(1))
    channel.put(batch(2))
    channel.finish()
    channel.finish()
    assert values(channel) == [1, 2]


def test_an_error_arrives_after_the_batches_before_it() -> None:
    channel = Channel(CancelToken(), bytes_max=ROOMY)
    channel.put(batch(1))
    channel.finish(ValueError("broken"))
    seen: list[int] = []
    with pytest.raises(ValueError, match="broken"):
        seen.extend(b.column(0)[0].as_py() for b in channel)
    rest = Channel(CancelToken(), bytes_max=ROOMY)
    rest.put(batch(7))
    rest.finish(ValueError("late"))
    reader = iter(rest)
    assert next(reader).column(0)[0].as_py() == 7


def test_a_full_channel_holds_its_producer_until_a_batch_is_taken() -> None:
    channel = Channel(CancelToken(), bytes_max=ROOMY, batches_max=2)
    third_is_in = threading.Event()

    def produce() -> None:
        for value in range(3):
            channel.put(batch(value))
        third_is_in.set()
        channel.finish()

    producer = threading.Thread(target=produce)
    producer.start()
    reader = iter(channel)
    assert not third_is_in.wait(0.05)
    next(reader)
    assert third_is_in.wait(DEADLINE_S)
    assert len(list(reader)) == 2
    producer.join()


def test_one_batch_above_the_byte_limit_still_passes() -> None:
    channel = Channel(CancelToken(), bytes_max=1)
    channel.put(batch(1))
    channel.finish()
    assert values(channel) == [1]


def test_closing_releases_a_waiting_producer() -> None:
    channel = Channel(CancelToken(), bytes_max=ROOMY, batches_max=1)
    channel.put(batch(1))
    stopped = threading.Event()

    def produce() -> None:
        with pytest.raises(ChannelClosed):
            channel.put(batch(2))
        stopped.set()

    producer = threading.Thread(target=produce)
    producer.start()
    channel.close()
    assert stopped.wait(DEADLINE_S)
    producer.join()


@pytest.mark.parametrize("side", ["producer", "consumer"])
def test_cancelling_wakes_whoever_waits(side: str) -> None:
    cancel = CancelToken()
    channel = Channel(cancel, bytes_max=ROOMY, batches_max=1)
    if side == "producer":
        channel.put(batch(1))
    woken = threading.Event()

    def wait() -> None:
        with pytest.raises(Cancelled):
            channel.put(batch(2)) if side == "producer" else next(iter(channel))
        woken.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    cancel.cancel()
    assert woken.wait(DEADLINE_S)
    waiter.join()

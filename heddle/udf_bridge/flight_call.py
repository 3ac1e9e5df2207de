"""One call to a gateway: rows go out as the batches of a `DoExchange`, rows come back, and what is told
between as the stream's metadata.

The gateway keeps the call's deadline and hears of a cancellation; an answer that does not come even then is
given up by this side.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import pyarrow as pa
from google.protobuf.message import DecodeError
from pyarrow import flight

from heddle.core.record import record
from heddle.core.step import RejectedRows
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.lanes import LaneError
from heddle.core.wire.payload import payloads
from heddle.core.wire.reports import decode_rejected, decode_report
from heddle.udf_bridge.lane_call import (
    CANCEL_GRACE_S,
    LeaseExpiredError,
    PluginLostError,
    encode_context,
    step_failure,
)
from heddle.udf_bridge.transport import CallContext, Reporter, StepFailure

BATCH_BYTES_MAX: Final = 16 << 20
ANSWER_GRACE_S: Final = CANCEL_GRACE_S + 3.0
"""How long after its deadline, or its cancellation, a call may take to be answered."""


@record(frozen=True, slots=True)
class ExchangeOptions:
    """`cancel` tells the gateway of a call's cancellation."""

    url: str
    headers: Sequence[tuple[bytes, bytes]]
    cancel: Callable[[int], None]


class FlightCall:
    """Use it once: `run` gives the output."""

    def __init__(
        self, client: Any, options: ExchangeOptions, call_id: int, context: CallContext, report: Reporter
    ) -> None:
        self._client = client
        self._options = options
        self._id = call_id
        self._context = context
        self._report = report
        self._lock = threading.Lock()
        self._reader: Any = None
        self._given_up = False
        self._ended = False
        self._timer: threading.Timer | None = None

    def run(self, binding_id: int, input: pa.Table | None, refused: list[RejectedRows]) -> Iterator[pa.Table]:
        """Raises `StepFailure`, `PluginLostError`, `LeaseExpiredError`."""
        forget = self._context.on_cancel(self._cancel)
        try:
            writer, reader = self._begun(binding_id, input is not None)
            try:
                if input is not None:
                    _send(writer, input)
                writer.done_writing()
                yield from self._output(reader, refused)
            finally:
                self._finish(reader, writer)
        except flight.FlightTimedOutError as error:
            raise StepFailure(
                f"no answer within {self._context.deadline_s or 0:g} s", "Timeout", "", transient=True
            ) from error
        except (flight.FlightError, pa.ArrowException, OSError) as error:
            raise lost_gateway(self._options.url, error) from error
        except (LaneError, DecodeError) as error:
            raise PluginLostError(f"{self._options.url} sent what cannot be read") from error
        finally:
            forget()
            if self._timer is not None:
                self._timer.cancel()

    def give_up(self) -> None:
        """End the exchange without the gateway. From any thread."""
        with self._lock:
            self._given_up = True
            if self._reader is not None and not self._ended:
                self._reader.cancel()

    def _begun(self, binding_id: int, has_input: bool) -> tuple[Any, Any]:
        context = self._context
        call = wire.Call(
            call_id=self._id,
            binding_id=binding_id,
            context=encode_context(context),
            has_input=has_input,
        )
        limit_s = context.deadline_s + ANSWER_GRACE_S if context.deadline_s is not None else None
        writer, reader = self._client.do_exchange(
            flight.FlightDescriptor.for_command(call.SerializeToString()),
            flight.FlightCallOptions(timeout=limit_s, headers=list(self._options.headers)),
        )
        with self._lock:
            self._reader = reader
            if self._given_up:
                reader.cancel()
        return writer, reader

    def _output(self, reader: Any, refused: list[RejectedRows]) -> Iterator[pa.Table]:
        for chunk in _chunks(reader):
            if chunk.data is not None:
                yield pa.Table.from_batches([chunk.data])
            if chunk.app_metadata is None:
                continue
            frame = wire.PluginFrame.FromString(chunk.app_metadata.to_pybytes())
            match frame.WhichOneof("kind"):
                case "rejection":
                    refused.append(decode_rejected(frame.rejection))
                case "result":
                    self._ended = True
                    _raise_failure(frame.result)
                    return
                case kind:
                    told = decode_report(frame)
                    if told is None:
                        raise LaneError(f"a frame of the kind {kind}, which is not known here")
                    self._report(told)
        raise PluginLostError(f"{self._options.url} ended the call without a result")

    def _cancel(self) -> None:
        """Ask the gateway to end the call; when it does not, end the exchange. From any thread."""
        with self._lock:
            if self._ended or self._timer is not None:
                return
            self._timer = threading.Timer(ANSWER_GRACE_S, self.give_up)
            self._timer.daemon = True
            self._timer.start()
        try:
            self._options.cancel(self._id)
        except (StepFailure, PluginLostError):
            self.give_up()

    def _finish(self, reader: Any, writer: Any) -> None:
        """Also for a consumer that stopped reading: the gateway sees that nobody is there any more."""
        with self._lock:
            if not self._ended:
                reader.cancel()
            self._ended = True
        with suppress(flight.FlightError, pa.ArrowException, OSError):
            writer.close()


def lost_gateway(url: str, error: Exception) -> PluginLostError:
    """What a broken connection means, in words for people."""
    text = str(error)
    if "wrong version number" in text.lower():
        return PluginLostError(f"{url} does not speak TLS: write `grpc://` in heddle.toml")
    if "certificate" in text.lower() or "handshake" in text.lower():
        return PluginLostError(
            f"the certificate of {url} is not trusted here: name a PEM file as `authority` in heddle.toml"
        )
    if isinstance(error, flight.FlightTimedOutError):
        return PluginLostError(f"{url} does not answer")
    if "failed to connect" in text:
        return PluginLostError(f"{url} cannot be reached")
    if isinstance(error, flight.FlightServerError):
        return PluginLostError(f"{url} could not carry out the call")
    return PluginLostError(f"the connection to {url} was lost")


def _send(writer: Any, table: pa.Table) -> None:
    writer.begin(table.schema)
    for part in payloads(table, BATCH_BYTES_MAX):
        for batch in part.batches:
            writer.write_batch(batch)


def _chunks(reader: Any) -> Iterator[Any]:
    while True:
        try:
            chunk = reader.read_chunk()
        except StopIteration:
            return
        yield chunk


def _raise_failure(result: wire.Result) -> None:
    if result.HasField("failure"):
        if result.failure.kind == wire.Failure.EXPIRED:
            raise LeaseExpiredError(result.failure.message)
        raise step_failure(result.failure)

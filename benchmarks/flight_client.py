"""What `benchmarks.flightsql` asks servers with: pyarrow's client and the messages of Flight SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any as Value
from typing import Self

import grpc
import pyarrow as pa
import pyarrow.flight
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql

HEALTH = "/grpc.health.v1.Health/Check"
Ingest = sql.CommandStatementIngest


class Client:
    def __init__(self, uri: str, headers: Mapping[bytes, bytes] | None = None) -> None:
        alone = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        self._client = pa.flight.connect(uri, generic_options=alone)
        self._options = pa.flight.FlightCallOptions(headers=list((headers or {}).items()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def start(self, text: str) -> pa.flight.FlightInfo:
        descriptor = _descriptor(sql.CommandStatementQuery(query=text))
        return self._client.get_flight_info(descriptor, self._options)

    def stream(self, info: pa.flight.FlightInfo) -> pa.flight.FlightStreamReader:
        (endpoint,) = info.endpoints
        return self._client.do_get(endpoint.ticket, self._options)

    def ask(self, text: str) -> pa.Table:
        return self.stream(self.start(text)).read_all()

    def read(self, text: str) -> int:
        """How many bytes the answer has; its batches are forgotten as they come."""
        return sum(chunk.data.nbytes for chunk in self.stream(self.start(text)))

    def ingest(self, table: str, rows: pa.Table, batch_rows: int) -> int:
        """Puts the rows into the table in place of what it has. Gives how many the server counts."""
        options = Ingest.TableDefinitionOptions(
            if_not_exist=Ingest.TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_CREATE,
            if_exists=Ingest.TableDefinitionOptions.TABLE_EXISTS_OPTION_REPLACE,
        )
        answer = self.put(Ingest(table_definition_options=options, table=table), rows, batch_rows)
        return sql.DoPutUpdateResult.FromString(answer).record_count

    def put(self, command: Message, rows: pa.Table, batch_rows: int) -> bytes:
        """What the server says at the end, if it says something."""
        writer, replies = self._client.do_put(_descriptor(command), rows.schema, self._options)
        with writer:
            writer.write_table(rows, batch_rows)
            writer.done_writing()
            said = replies.read()
        return said.to_pybytes() if said is not None else b""

    def cancel(self, info: pa.flight.FlightInfo) -> None:
        request = flight.CancelFlightInfoRequest(info=flight.FlightInfo.FromString(info.serialize()))
        action = pa.flight.Action("CancelFlightInfo", request.SerializeToString())
        list(self._client.do_action(action, self._options))

    def open_session(self) -> None:
        """Asks for a session with a setting, as clients do that name a catalog."""
        request = flight.SetSessionOptionsRequest()
        request.session_options["timeout"].string_value = "60s"
        list(self._client.do_action(("SetSessionOptions", request.SerializeToString()), self._options))


def health_check(channel: grpc.Channel) -> None:
    """One check of the server's health, as load balancers make them."""
    channel.unary_unary(HEALTH)(b"", timeout=10)


def _descriptor(command: Message) -> Value:
    packed = Any()
    packed.Pack(command)
    return pa.flight.FlightDescriptor.for_command(packed.SerializeToString())

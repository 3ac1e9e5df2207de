"""What several tests of the server send."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest

from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.clients.raw import Raw, unpack

UNENDING = "SELECT a.v AS a, b.v AS b FROM Shop.numbers a JOIN Shop.numbers b ON a.k = b.k"
"""Four thousand million rows: nobody reads it to its end."""


def query(text: str) -> sql.CommandStatementQuery:
    return sql.CommandStatementQuery(query=text)


def ticket(info: flight.FlightInfo, endpoint: int = 0) -> bytes:
    return info.endpoint[endpoint].ticket.SerializeToString()


def prepare(raw: Raw, text: str) -> sql.ActionCreatePreparedStatementResult:
    (body,) = raw.act("CreatePreparedStatement", sql.ActionCreatePreparedStatementRequest(query=text))
    made = sql.ActionCreatePreparedStatementResult()
    unpack(body, made)
    return made


def set_options(raw: Raw, **options: str | int | None) -> dict[str, int]:
    """What was wrong with each. None: back to the default."""
    request = flight.SetSessionOptionsRequest()
    for name, value in options.items():
        match value:
            case str():
                request.session_options[name].string_value = value
            case int():
                request.session_options[name].int64_value = value
            case None:
                request.session_options[name].SetInParent()
    (body,) = raw.act("SetSessionOptions", request, packed=False)
    errors = flight.SetSessionOptionsResult.FromString(body).errors
    return {name: error.value for name, error in errors.items()}


def options_of(raw: Raw) -> dict[str, object]:
    (body,) = raw.act("GetSessionOptions", flight.GetSessionOptionsRequest(), packed=False)
    found = flight.GetSessionOptionsResult.FromString(body).session_options
    return {name: getattr(value, value.WhichOneof("option_value")) for name, value in found.items()}


def close_session(raw: Raw) -> int:
    (body,) = raw.act("CloseSession", flight.CloseSessionRequest(), packed=False)
    return flight.CloseSessionResult.FromString(body).status


def refused(ask: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        ask()
    return caught.value

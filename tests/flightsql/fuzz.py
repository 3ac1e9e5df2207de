"""Random requests to a Flight SQL server: noise, packed noise, and right requests with bytes changed.

`python -m tests.flightsql.fuzz URI [--cases 100000] [--seed 1]` sends them to a server that runs, and prints
how many were answered with each status. A request is made of the seed and its number alone, so that one that
does harm can be sent again: `--first N --cases 1`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

import grpc
import pyarrow as pa
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.clients.raw import (
    METHODS,
    TYPE_PREFIX,
    Headers,
    Raw,
    descriptor,
    pack,
    put_requests,
)

CODES = grpc.StatusCode
RIGHT: Final = frozenset(
    {
        *(CODES.OK, CODES.INVALID_ARGUMENT, CODES.NOT_FOUND, CODES.UNIMPLEMENTED, CODES.PERMISSION_DENIED),
        *(CODES.ALREADY_EXISTS, CODES.RESOURCE_EXHAUSTED, CODES.UNAUTHENTICATED, CODES.FAILED_PRECONDITION),
    }
)
"""What a wrong request may be answered with. UNKNOWN and INTERNAL would be a mistake of the server."""
TRACES: Final = ("Traceback", 'File "', ".py", "/work", "/tmp", "/home", "site-packages", " at 0x")
TEXTS: Final = (
    "SELECT 1",
    "SELECT ?",
    "SELECT * FROM nowhere",
    "DELETE FROM nowhere",
    "\0",
    "SELECT '\ud7ff",
)
PAYLOAD_BYTES_MAX: Final = 200
FLIGHT_ACTIONS: Final = (
    flight.CancelFlightInfoRequest(),
    flight.RenewFlightEndpointRequest(),
    flight.SetSessionOptionsRequest(),
    flight.GetSessionOptionsRequest(),
    flight.CloseSessionRequest(),
)
SQL_ACTIONS: Final = (
    sql.ActionCreatePreparedStatementRequest(query="SELECT ?"),
    sql.ActionCreatePreparedSubstraitPlanRequest(plan=sql.SubstraitPlan(plan=b"\x12\x00", version="0.53.0")),
    sql.ActionClosePreparedStatementRequest(prepared_statement_handle=b"handle"),
    sql.ActionBeginTransactionRequest(),
    sql.ActionEndTransactionRequest(transaction_id=b"transaction", action=1),
    sql.ActionBeginSavepointRequest(transaction_id=b"transaction", name="s"),
    sql.ActionEndSavepointRequest(savepoint_id=b"savepoint", action=1),
    sql.ActionCancelQueryRequest(info=flight.FlightInfo().SerializeToString()),
)
COMMANDS: Final = (
    sql.CommandStatementQuery(query="SELECT 1", transaction_id=b"transaction"),
    sql.CommandStatementUpdate(query="DELETE FROM nowhere"),
    sql.CommandStatementSubstraitPlan(plan=sql.SubstraitPlan(plan=b"\x12\x00", version="0.53.0")),
    sql.CommandStatementIngest(table="fuzzed", schema="scratch", temporary=True),
    sql.CommandPreparedStatementQuery(prepared_statement_handle=b"handle"),
    sql.CommandPreparedStatementUpdate(prepared_statement_handle=b"handle"),
    sql.CommandGetCatalogs(),
    sql.CommandGetDbSchemas(catalog="heddle", db_schema_filter_pattern="%"),
    sql.CommandGetTables(table_name_filter_pattern="_%", table_types=["VIEW"], include_schema=True),
    sql.CommandGetTableTypes(),
    sql.CommandGetPrimaryKeys(table="nowhere"),
    sql.CommandGetExportedKeys(table="nowhere"),
    sql.CommandGetImportedKeys(table="nowhere"),
    sql.CommandGetCrossReference(pk_table="nowhere", fk_table="nowhere"),
    sql.CommandGetXdbcTypeInfo(data_type=12),
    sql.CommandGetSqlInfo(info=[0, 1, 500]),
    sql.TicketStatementQuery(statement_handle=b"handle"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """`requests` is one message, or all of a stream."""

    method: str
    requests: tuple[bytes, ...]
    headers: Headers = ()


def cases(seed: int, first: int, count: int) -> Iterator[Case]:
    for number in range(first, first + count):
        random = Random(f"{seed} {number}")
        case = _case(random)
        yield replace(case, headers=_headers(random)) if random.random() < 0.1 else case


def send(raw: Raw, case: Case) -> tuple[grpc.StatusCode, str]:
    try:
        raw.send(case.method, *case.requests, headers=case.headers)
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return CODES.OK, ""


def complaint(code: grpc.StatusCode, said: str) -> str | None:
    """What is wrong with an answer."""
    if code not in RIGHT:
        return f"the status is {code.name}: {said}"
    shown = [trace for trace in TRACES if trace in said]
    return f"it shows {shown}: {said}" if shown else None


def _case(random: Random) -> Case:
    method = random.choice(METHODS)
    if random.random() < 0.2:
        return Case(method, tuple(_noise(random) for _ in range(_length(random, method))))
    requests = _MAKERS[method](random)
    if random.random() < 0.6:
        place = random.randrange(len(requests))
        requests = (*requests[:place], _changed(random, requests[place]), *requests[place + 1 :])
    return Case(method, requests)


def _headers(random: Random) -> Headers:
    """Who asks, in ways that nobody does."""
    text = "".join(chr(random.randrange(32, 127)) for _ in range(random.randrange(PAYLOAD_BYTES_MAX)))
    scheme = random.choice(("", "Basic ", "Bearer ", "basic", "Bearer None", "Basic Og=="))
    name = random.choice(("authorization", "cookie", "cookie", "x-unknown"))
    return ((name, f"heddle_session={text}" if name == "cookie" else scheme + text),)


def _length(random: Random, method: str) -> int:
    return random.randrange(1, 4) if method in {"Handshake", "DoPut", "DoExchange"} else 1


def _noise(random: Random) -> bytes:
    return random.randbytes(random.randrange(PAYLOAD_BYTES_MAX))


def _changed(random: Random, content: bytes) -> bytes:
    """Some bytes flipped, cut off, put in or said twice."""
    found = bytearray(content)
    for _ in range(random.randrange(1, 4)):
        place = random.randrange(len(found) + 1)
        match random.randrange(4):
            case 0 if place < len(found):
                found[place] ^= 1 << random.randrange(8)
            case 1:
                del found[place:]
            case 2:
                found[place:place] = random.randbytes(random.randrange(1, 9))
            case _:
                found[place:place] = found[: random.randrange(len(found) + 1)]
    return bytes(found)


def _packed(random: Random, message: Message) -> bytes:
    """The message in an Any; at times with noise in its place, or under another name."""
    packed = Any.FromString(pack(message))
    if random.random() < 0.2:
        packed.value = _noise(random)
    if random.random() < 0.2:
        kinds = (*COMMANDS, *SQL_ACTIONS)
        packed.type_url = TYPE_PREFIX + random.choice(kinds).DESCRIPTOR.name
    if random.random() < 0.05:
        packed.type_url = random.choice(("", "type.googleapis.com/", TYPE_PREFIX, "file:///etc/passwd"))
    return packed.SerializeToString()


def _command(random: Random) -> bytes:
    message = random.choice(COMMANDS)
    if isinstance(message, sql.CommandStatementQuery | sql.CommandStatementUpdate):
        message = type(message)(query=random.choice(TEXTS))
    return _packed(random, message)


def _described(random: Random) -> tuple[bytes, ...]:
    return (descriptor(_command(random)),)


def _ticket(random: Random) -> tuple[bytes, ...]:
    return (flight.Ticket(ticket=_command(random)).SerializeToString(),)


def _action(random: Random) -> tuple[bytes, ...]:
    if random.random() < 0.4:
        message: Message = random.choice(FLIGHT_ACTIONS)
        body = message.SerializeToString() or _noise(random)
    else:
        message = random.choice(SQL_ACTIONS)
        body = _packed(random, message)
    name = message.DESCRIPTOR.name.removeprefix("Action").removesuffix("Request")
    return (flight.Action(type=name, body=body).SerializeToString(),)


def _put(random: Random) -> tuple[bytes, ...]:
    """A stream of rows; its parts may change places."""
    rows = pa.table({"id": [1, 2], "name": ["a", None]})
    if random.random() < 0.3:
        rows = rows.append_column("kind", pa.array(["x", "y"]).dictionary_encode())
    requests = list(put_requests(random.choice(COMMANDS), rows))
    if random.random() < 0.2:
        random.shuffle(requests)
    return tuple(requests[: random.randrange(1, len(requests) + 1)])


def _handshake(random: Random) -> tuple[bytes, ...]:
    payload = flight.BasicAuth(username="u", password="p").SerializeToString()
    return tuple(
        flight.HandshakeRequest(payload=payload).SerializeToString() for _ in range(random.randrange(1, 3))
    )


def _criteria(random: Random) -> tuple[bytes, ...]:
    return (flight.Criteria(expression=_noise(random)).SerializeToString(),)


def _nothing(random: Random) -> tuple[bytes, ...]:
    return (b"",)


_MAKERS: Final[dict[str, Callable[[Random], tuple[bytes, ...]]]] = {
    "GetFlightInfo": _described,
    "PollFlightInfo": _described,
    "GetSchema": _described,
    "DoGet": _ticket,
    "DoAction": _action,
    "DoPut": _put,
    "DoExchange": _put,
    "Handshake": _handshake,
    "ListFlights": _criteria,
    "ListActions": _nothing,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("uri")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    counted: Counter[str] = Counter()
    wrong = 0
    with Raw(options.uri) as raw:
        for number, case in enumerate(cases(options.seed, options.first, options.cases), options.first):
            code, said = send(raw, case)
            counted[code.name] += 1
            if problem := complaint(code, said):
                wrong += 1
                print(f"{number}: {case.method}: {problem}")
    print(", ".join(f"{name} {count:,}" for name, count in counted.most_common()))
    if wrong:
        raise SystemExit(f"{wrong} answers are wrong")


if __name__ == "__main__":
    main()

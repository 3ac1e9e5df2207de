"""Commands as they travel: messages of Flight SQL in google.protobuf.Any."""

from __future__ import annotations

from typing import Final, TypeVar

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import DecodeError, Message

from heddle.database.errors import QueryError
from heddle.flightsql.wire import flight_sql_pb2 as sql

PREFIX: Final = "type.googleapis.com/"
_PACKAGE: Final = "arrow.flight.protocol.sql."

METADATA: Final = (
    sql.CommandGetSqlInfo,
    sql.CommandGetXdbcTypeInfo,
    sql.CommandGetCatalogs,
    sql.CommandGetDbSchemas,
    sql.CommandGetTables,
    sql.CommandGetTableTypes,
    sql.CommandGetPrimaryKeys,
    sql.CommandGetExportedKeys,
    sql.CommandGetImportedKeys,
    sql.CommandGetCrossReference,
)
_KNOWN: Final[dict[str, type[Message]]] = {
    f"{PREFIX}{kind.DESCRIPTOR.full_name}": kind
    for kind in (
        *METADATA,
        sql.CommandStatementQuery,
        sql.CommandStatementUpdate,
        sql.CommandStatementSubstraitPlan,
        sql.CommandStatementIngest,
        sql.CommandPreparedStatementQuery,
        sql.CommandPreparedStatementUpdate,
        sql.TicketStatementQuery,
        sql.ActionCreatePreparedStatementRequest,
        sql.ActionCreatePreparedSubstraitPlanRequest,
        sql.ActionClosePreparedStatementRequest,
        sql.ActionBeginTransactionRequest,
        sql.ActionEndTransactionRequest,
        sql.ActionBeginSavepointRequest,
        sql.ActionEndSavepointRequest,
        sql.ActionCancelQueryRequest,
    )
}
COMMAND_BYTES_MAX: Final = 16 << 20

M = TypeVar("M", bound=Message)


def unpack(encoded: bytes) -> Message:
    """Raises `QueryError`: invalid for what is no command, unsupported for one that is not known."""
    packed = parse(Packed, encoded, "the command")
    kind = _KNOWN.get(packed.type_url)
    if kind is not None:
        return parse(kind, packed.value, f"the command {kind.DESCRIPTOR.name}")
    if packed.type_url.startswith(PREFIX + _PACKAGE):
        name = packed.type_url.removeprefix(PREFIX + _PACKAGE)
        raise QueryError("unsupported", f"the command `{name[:80]}` is not supported")
    raise QueryError("invalid", "the command is none of Flight SQL")


def pack(message: Message) -> bytes:
    packed = Packed()
    packed.Pack(message)
    return packed.SerializeToString()


def parse(kind: type[M], encoded: bytes, what: str) -> M:
    if len(encoded) > COMMAND_BYTES_MAX:
        raise QueryError("exhausted", f"{what} is larger than {COMMAND_BYTES_MAX >> 20} MiB")
    try:
        return kind.FromString(encoded)
    except DecodeError as error:
        raise QueryError("invalid", f"{what} cannot be read") from error


def name_of(encoded: bytes) -> str:
    """For logs: what kind of command it is, whatever else it holds."""
    try:
        packed = Packed.FromString(encoded[:COMMAND_BYTES_MAX])
    except DecodeError:
        return "?"
    known = _KNOWN.get(packed.type_url)
    return known.DESCRIPTOR.name if known is not None else "?"

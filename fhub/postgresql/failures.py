"""What the driver raises, in plain words: what failed, the server's own message with its SQLSTATE, a cure.

Neither a password nor a connection string is in any of them. What another attempt may cure is `Transient`.
"""

from __future__ import annotations

import re
from typing import Final

from heddle.sdk import Transient


class PostgresqlError(Exception):
    """`sqlstate` is the server's code, empty where the failure is not the server's."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class PostgresqlUnavailable(PostgresqlError, Transient):
    """The server could not do it this time: it is down, full or busy, or two transactions collided."""


class ConnectionLost(PostgresqlUnavailable):
    """The connection ended in the midst of the work."""


_TRANSIENT: Final = ("08", "40001", "40P01", "53", "57P01", "57P02", "57P03", "55P03")
_CURES: Final = {
    "22001": "shorten the value, or widen the column",
    "22003": "the value is too large or too small for the column's type",
    "22021": "PostgreSQL's texts hold no NUL characters; remove them before",
    "22P02": "a text is no value of the type that is wanted there",
    "22008": "write dates as 2024-05-31",
    "23502": "give the column a value for every row",
    "23505": "a row with this key is there already; `upsert` replaces it",
    "23503": "write the row that it refers to first",
    "23514": "look at the table's CHECK constraints",
    "25006": "what `query` and `table` read cannot change data; use `execute` for that",
    "28000": "check `user`, `database` and `sslmode`, and the server's pg_hba.conf",
    "28P01": "check `user` and `password`",
    "3D000": "check `database`",
    "3F000": "check the schema's name",
    "42501": "GRANT the user the right to it",
    "42601": "correct the statement",
    "42703": "check the column's name; names with capitals need double quotes",
    "42725": "say which type a parameter has: `@name::int`",
    "42883": "a cast may be missing, such as `::text`",
    "42P01": "check the table's name and its schema; names with capitals need double quotes",
    "42P10": "`key` must name the columns of a primary key or of another unique constraint",
    "42P18": "say which type the parameter has: `@name::int`",
    "53300": "the server has no connections left; raise its max_connections, or run less at once",
    "55P03": "another transaction holds the lock",
    "57014": "raise `statement_timeout` of the connection, or ask for less",
}
_LOST: Final = (
    "server closed the connection unexpectedly",
    "no connection to the server",
    "terminating connection",
    "could not receive data from server",
    "could not send data to server",
    "connection not open",
    "SSL connection has been closed unexpectedly",
    "SSL SYSCALL error",
)
_FULL: Final = "the server has no connections left; raise its max_connections, or run less at once"
_AGAIN: Final = "it will be there in a moment"
_NETWORK: Final = "check `host`, `port` and the network"
_OTHER: Final = "is it PostgreSQL that listens there?"
# What libpq says of a connection that cannot be made; first what another attempt cannot cure.
_REFUSED: Final = {
    "password authentication failed": "check `user` and `password`",
    "no password supplied": "the server asks for a password; give it as `password`",
    "no pg_hba.conf entry": "check `user`, `database` and `sslmode`, and the server's pg_hba.conf",
    "certificate verify failed": "`sslrootcert` must name the authority of the server's certificate",
    "does not match host name": 'the certificate is for another name; correct `host`, or use "verify-ca"',
    "root certificate file": "check `sslrootcert`",
    "certificate file": "check `sslcert` and `sslkey`",
    "private key file": "check `sslkey`; only its owner may read it",
    "does not support SSL": 'the server speaks no TLS; set sslmode to "disable" or "prefer"',
    "Name or service not known": "check `host`",
    "does not exist": "check `database` and `user`",
}
_UNAVAILABLE: Final = {
    "too many": _FULL,
    "connection slots": _FULL,
    "Connection refused": "is the server running, and are `host` and `port` right?",
    "timeout expired": "check `host` and `port`, or raise `connect_timeout`",
    "starting up": _AGAIN,
    "shutting down": "it will be there again when it has started",
    "recovery": _AGAIN,
    "Temporary failure": "the name server did not answer",
    "timed out": _NETWORK,
    "unreachable": _NETWORK,
    "No route to host": _NETWORK,
    "closed the connection": _OTHER,
    "reset by peer": _OTHER,
}
_LEFT_OUT: Final = (
    "LINE ",
    "CONTEXT:",
    "COPY ",
    "Is the server running",
    "This probably means",
    "before or while",
)


def connect_failure(error: Exception, server: str, password: str | None) -> PostgresqlError:
    """Of an attempt to connect to `server`."""
    said = _said(str(error), password)
    message = f"cannot connect to {server}: {said}"
    for words, cure in _REFUSED.items():
        if words in said:
            return PostgresqlError(f"{message}; {cure}", _sqlstate(error))
    for words, cure in _UNAVAILABLE.items():
        if words in said:
            return PostgresqlUnavailable(f"{message}; {cure}", _sqlstate(error))
    return PostgresqlError(f"{message}; check the settings of the connection", _sqlstate(error))


def statement_failure(error: Exception, server: str, password: str | None) -> PostgresqlError:
    """Of a statement on a connection that stood."""
    text = str(error)
    sqlstate = _sqlstate(error)
    said = _said(text, password)
    if "idle-in-transaction timeout" in text:
        allowed = "the transaction waited longer than `idle_in_transaction_session_timeout` allows"
        return PostgresqlError(f"{allowed}: {said}; raise it", "25P03")
    if (not sqlstate or sqlstate.startswith("57P")) and any(words in text for words in _LOST):
        return ConnectionLost(f"the connection to {server} was lost: {said}", sqlstate)
    if sqlstate == "57014" and "statement timeout" in text:
        said = f"the statement took longer than `statement_timeout` allows: {said}"
    cure = _CURES.get(sqlstate)
    column = re.search(r"COPY .+?, line \d+, column (.+?)(?::|\n|\.?\s*SQLSTATE|$)", text)
    where = f"column `{column[1].strip()}`: " if column else ""
    code = f" (SQLSTATE {sqlstate})" if sqlstate else ""
    message = f"{where}{said}{code}" + (f"; {cure}" if cure else "")
    transient = sqlstate.startswith(_TRANSIENT) and sqlstate != "08P01"
    return (PostgresqlUnavailable if transient else PostgresqlError)(message, sqlstate)


def _sqlstate(error: Exception) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _said(text: str, password: str | None) -> str:
    """The server's or libpq's message on one line, without the driver's words around it."""
    text = re.split(r"\n?\s*Query was: |\.?\s*SQLSTATE: |\nCONTEXT: ", text)[0]
    found = re.search(r"(?:ERROR|FATAL|PANIC):\s+(.*)", text, re.DOTALL)
    said = found[1] if found else re.sub(r"^[A-Z_]+: |\[libpq\] |^Failed to connect: ", "", text)
    kept = [
        line.strip()
        for line in said.splitlines()
        if line.strip(" ^") and not line.lstrip().startswith(_LEFT_OUT)
    ]
    said = "; ".join(dict.fromkeys(line.rstrip(".") for line in kept)).removeprefix("Failed to connect: ")
    return said.replace(password, "…") if password else said

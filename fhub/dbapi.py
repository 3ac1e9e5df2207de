"""Databases behind Python's DB-API, with ADBC's Arrow or without: connections lent to calls, their errors.

`fhub/flightsql` and `fhub/database` say how to connect; reading and writing are the same for both.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal

from heddle.core.record import record
from heddle.core.resource import Resource
from heddle.core.statements import with_placeholders
from heddle.core.step import StepContext

Paramstyle = Literal["qmark", "numeric", "dollar", "named", "format", "pyformat"]
CANCEL_POLL_S: Final = 0.1


class DatabaseError(Exception):
    """`transient`: another attempt may succeed."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


@record(frozen=True, slots=True)
class Dialect:
    """How a database wants placeholders and names. `arrow`: its driver is ADBC's."""

    paramstyle: Paramstyle = "qmark"
    quote: str = '"'
    arrow: bool = True

    def bound(self, statement: str, names: list[str]) -> str:
        """The statement with placeholders; the parameters that they stand for are added to `names`."""

        def placeholder(name: str) -> str:
            names.append(name)
            number = len(names)
            match self.paramstyle:
                case "qmark":
                    return "?"
                case "numeric":
                    return f":{number}"
                case "dollar":
                    return f"${number}"
                case "format" | "pyformat":
                    return "%s" if self.paramstyle == "format" else f"%(p{number})s"
                case "named":
                    return f":p{number}"

        text = statement.rstrip().rstrip(";")
        if self.paramstyle in ("format", "pyformat"):
            text = text.replace("%", "%%")
        return with_placeholders(text, placeholder)

    def execute(self, cursor: Any, text: str, values: Sequence[Any]) -> None:
        """Run what `bound` gave with the values of its parameters."""
        if values:
            cursor.execute(text, self.values(values))
        else:
            cursor.execute(text)

    def values(self, values: Sequence[Any]) -> Any:
        """What is given along with `bound`."""
        if self.paramstyle in ("named", "pyformat"):
            return {f"p{number}": value for number, value in enumerate(values, 1)}
        return tuple(values)

    def marks(self, count: int) -> str:
        """Placeholders for the values of one row."""
        return ", ".join(self.bound("@a", ["a"] * number) for number in range(count))

    def identifier(self, name: str) -> str:
        opening, closing = ("[", "]") if self.quote == "[]" else (self.quote, self.quote)
        return opening + name.replace(closing, closing * 2) + closing

    def table(self, name: str) -> str:
        return ".".join(self.identifier(part) for part in name.split("."))


class Database(Resource):
    """A pool of DB-API connections. Thread-safe. Raises `DatabaseError`.

    `name` stands in messages; `secrets` never do.
    """

    def __init__(self, name: str, dialect: Dialect, secrets: Sequence[str] = ()) -> None:
        self.name = name
        self.dialect = dialect
        self._secrets = [secret for secret in secrets if secret]
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        self._closed = False

    @abstractmethod
    def connect(self, *, writing: bool) -> Any:
        """A new connection. One for writing does not commit by itself, where the database has transactions;
        one for reading leaves none open."""

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            with self.told():
                connection.close()

    def health(self) -> str | None:
        try:
            self.give_back(self.take())
        except DatabaseError as error:
            return str(error)
        return None

    def take(self) -> Any:
        """A connection for reading."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        with self.told():
            return self.connect(writing=False)

    def give_back(self, connection: Any) -> None:
        """A connection for the next call that reads."""
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        with self.told():
            connection.close()

    @contextmanager
    def cursor(self, context: StepContext) -> Iterator[Any]:
        """A cursor for one call that reads; what it runs is stopped when the call is cancelled."""
        connection = self.take()
        ended = False
        try:
            with self.told():
                cursor = connection.cursor()
                try:
                    with _watched(cursor, context):
                        yield cursor
                finally:
                    cursor.close()
                if not self.dialect.arrow:
                    connection.rollback()
                ended = True
        finally:
            if ended:
                self.give_back(connection)
            else:
                with suppress(Exception):  # whatever a driver raises for a connection that has failed
                    connection.close()

    @contextmanager
    def told(self) -> Iterator[None]:
        """The driver's errors within the block as `DatabaseError`."""
        try:
            yield
        except DatabaseError:
            raise
        except Exception as error:
            if not _is_database_error(error):
                raise
            message = str(error).strip() or type(error).__name__
            for secret in self._secrets:
                message = message.replace(secret, "…")
            raise DatabaseError(f"{self.name}: {message}", transient=_transient(error)) from None


def _is_database_error(error: Exception) -> bool:
    """Every DB-API module has its own `Error`; they have the name in common."""
    return any(cls.__name__ == "Error" for cls in type(error).__mro__)


def _transient(error: Exception) -> bool:
    status = getattr(getattr(error, "status_code", None), "name", "")
    return status in ("IO", "TIMEOUT", "CANCELLED") or "(Unavailable" in str(error)


@contextmanager
def _watched(cursor: Any, context: StepContext) -> Iterator[None]:
    cancel: Callable[[], None] | None = getattr(cursor, "adbc_cancel", None)
    if cancel is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(CANCEL_POLL_S):
            if context.cancelled:  # more than once: it may come before the statement does
                with suppress(Exception):  # it may have ended, or its driver knows no such thing
                    cancel()

    thread = threading.Thread(target=watch, name="heddle-database-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

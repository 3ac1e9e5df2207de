"""A ClickHouse server over HTTP: requests on a pool of connections, each with an id, ended with the run."""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlencode

from fhub.clickhouse.answer import Answer
from fhub.clickhouse.errors import TEXT_BYTES_MAX, ClickHouseError, ConnectionLost, refusal
from fhub.kept import Kept
from heddle.core.record import record
from heddle.core.resource import LookupCacheConfig, Resource
from heddle.core.step import StepContext
from heddle.sdk import Secret

if TYPE_CHECKING:
    import urllib3
    from urllib3.response import BaseHTTPResponse

CONNECT_TRIES: Final = 3
CONNECT_PAUSE_S: Final = 0.2
RETRY_AFTER_S_MAX: Final = 30.0
CANCEL_POLL_S: Final = 0.1
DESCRIBED_MAX: Final = 256
LOG = logging.getLogger("heddle.clickhouse")

Body = bytes | IO[bytes]


class ConnectionConfig(LookupCacheConfig):
    """`port` is the HTTP interface's: 8123, or 8443 with `secure`. `settings` are ClickHouse's own, such as
    `{ max_threads: "4" }`. Times are in seconds. `host` may be `"embedded:FOLDER"`; `setup` is then a file of
    statements that run when the folder is made."""

    host: str = "localhost"
    port: int | None = None
    secure: bool = False
    verify: bool = True
    ca_cert: str | None = None
    database: str = "default"
    user: str = "default"
    password: Secret[str] | None = None
    compression: Literal["none", "lz4", "zstd", "gzip"] = "lz4"
    connect_timeout: int = 10
    send_receive_timeout: int = 300
    pool_size: int = 8
    settings: dict[str, str] = {}  # noqa: RUF012 - a default; every instance gets its own copy
    setup: str | None = None


@record(frozen=True, slots=True)
class Request:
    """`arguments` are settings, parameters and the like, which go into the address; `sql` never does."""

    sql: str
    arguments: Mapping[str, str]
    body: Body | None = None
    content_type: str = "text/plain; charset=UTF-8"
    content_encoding: str | None = None


class Connection(Resource):
    """Thread-safe. Methods raise `ClickHouseError` and `ConnectionLost`."""

    def __init__(self, config: ConnectionConfig) -> None:
        try:
            import urllib3
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "fhub/clickhouse needs urllib3: pip install 'heddle[clickhouse]'"
            ) from error
        _check(config)
        self.config = config
        self.described: Kept[object, object] = Kept(DESCRIBED_MAX)
        """What the server has said of statements, by the statement."""
        port = config.port if config.port is not None else 8443 if config.secure else 8123
        self.name = f"ClickHouse at {config.host}:{port}"
        options: dict[str, Any] = {
            "port": port,
            "retries": False,
            "timeout": urllib3.Timeout(connect=config.connect_timeout, read=config.send_receive_timeout),
        }
        if config.secure:
            if not config.verify:
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
            options["cert_reqs"] = "CERT_REQUIRED" if config.verify else "CERT_NONE"
            options["ca_certs"] = config.ca_cert
        pool = urllib3.HTTPSConnectionPool if config.secure else urllib3.HTTPConnectionPool
        self._pool: urllib3.HTTPConnectionPool = pool(
            config.host, maxsize=config.pool_size, block=True, **options
        )
        # So that a query can be stopped while all connections of the pool are busy.
        self._stopping: urllib3.HTTPConnectionPool = pool(config.host, maxsize=1, block=True, **options)
        self._headers: dict[str, Any] = {
            "X-ClickHouse-User": config.user.encode(),
            "X-ClickHouse-Database": config.database.encode(),
        }
        if config.password is not None:
            self._headers["X-ClickHouse-Key"] = config.password.encode()

    def close(self) -> None:
        self._pool.close()
        self._stopping.close()

    def health(self) -> str | None:
        try:
            self.text("SELECT 1")
        except (ClickHouseError, ConnectionLost) as error:
            return str(error)
        return None

    def text(
        self, sql: str, arguments: Mapping[str, str] | None = None, context: StepContext | None = None
    ) -> str:
        """A short answer."""
        with self.open(Request(sql, arguments or {}), context or StepContext()) as answer:
            return answer.text()

    @contextmanager
    def open(self, request: Request, context: StepContext) -> Iterator[Answer]:
        """The answer, to be read within the block; the query ends with it, or when the run is stopped."""
        query_id = f"heddle-{uuid.uuid4()}"
        response: BaseHTTPResponse | None = None
        answer: Answer | None = None
        watch = _Watch(self, query_id, context)
        try:
            response = self._answered(request, query_id, context)
            watch.response = response
            answer = Answer(response, self.name)
            yield answer
        finally:
            stopped = watch.end()
            if answer is not None and not answer.ended and not stopped:
                self.stop(query_id)
            if response is not None:
                # What was not read would be read by the next query on this connection.
                response.close()
                response.release_conn()

    def stop(self, query_id: str) -> None:
        """Ask the server to end a query; it may have ended already."""
        sql = "KILL QUERY WHERE query_id = {query_id:String} ASYNC"
        with suppress(ClickHouseError, ConnectionLost):
            _release(self._sent(self._stopping, Request(sql, {"param_query_id": query_id}), "", None))

    def _answered(self, request: Request, query_id: str, context: StepContext) -> BaseHTTPResponse:
        """The beginning of an answer. Connecting is tried again, and what a busy server put off."""
        until = None if context.deadline is None else time.monotonic() + context.deadline
        tries = 0
        pause_s: float | None
        while True:
            tries += 1
            left_s = None if until is None else max(until - time.monotonic(), 0.001)
            try:
                response = self._sent(self._pool, request, query_id, left_s)
            except _NotSent as error:
                if tries == CONNECT_TRIES or context.cancelled:
                    raise error.lost from error.__cause__
                pause_s = CONNECT_PAUSE_S * tries
            else:
                if response.status == 200:
                    return response
                pause_s = _retry_after_s(response)
                if pause_s is None or tries == CONNECT_TRIES:
                    raise self._refusal(response)
                _release(response)
            if until is not None and time.monotonic() + pause_s >= until:
                raise ConnectionLost(
                    f"{self.name} was too busy, or not there, for the time that the call has"
                )
            _pause(pause_s, context)

    def _sent(
        self, pool: urllib3.HTTPConnectionPool, request: Request, query_id: str, left_s: float | None
    ) -> BaseHTTPResponse:
        from urllib3 import Timeout
        from urllib3.exceptions import (
            ConnectTimeoutError,
            HTTPError,
            NewConnectionError,
            ReadTimeoutError,
            SSLError,
        )

        arguments = {**self.config.settings, **request.arguments}
        if query_id:
            arguments["query_id"] = query_id
        read_s = float(self.config.send_receive_timeout)
        if left_s is not None:
            arguments.setdefault("max_execution_time", str(math.ceil(left_s)))
            read_s = min(read_s, left_s)
        headers = {**self._headers, "Content-Type": request.content_type}
        headers["Accept-Encoding"] = "gzip" if self.config.compression == "gzip" else "identity"
        if request.content_encoding is not None:
            headers["Content-Encoding"] = request.content_encoding
        if isinstance(request.body, bytes | None):
            body: Body = request.body if request.body is not None else request.sql.encode()
        else:
            request.body.seek(0)
            body = request.body
        try:
            return pool.urlopen(
                "POST",
                f"/?{urlencode(arguments)}",
                body=body,
                headers=headers,
                preload_content=False,
                decode_content=False,
                timeout=Timeout(connect=self.config.connect_timeout, read=read_s),
                chunked=not isinstance(body, bytes),
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            lost = ConnectionLost(f"{self.name} cannot be reached; is it running, and is the address right?")
            raise _NotSent(lost) from error
        except SSLError as error:
            raise ClickHouseError(
                f"{self.name}: no secure connection ({_reason(error)}); see `secure`, `verify` and `ca_cert`"
            ) from error
        except ReadTimeoutError as error:
            raise ConnectionLost(f"{self.name} did not answer for {read_s:g} s") from error
        except (HTTPError, OSError) as error:
            raise ConnectionLost(f"{self.name} ended the connection before it answered") from error

    def _refusal(self, response: BaseHTTPResponse) -> Exception:
        code = response.headers.get("X-ClickHouse-Exception-Code")
        try:
            text = response.read(TEXT_BYTES_MAX, decode_content=True).decode(errors="replace")
        except OSError:
            text = ""
        response.close()
        response.release_conn()
        return refusal(response.status, text, code, self.name)


class _NotSent(Exception):
    """Nobody has seen the request."""

    def __init__(self, lost: ConnectionLost) -> None:
        super().__init__(str(lost))
        self.lost = lost


class _Watch:
    """Ends a query when its call is cancelled."""

    def __init__(self, connection: Connection, query_id: str, context: StepContext) -> None:
        self.response: BaseHTTPResponse | None = None
        self._connection = connection
        self._query_id = query_id
        self._context = context
        self._ended = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="heddle-clickhouse-watch", daemon=True)
        self._thread.start()

    def end(self) -> bool:
        """Whether the query was stopped."""
        self._ended.set()
        self._thread.join()
        return self._stopped

    def _run(self) -> None:
        while not self._ended.wait(CANCEL_POLL_S):
            if not self._context.cancelled:
                continue
            LOG.info("stopping the query %s", self._query_id)
            self._stopped = True
            self._connection.stop(self._query_id)
            if self.response is not None:
                with suppress(OSError, ValueError):
                    self.response.shutdown()
            return


def _check(config: ConnectionConfig) -> None:
    """Before a library refuses a value by showing it."""
    for name in ("host", "user", "password", "database"):
        value = getattr(config, name)
        if value is not None and any(ord(mark) < 32 or ord(mark) == 127 for mark in value):
            raise ValueError(f"`{name}` holds a character that cannot be sent, such as a line break")
    if config.pool_size < 1:
        raise ValueError("`pool_size` is at least 1")
    if config.ca_cert is not None and not Path(config.ca_cert).is_file():
        raise ValueError(f"`ca_cert`: there is no file {config.ca_cert}")


def _release(response: BaseHTTPResponse) -> None:
    """Give its connection back, for which its body is to be read."""
    response.drain_conn()
    response.release_conn()


def _pause(seconds: float, context: StepContext) -> None:
    until = time.monotonic() + seconds
    while not context.cancelled and (left_s := until - time.monotonic()) > 0:
        time.sleep(min(left_s, CANCEL_POLL_S))


def _retry_after_s(response: BaseHTTPResponse) -> float | None:
    """How long a busy server wants to be left alone, if it says so and it is not too long."""
    text = response.headers.get("Retry-After", "")
    if response.status not in (429, 503) or not text.isdigit():
        return None
    return float(text) if int(text) <= RETRY_AFTER_S_MAX else None


def _reason(error: Exception) -> str:
    found = str(error)
    return found.rpartition("] ")[2].partition(" (_ssl")[0] or found

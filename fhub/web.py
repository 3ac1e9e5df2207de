"""Requests to one web service: its pool of connections, its limits, and what is tried again.

`Service.send` gives the answer, whatever its status. Failures to get one, and the statuses that say "later",
are tried again after a wait: that of `Retry-After`, which holds for all requests to the service, else an
exponential one with jitter. Secrets stand in headers only; no message holds one, nor a query.
"""

from __future__ import annotations

import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fhub.calls import LOOK_S, Call, Ended, Request
from heddle.core.record import record
from heddle.core.step import Transient

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

TRIES_MAX: Final = 4
BACKOFF_FIRST_S: Final = 0.25
BACKOFF_MAX_S: Final = 8.0
ASKED_WAIT_MAX_S: Final = 300.0
"""How long a request waits in all, as `Retry-After` asks, when the call has no deadline."""
CONNECT_TIMEOUT_S: Final = 10.0
BODY_BYTES_MAX: Final = 256 << 20
PIECE_BYTES: Final = 64 << 10
LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may succeed."""
NOT_DONE: Final = frozenset({429, 503})
"""With `Retry-After`: the service says that it has not begun with the request."""


class WebError(Exception):
    """A request that cannot succeed as it is."""


class Unreachable(Transient):
    """No answer, or no whole one."""


@record(frozen=True, slots=True)
class Answer:
    """`retry_after_s` is how long the service asks to wait, where it does."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    retry_after_s: float | None = None


class _Broken(Exception):
    """`sent`: the service may have got the request."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Service:
    """What stands below one address, for several threads and calls at once.

    `extra` is the name of Heddle's extra that brings urllib3; `secrets` are struck out of texts of the
    service by `scrubbed`. Raises `WebError` for an address, a certificate file or a header that is none.
    """

    def __init__(
        self,
        base_url: str,
        extra: str,
        *,
        headers: Mapping[str, str],
        secrets: tuple[str, ...] = (),
        timeout_s: float,
        concurrency: int,
        requests_per_minute: float | None = None,
        ca_file: str | None = None,
    ) -> None:
        if concurrency < 1:
            raise WebError("`concurrency` is the number of requests at a time, at least 1")
        if requests_per_minute is not None and requests_per_minute <= 0:
            raise WebError("`requests_per_minute` is larger than 0")
        self.base_url = base_url.rstrip("/")
        self.concurrency = concurrency
        self._headers = {"User-Agent": "heddle", "Accept-Encoding": "gzip, deflate", **headers}
        check_headers(self._headers)
        self._secrets = tuple(secret for secret in secrets if secret)
        self._timeout_s = timeout_s
        self._turns = threading.BoundedSemaphore(concurrency)
        self._pace = _Pace(requests_per_minute)
        self._pool = _opened(self.base_url, extra, concurrency, ca_file)
        self._path = urlsplit(self.base_url).path

    def close(self) -> None:
        self._pool.close()

    def scrubbed(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def send(
        self,
        call: Call,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        on_try: Callable[[], Callable[[bytes], None]] | None = None,
    ) -> Answer:
        """The answer to `target`, a path below the address that may end in a query.

        A request that is not `repeatable` is tried again only when it cannot have been carried out.
        `on_try` gives, for each try, what takes the body of a good answer as it comes. Raises `Unreachable`,
        `WebError` and `Ended`.
        """
        headers = {**self._headers, **(headers or {})}
        check_headers(headers)
        place = f"{method} {self.base_url}{target.partition('?')[0]}"
        until = time.monotonic() + self._patience_s(call)
        tries = 0
        while True:
            tries += 1
            try:
                with self._turn(call):
                    on_piece = None if on_try is None else on_try()
                    answer = self._once(call, method, self._path + target, body, headers, on_piece, place)
            except _Broken as broken:
                if tries >= TRIES_MAX or (broken.sent and not repeatable):
                    raise Unreachable(f"{place}: {self.scrubbed(str(broken))}") from broken
                call.again(_backoff_s(tries))
                continue
            asked_s = answer.retry_after_s
            refused = answer.status in NOT_DONE and asked_s is not None
            if answer.status not in LATER or not (repeatable or refused):
                return answer
            if asked_s is None:
                if tries >= TRIES_MAX:
                    return answer
                wait_s = _backoff_s(tries)
            else:
                if time.monotonic() + asked_s > until:
                    return answer
                self._pace.hold(asked_s)
                tries, wait_s = tries - 1, asked_s
            call.again(wait_s)

    def _patience_s(self, call: Call) -> float:
        left_s = call.left_s()
        return ASKED_WAIT_MAX_S if left_s is None else left_s

    @contextmanager
    def _turn(self, call: Call) -> Iterator[None]:
        while not self._turns.acquire(timeout=LOOK_S):
            call.pause(0)
        try:
            self._pace.wait(call)
            yield
        finally:
            self._turns.release()

    def _once(
        self,
        call: Call,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        on_piece: Callable[[bytes], None] | None,
        place: str,
    ) -> Answer:
        from urllib3 import Timeout
        from urllib3.exceptions import (
            ConnectTimeoutError,
            HTTPError,
            NewConnectionError,
            ReadTimeoutError,
            SSLError,
        )

        from fhub.web_pool import CURRENT

        left_s = call.left_s()
        timeout_s = self._timeout_s if left_s is None else max(LOOK_S, min(self._timeout_s, left_s))
        with call.under_way(timeout_s) as request:
            CURRENT.request = request
            try:
                response = self._pool.urlopen(
                    method,
                    path,
                    body,
                    dict(headers),
                    retries=False,
                    redirect=False,
                    assert_same_host=False,
                    timeout=Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), read=timeout_s),
                    preload_content=False,
                    pool_timeout=None,
                )
                return _read(response, request, on_piece)
            except SSLError as error:
                _check_ended(call)
                raise WebError(f"{place}: TLS failed: {self.scrubbed(_tls_reason(error))}") from error
            except (NewConnectionError, ConnectTimeoutError) as error:
                _check_ended(call)
                raise _Broken(f"it cannot be reached ({_reason(error)})", sent=False) from error
            except (HTTPError, OSError) as error:
                _check_ended(call)
                broke_off = f"the answer broke off ({_reason(error)})"
                late = request.late or isinstance(error, TimeoutError | ReadTimeoutError)
                raise _Broken(
                    f"no answer within {timeout_s:g} s" if late else broke_off, sent=True
                ) from error


class _Pace:
    """When the next request may go: so many a minute, and none before a time that the service named."""

    def __init__(self, per_minute: float | None) -> None:
        self._interval_s = 60.0 / per_minute if per_minute is not None else 0.0
        self._lock = threading.Lock()
        self._next = 0.0
        self._held_until = 0.0

    def hold(self, duration_s: float) -> None:
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + duration_s)

    def wait(self, call: Call) -> None:
        """Raises `Ended`."""
        with self._lock:
            now = time.monotonic()
            mine = max(now, self._next)
            self._next = mine + self._interval_s
        call.pause(mine - now)
        while (held_s := self._held_until - time.monotonic()) > 0:
            call.pause(held_s)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises `WebError` for what would not be one header each."""
    for name, value in headers.items():
        if re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) is None:
            raise WebError(f"{name!r} is no header's name")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise WebError(f"the header `{name}` holds a line break or another control character")
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise WebError(f"the header `{name}` holds characters that a header cannot hold") from None


def _opened(base_url: str, extra: str, size: int, ca_file: str | None) -> HTTPConnectionPool:
    address = urlsplit(base_url)
    try:
        port = address.port
    except ValueError:
        raise WebError("`base_url` has a port that is none") from None
    if address.scheme not in ("http", "https") or not address.hostname:
        raise WebError('`base_url` is an address such as "https://host/path"')
    if address.username or address.password or address.query or address.fragment:
        raise WebError("`base_url` ends with its path, and names no user and no password: these are settings")
    if re.search(r"[\x00-\x20\x7f]", base_url):
        raise WebError("`base_url` holds a blank or a control character")
    try:
        from fhub.web_pool import open_pool
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "urllib3":
            raise
        raise WebError(f"the library urllib3 is not installed: pip install 'heddle[{extra}]'") from error
    try:
        return open_pool(address.scheme, address.hostname, port, size, ca_file)
    except (OSError, ssl.SSLError) as error:
        raise WebError(f"`ca_file` cannot be used: {ca_file} ({error})") from error


def _check_ended(call: Call) -> None:
    if call.over:
        raise Ended


def _read(response: BaseHTTPResponse, request: Request, on_piece: Callable[[bytes], None] | None) -> Answer:
    """Raises urllib3's errors, and `WebError` for a body that is too large."""
    pieces: list[bytes] = []
    size_bytes = 0
    try:
        while piece := response.read1(PIECE_BYTES):
            size_bytes += len(piece)
            if size_bytes > BODY_BYTES_MAX:
                raise WebError(f"an answer is larger than {BODY_BYTES_MAX >> 20} MiB")
            pieces.append(piece)
            if on_piece is not None and response.status < 300:
                on_piece(piece)
    except BaseException:
        response.close()
        raise
    response.release_conn()
    if request.late:
        raise TimeoutError
    return Answer(response.status, response.headers, b"".join(pieces), _retry_after_s(response.headers))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds; a date counts from now."""
    text = headers.get("Retry-After")
    if text is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text.strip()):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())


def _backoff_s(tries: int) -> float:
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** (tries - 1)) * (0.5 + random.random() / 2)


def _reason(error: BaseException) -> str:
    """What the system said, without the objects that urllib3 names."""
    cause = error.__cause__ or error.__context__
    system = next((each for each in (error, cause) if isinstance(each, OSError)), None)
    if system is not None and system.strerror:
        return system.strerror
    return "it has ended too early" if "IncompleteRead" in repr(error) else type(cause or error).__name__


def _tls_reason(error: BaseException) -> str:
    text = str(error)
    found = re.search(r"certificate verify failed: ([^(]+)", text)
    if found:
        return f"its certificate is not trusted: {found[1].strip()}; `ca_file` names what vouches for it"
    return "the server speaks no TLS that this client knows" if "WRONG_VERSION" in text else text

"""The settings of connections to HTTP services and of the step that sends requests to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

from fhub.step_connection import StepConnection
from fhub.templates import Template
from heddle.core.durations import DURATION_HELP, duration_s
from heddle.core.resource import ResourceConfig
from heddle.core.step import StepConfig
from heddle.sdk import RowText, Secret

if TYPE_CHECKING:
    from fhub.http.connection import Connection

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
SAFE: Final = frozenset({"GET", "HEAD"})
IDEMPOTENT: Final = frozenset({*SAFE, "PUT", "DELETE"})
LINK: Final = "link"
"""As `next`: the header `Link` names the next page."""


class ConnectionConfig(ResourceConfig):
    """Paths start below `base_url`. `token` is a bearer token; `username` and `password` are sent as Basic.
    `headers` go with every request. `timeout` is that of one request."""

    base_url: str
    username: str | None = None
    password: Secret[str] | None = None
    token: Secret[str] | None = None
    headers: dict[str, Secret[str]] = {}  # noqa: RUF012 - a default; every instance gets its own copy
    timeout: str = "30s"
    concurrency: int = 4
    requests_per_minute: float | None = None
    ca_file: str | None = None


class AskConfig(StepConfig[ConnectionConfig]):
    """What is said here wins over the connection. In `path`, `query` and `headers` `{name}` stands for the
    column `name`. `body` are the columns that are sent as JSON; without it, all."""

    base_url: str | None = None
    username: str | None = None
    password: Secret[str] | None = None
    token: Secret[str] | None = None
    timeout: str | None = None
    concurrency: int | None = None
    requests_per_minute: float | None = None
    ca_file: str | None = None
    path: str = ""
    query: dict[str, str] = {}  # noqa: RUF012
    headers: dict[str, str] = {}  # noqa: RUF012
    body: list[str] | None = None
    batch_rows: int = 1
    errors: Literal["reject", "fail"] = "reject"
    idempotency_header: str | None = None


class RequestConfig(AskConfig):
    """`records` is the way to the row in the answer, such as "data.user". `next` says where the next page is;
    `cursor` is the parameter of the query that takes it."""

    method: Method = "GET"
    schema: RowText | None = None
    records: str | None = None
    next: str | None = None
    cursor: str | None = None
    pages_max: int = 1000

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._connection = StepConnection(self, ConnectionConfig, _opened, apart=("headers",))
        if re.search(r"[?#\x00-\x1f\x7f]", self.path):
            raise ValueError("`path` holds no `?`, `#` and control characters; parameters stand in `query`")
        if self.path and not self.path.startswith("/"):
            raise ValueError(f'`path` starts with a slash: "/{self.path}"')
        if self.batch_rows < 1:
            raise ValueError("`batch_rows` is the number of rows in a request, at least 1")
        if self.batch_rows > 1 and any(self.columns_named().values()):
            raise ValueError("with `batch_rows` a request has many rows, so only the body has columns")
        if self.batch_rows > 1 and self.method not in WITH_BODY:
            raise ValueError(f"`batch_rows` needs a method with a body, and {self.method} has none")
        if self.body is not None and self.method not in WITH_BODY:
            raise ValueError(f"`body` needs a method with a body, and {self.method} has none")
        if self.cursor is not None and self.next in (None, LINK):
            raise ValueError("`cursor` needs `next`: where in the answer the cursor of the next page is")
        if self.records is not None and self.schema is None:
            raise ValueError("`records` needs a `schema`")

    @property
    def connection(self) -> Connection:
        """The resource, or one of the step's own where its settings say something else. Raises `ValueError`
        where there is neither."""
        if self.base_url is None and not self.resources:
            raise ValueError("`request` needs a connection, or a `base_url`")
        return self._connection.get()

    def columns_named(self) -> dict[str, tuple[str, ...]]:
        """The columns that the templates name, by setting."""
        texts = {"path": [self.path], "query": self.query.values(), "headers": self.headers.values()}
        return {
            setting: tuple(name for text in each for name in Template(text).columns)
            for setting, each in texts.items()
        }


class SendConfig(AskConfig):
    """The same without what is read of the answer; `request` has these settings as those of a request."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"] = "POST"

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.request = RequestConfig(**{"method": self.method, **values})


def _opened(config: ConnectionConfig) -> Connection:
    from fhub.http.connection import Connection

    return Connection(config)


def timeout_s(text: str) -> float:
    """Raises `ValueError`."""
    found = duration_s(text)
    if not found:
        raise ValueError(f"`timeout` is {text!r}; {DURATION_HELP}")
    return found

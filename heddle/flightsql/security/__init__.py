"""Who may come in, and how much each may take: the words that the server and the ways to secure it share.

A request's headers and certificate go to an `Authenticator`, which gives a `Viewer` or raises `Refused`. An
execution asks the `Admission` first. What happened goes to the `Audit`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from heddle.core.record import record
from heddle.database.admission import Load
from heddle.database.model import LOCAL, Settings, Viewer
from heddle.errors import HeddleError

if TYPE_CHECKING:
    import grpc

Headers: TypeAlias = Mapping[str, str]
"""By lower-case name. Of a header that comes more than once, the last; binary ones (`…-bin`) are left out."""
RefusedKind: TypeAlias = Literal["unauthenticated", "denied", "exhausted", "unavailable"]


def bearer(token: str) -> Headers:
    """The header with which a client shows its token."""
    return {"authorization": f"Bearer {token}"}


class Refused(HeddleError):
    """Somebody may not come in. `message` is for whoever asked: it does not tell what would be right.
    `claimed` is who they said that they are."""

    def __init__(
        self, kind: RefusedKind, message: str, *, help: str | None = None, claimed: str = ""
    ) -> None:
        super().__init__(message, help=help)
        self.kind: RefusedKind = kind
        self.claimed = claimed


class Authenticator(Protocol):
    """Called from many threads; `authenticate` for each request, so it looks up and does not compute."""

    def handshake(self, header: str | None, peer_certificate: bytes | None = None, peer: str = "") -> str:
        """The token of a login, for the header `authorization: Bearer TOKEN`. `header` is what the client
        sent as `authorization`, such as `Basic …`; `peer` is from where, for which failed logins are counted.
        Each login has a token of its own. Raises `Refused`."""
        ...

    def authenticate(self, headers: Headers, peer_certificate: bytes | None, peer: str = "") -> Viewer:
        """Who asks. `peer_certificate` is the client's certificate (PEM), which TLS has verified, or None;
        `peer` is from where. Raises `Refused`."""
        ...


class Admission(Protocol):
    def admit(self, viewer: Viewer, cancelled: Callable[[], bool]) -> AbstractContextManager[None]:
        """Waits until the viewer may run one more statement; the statement runs inside. Gives up when
        `cancelled()` is true. Raises `QueryError` of the kind exhausted or cancelled."""
        ...

    def is_free(self, viewer: Viewer) -> bool:
        """Whether a statement of the viewer's would not have to wait."""
        ...

    def limited(self, viewer: Viewer, settings: Settings) -> Settings:
        """The settings with the viewer's limits, where they are stricter."""
        ...

    def load(self) -> Load: ...


@record(frozen=True, slots=True)
class AuditEvent:
    """`what`: login, refused, query, update, ingest, cancel, session. Of a refusal `viewer` is who somebody
    said that they are. `text` is the statement, without bound
    values. `tables` are the full names of what it read. `outcome` is `ok` or the kind of the error."""

    what: str
    viewer: str
    peer: str
    text: str = ""
    query_id: str = ""
    outcome: str = "ok"
    rows: int | None = None
    duration_s: float | None = None
    tables: tuple[str, ...] = ()


class Audit(Protocol):
    def note(self, event: AuditEvent) -> None: ...

    def close(self) -> None: ...


class LocalOnly:
    """Everybody is the user of this machine. For a server that listens on loopback."""

    def handshake(self, header: str | None, peer_certificate: bytes | None = None, peer: str = "") -> str:
        return secrets.token_urlsafe(24)

    def authenticate(self, headers: Headers, peer_certificate: bytes | None, peer: str = "") -> Viewer:
        return LOCAL


class Unlimited:
    def admit(self, viewer: Viewer, cancelled: Callable[[], bool]) -> AbstractContextManager[None]:
        return nullcontext()

    def is_free(self, viewer: Viewer) -> bool:
        return True

    def limited(self, viewer: Viewer, settings: Settings) -> Settings:
        return settings

    def load(self) -> Load:
        """There are no places to hold."""
        return Load()


class NoAudit:
    def note(self, event: AuditEvent) -> None:
        return

    def close(self) -> None:
        return


@record(frozen=True, slots=True)
class CertificateFiles:
    """The content of PEM files. With `client_authority` a client needs a certificate that it vouches for."""

    certificate: bytes
    key: bytes
    client_authority: bytes | None


@record(frozen=True, slots=True)
class Security:
    """`credentials` makes what a port is opened with (None: without TLS), `files` the same for a server that
    takes files. `asks_who` is whether somebody who is not known is refused: only then may the server listen
    to other hosts."""

    authenticator: Authenticator
    admission: Admission = Unlimited()
    audit: Audit = NoAudit()
    credentials: Callable[[], grpc.ServerCredentials] | None = None
    files: Callable[[], CertificateFiles] | None = None
    asks_who: bool = False

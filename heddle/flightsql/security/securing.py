"""The settings of `[serve]` become a server's `Security`."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from heddle.database.admission import Admission
from heddle.database.model import Viewer
from heddle.errors import UsageError
from heddle.flightsql.security import Audit, Authenticator, Headers, LocalOnly, NoAudit, Security
from heddle.serve_settings import ServeSettings

if TYPE_CHECKING:
    from heddle.flightsql.security.certificates import Certificates


ANONYMOUS: Final = Viewer("anonymous")


class Anybody(LocalOnly):
    """Everybody is the same viewer, who has the role `everyone` and is no admin."""

    def authenticate(self, headers: Headers, peer_certificate: bytes | None, peer: str = "") -> Viewer:
        return ANONYMOUS


def security_of(
    settings: ServeSettings,
    host: str,
    *,
    notify: Callable[[str], None],
    mask: Callable[[str], str],
) -> Security:
    """For a server that listens on `host`. `notify` gets what an operator should know, `mask` takes secrets
    out of what is written down. Raises `UsageError` for settings that cannot be used, or are not safe."""
    asks = asks_who(settings)
    require_safe(settings, host)
    if not asks and is_loopback(host) and (settings.roles or settings.policies):
        notify("[serve] has roles or policies, but no logins: whoever asks is the user of this machine")
    certificates = _certificates(settings, notify)
    return Security(
        authenticator=_authenticator(settings, host),
        admission=Admission(settings),
        audit=_audit(settings, mask, notify),
        credentials=certificates.credentials if certificates is not None else None,
        files=certificates.files if certificates is not None else None,
        asks_who=asks,
    )


def asks_who(settings: ServeSettings) -> bool:
    """Whether somebody has to say who they are."""
    return settings.users_file is not None or settings.jwt is not None or _has_named_clients(settings)


def require_safe(settings: ServeSettings, host: str) -> None:
    """Raises `UsageError` where other hosts can reach a server that lets everybody in, or that is told
    passwords and tokens which anybody on the way can read."""
    if is_loopback(host):
        return
    if not asks_who(settings) and not settings.allow_no_login:
        raise UsageError(
            f"on {host} everybody who can reach this server could read all outputs",
            help="add users with `heddle user add NAME`, or write `allow_no_login = true` below [serve]",
        )
    if settings.tls is None and not settings.allow_no_tls:
        raise UsageError(
            f"on {host} everybody on the way could read what is sent",
            help="name a certificate below [serve.tls], or write `allow_no_tls = true` below [serve]",
        )


def require_native(settings: ServeSettings) -> None:
    """Raises `UsageError` where nobody could come in by the native port: it does not see who a certificate
    names."""
    if _has_named_clients(settings) and settings.users_file is None and settings.jwt is None:
        raise UsageError(
            "the native port does not see the names in clients' certificates, and there is no other login",
            help="add users with `heddle user add NAME`, or leave `--native` out",
        )


def _authenticator(settings: ServeSettings, host: str) -> Authenticator:
    if not asks_who(settings):
        return LocalOnly() if is_loopback(host) else Anybody()
    from heddle.flightsql.security.gate import Gate
    from heddle.flightsql.security.jwt_tokens import JwtTokens
    from heddle.flightsql.security.passwords import require_argon2
    from heddle.flightsql.security.users_file import UsersFile

    if settings.users_file is not None:
        require_argon2()
    return Gate(
        settings,
        users=UsersFile(settings.users_file) if settings.users_file is not None else None,
        jwt=JwtTokens(settings.jwt) if settings.jwt is not None else None,
    )


def _audit(settings: ServeSettings, mask: Callable[[str], str], notify: Callable[[str], None]) -> Audit:
    if settings.audit is None:
        return NoAudit()
    from heddle.flightsql.security.audit_file import AuditFile

    return AuditFile(settings.audit, mask, notify)


def _certificates(settings: ServeSettings, notify: Callable[[str], None]) -> Certificates | None:
    if settings.tls is None:
        return None
    from heddle.flightsql.security.certificates import Certificates

    return Certificates(settings.tls, notify)


def _has_named_clients(settings: ServeSettings) -> bool:
    tls = settings.tls
    return tls is not None and tls.client_authority is not None and tls.client_name != "none"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

"""What `[serve]` of `heddle.toml`, or of the file of `heddle serve --config`, says: who may come in, what
each may see and take, and what is written down about it.

`heddle/serve_file.py` reads it; `heddle/database/policy.py`, `heddle/database/admission.py` and
`heddle/flightsql/security` make it hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from heddle.core.record import record
from heddle.core.refresh_policy import RefreshPolicy
from heddle.diagnostics import Source, Span

if TYPE_CHECKING:
    from heddle.frontend.typed import ConfigData

EVERYONE: Final = "everyone"
"""The role that each viewer has."""

JwtAlgorithm: TypeAlias = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""Those with a key of two halves: a server that checks a token cannot make one."""
JWT_ALGORITHMS: Final[tuple[JwtAlgorithm, ...]] = get_args(JwtAlgorithm)
ClientName: TypeAlias = Literal["none", "subject", "dns", "email", "uri"]
"""Which part of a client's certificate is its viewer's name. `none`: it does not say who asks."""
CLIENT_NAMES: Final[tuple[ClientName, ...]] = get_args(ClientName)
SpanProtocol: TypeAlias = Literal["http/protobuf", "grpc"]
SPAN_PROTOCOLS: Final[tuple[SpanProtocol, ...]] = get_args(SpanProtocol)


@record(frozen=True, slots=True)
class Limits:
    """What one viewer may take; None is no limit. `concurrency` is statements at a time, the rest is for each
    statement."""

    concurrency: int | None = None
    memory_bytes: int | None = None
    timeout_s: float | None = None
    rows_max: int | None = None


NO_LIMITS: Final = Limits()


@record(frozen=True, slots=True)
class Role:
    """`sees` are patterns `workflow.output`, `writes` patterns `schema.table`. `explain`: also plans
    over outputs with filters and masks are shown, which a plan tells."""

    name: str
    sees: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    admin: bool = False
    explain: bool = False
    limits: Limits = NO_LIMITS


@record(frozen=True, slots=True)
class UserSettings:
    """What holds for a user beside their roles, however they log in."""

    name: str
    roles: tuple[str, ...] = ()
    limits: Limits = NO_LIMITS


@record(frozen=True, slots=True)
class PolicySettings:
    """A row filter and column masks over `outputs` (patterns). It holds for viewers with one of `roles`
    (none: for all) and with none of `except_roles`. `spans` are the places of its keys: `outputs`, `filter`,
    and each mask's column behind `masks.`."""

    name: str
    outputs: tuple[str, ...]
    filter: str | None = None
    masks: Mapping[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    except_roles: tuple[str, ...] = ()
    source: Source = field(default_factory=lambda: Source("", ""), compare=False, repr=False)
    spans: Mapping[str, Span] = field(default_factory=dict, compare=False, repr=False)


@record(frozen=True, slots=True)
class TlsSettings:
    """PEM files. With `client_authority` a client needs a certificate that it vouches for."""

    certificate: Path
    key: Path
    client_authority: Path | None = None
    client_name: ClientName = "subject"


@record(frozen=True, slots=True)
class JwtSettings:
    """Which tokens of an identity provider let in. `keys` is the URL of its JWKS; None: as its issuer's
    `.well-known/openid-configuration` says. Claims are names, with dots into objects."""

    issuer: str
    audience: tuple[str, ...]
    keys: str | None = None
    algorithms: tuple[JwtAlgorithm, ...] = ("RS256", "ES256")
    leeway_s: float = 30.0
    name_claim: str = "sub"
    roles_claim: str | None = None


@record(frozen=True, slots=True)
class AdmissionSettings:
    """`running` statements at a time over all users; `waiting` more may wait, each up to `wait_s`."""

    running: int = 16
    waiting: int = 64
    wait_s: float = 30.0


@record(frozen=True, slots=True)
class AuditSettings:
    file: Path
    text: bool = True
    """Whether statements are written down, or their hashes alone."""


@record(frozen=True, slots=True)
class MetricsAddress:
    """Where `/metrics` is served; port 0 takes a free one."""

    port: int
    host: str = "127.0.0.1"


@record(frozen=True, slots=True)
class TelemetrySettings:
    """Where spans go. What is None is as the environment's `OTEL_…` says, or else as OpenTelemetry has it.
    `headers` are texts and references to the environment or to secrets. `sample` is which share of the traces
    that begin here is sent. `statements`: spans have the texts of statements."""

    endpoint: str | None = None
    protocol: SpanProtocol | None = None
    headers: Mapping[str, ConfigData] = field(default_factory=dict)
    service: str | None = None
    sample: float | None = None
    statements: bool = False


@record(frozen=True, slots=True)
class ServeSettings:
    """`users` is the file that `heddle user` writes. `login_s`: a login that is not used for so long ends.
    `allow_no_login` and `allow_no_tls` let a server listen to other hosts without them. `native_port`: None
    opens none."""

    users_file: Path | None = None
    login_s: float = 12 * 3600.0
    allow_no_login: bool = False
    allow_no_tls: bool = False
    tls: TlsSettings | None = None
    jwt: JwtSettings | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)
    users: Mapping[str, UserSettings] = field(default_factory=dict)
    policies: tuple[PolicySettings, ...] = ()
    limits: Limits = NO_LIMITS
    admission: AdmissionSettings = AdmissionSettings()
    audit: AuditSettings | None = None
    metrics: MetricsAddress | None = None
    telemetry: TelemetrySettings | None = None
    native_port: int | None = None
    result_cache_bytes: int = 0
    """What results of queries may take in memory; 0 keeps none."""
    materialize: Mapping[str, RefreshPolicy | None] = field(default_factory=dict)
    """By `workflow.output`, in place of what the program says: when kept rows are refreshed, and None where
    none are kept."""


NO_SERVE_SETTINGS: Final = ServeSettings()

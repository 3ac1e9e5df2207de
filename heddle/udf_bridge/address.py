"""Where a plugin's gateway is: a URL from `heddle.toml`, taken apart, and what proves who calls."""

from __future__ import annotations

from dataclasses import field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from heddle.core.record import record

if TYPE_CHECKING:
    from heddle.core.signature import ModuleSignature

Scheme: TypeAlias = Literal["grpc", "grpc+tls"]
SCHEMES: Final[tuple[Scheme, ...]] = ("grpc", "grpc+tls")
TOKEN_VARIABLE: Final = "HEDDLE_PLUGIN_TOKEN"
URL_HELP: Final = "write it like `grpc://host:7070`, or `grpc+tls://host:7070` for a gateway with TLS"


class AddressError(Exception):
    """A text that is no address; the message says why."""


@record(frozen=True, slots=True)
class GatewayUrl:
    """`str` gives the text that it was read from, in its plain form."""

    scheme: Scheme
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{joined_place(self.host, self.port)}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent."""
        return self.scheme == "grpc+tls" or self.is_loopback


@record(frozen=True, slots=True)
class GatewayAddress:
    """`authority` is a PEM file with the certificate that vouches for the gateway's; None: the system's."""

    url: GatewayUrl
    token: str | None = field(default=None, repr=False)
    authority: Path | None = None


def parse_url(text: str) -> GatewayUrl:
    """Raises `AddressError`."""
    scheme = next((s for s in SCHEMES if text.startswith(f"{s}://")), None)
    if scheme is None:
        raise AddressError(f"`{text}` does not begin with `grpc://` or `grpc+tls://`")
    rest = text.removeprefix(f"{scheme}://").removesuffix("/")
    return GatewayUrl(scheme, *parse_place(rest))


def parse_place(text: str) -> tuple[str, int]:
    """`HOST:PORT` taken apart. Raises `AddressError`."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressError(f"`{text}` is not HOST:PORT") from error
    if not host or port is None or parts.username is not None or parts.netloc != text:
        raise AddressError(f"`{text}` is not HOST:PORT")
    return host, port


def joined_place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_elsewhere(module: ModuleSignature) -> bool:
    """Whether a module's steps run behind a gateway; its `origin` is then the URL."""
    return module.origin.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))

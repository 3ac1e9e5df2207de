"""`heddle serve` with certificates, of its own and of clients, and with tokens of an identity provider."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import adbc_driver_manager
import pytest
from adbc_driver_flightsql import DatabaseOptions

from tests.flightsql.security.certificates import Authority, Pair
from tests.flightsql.security.guarded import Guarded, asked, user
from tests.flightsql.security.identity_provider import AUDIENCE, IdentityProvider, identity_provider
from tests.services.service import HOST

ORDERS = "SELECT id FROM Shop.orders ORDER BY id"
TLS = '[serve.tls]\ncertificate = "server.crt"\nkey = "server.key"\n'


class Secured(Guarded):
    """With the certificate of `authority`; `clients` vouches for those of clients."""

    def __init__(self, authority: Authority, settings: str, clients: Authority | None = None) -> None:
        super().__init__(settings, (user("ada", "analyst"),))
        self._authority = authority
        self._clients = clients

    def _fill(self, folder: Path) -> None:
        super()._fill(folder)
        self._authority.server().write(folder, "server")
        if self._clients is not None:
            (folder / "clients.crt").write_bytes(self._clients.certificate)

    @property
    def uri(self) -> str:
        return f"grpc+tls://{HOST}:{self.port}"


def trusting(authority: Authority, client: Pair | None = None) -> dict[str, str]:
    options = {DatabaseOptions.TLS_ROOT_CERTS.value: authority.certificate.decode()}
    if client is not None:
        options[DatabaseOptions.MTLS_CERT_CHAIN.value] = client.certificate.decode()
        options[DatabaseOptions.MTLS_PRIVATE_KEY.value] = client.key.decode()
    return options


def bearing(token: str) -> dict[str, str]:
    return {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}


def refusal(uri: str, name: str | None = None, **options: str) -> str:
    with pytest.raises(adbc_driver_manager.Error) as raised:
        asked(uri, ORDERS, name, **options)
    return str(raised.value)


def replace(folder: Path, pair: Pair) -> None:
    """Both files, one after the other, as a tool that renews certificates does."""
    for path in pair.write(folder, "new"):
        path.replace(folder / f"server{path.suffix}")


def test_a_certificate_that_changes_while_the_server_runs() -> None:
    before, after = Authority("before"), Authority("after")
    with Secured(before, f'users_file = "users.toml"\n{TLS}') as server:
        assert asked(server.uri, ORDERS, "ada", **trusting(before)) == [(1,), (3,)]
        assert "certificate" in refusal(server.uri, "ada", **trusting(after))
        assert refusal(server.uri.replace("+tls", ""), "ada")
        # Half of the new pair is no pair: the server goes on as it was.
        pair = after.server()
        (server.programs / "server.crt").write_bytes(pair.certificate)
        assert asked(server.uri, ORDERS, "ada", **trusting(before)) == [(1,), (3,)]
        assert "the certificate is kept as it was" in server.log.read_text()
        replace(server.programs, pair)
        assert asked(server.uri, ORDERS, "ada", **trusting(after)) == [(1,), (3,)]
        assert "certificate" in refusal(server.uri, "ada", **trusting(before))


@pytest.mark.filterwarnings("ignore:ssl:DeprecationWarning")
def test_old_protocols_are_refused() -> None:
    with Secured(Authority("server"), f'users_file = "users.toml"\n{TLS}') as server:
        assert protocol(server.port, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        assert protocol(server.port, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        with pytest.raises(ssl.SSLError, match=r"EOF|(?i:alert|protocol)"):
            protocol(server.port, ssl.TLSVersion.TLSv1_1)


def protocol(port: int, version: ssl.TLSVersion) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((HOST, port), 10) as plain, context.wrap_socket(plain) as wrapped:
        return wrapped.version()


def test_a_clients_certificate_says_who_asks() -> None:
    servers, clients = Authority("servers"), Authority("clients")
    settings = f'{TLS}client_authority = "clients.crt"\n[serve.user.ada]\nroles = ["analyst"]\n'
    with Secured(servers, settings, clients) as server:
        assert asked(server.uri, ORDERS, **trusting(servers, clients.client("ada"))) == [(1,), (3,)]
        assert "there is no table" in refusal(server.uri, **trusting(servers, clients.client("bob")))
        assert "no single name" in refusal(server.uri, **trusting(servers, clients.client("a\tb")))
        assert refusal(server.uri, **trusting(servers))
        assert refusal(server.uri, **trusting(servers, Authority("clients").client("ada")))


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture(scope="module")
def with_tokens(provider: IdentityProvider) -> Iterator[Guarded]:
    settings = (
        f'[serve.jwt]\nissuer = "{provider.issuer}"\naudience = "{AUDIENCE}"\n'
        'leeway = "1s"\nroles_claim = "groups"\n'
    )
    with Guarded(settings) as server:
        yield server


def test_a_token_of_a_provider(with_tokens: Guarded, provider: IdentityProvider) -> None:
    token = provider.token(groups=["analyst", "others"])
    assert asked(with_tokens.uri, ORDERS, **bearing(token)) == [(1,), (3,)]
    assert asked(with_tokens.uri, ORDERS, **bearing(provider.token(sub="root", groups="boss"))) == [
        (1,),
        (2,),
        (3,),
    ]
    assert "there is no table" in refusal(with_tokens.uri, **bearing(provider.token()))


def test_tokens_that_do_not_hold(with_tokens: Guarded, provider: IdentityProvider) -> None:
    expired = provider.token(groups=["analyst"], exp=int(time.time()) - 60)
    assert "the token has expired" in refusal(with_tokens.uri, **bearing(expired))
    other = provider.token(groups=["analyst"], aud="another")
    assert "the token is for somebody else" in refusal(with_tokens.uri, **bearing(other))
    said = refusal(with_tokens.uri)
    assert "send a token of the identity provider" in said


def test_keys_that_change(with_tokens: Guarded, provider: IdentityProvider) -> None:
    """A server that starts knows the keys of now; tests of key sets look at one that runs on."""
    before = provider.token(groups=["analyst"])
    assert asked(with_tokens.uri, ORDERS, **bearing(before)) == [(1,), (3,)]
    provider.rotate("another")
    after = provider.token(groups=["analyst"])
    with_tokens.restart()
    assert asked(with_tokens.uri, ORDERS, **bearing(after)) == [(1,), (3,)]
    assert "a key that its issuer does not have" in refusal(with_tokens.uri, **bearing(before))

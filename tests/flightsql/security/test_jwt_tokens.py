"""Tokens of an identity provider: what is taken, what is not, and keys that change."""

from __future__ import annotations

import time
from collections.abc import Iterator

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from heddle.flightsql.security import Refused
from heddle.flightsql.security.jwt_tokens import Identity, JwtTokens
from heddle.flightsql.security.key_sets import KEPT_S, REFETCH_S, KeySet
from heddle.serve_settings import JwtSettings
from tests.flightsql.security.identity_provider import AUDIENCE, IdentityProvider, identity_provider

DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


def tokens(provider: IdentityProvider, clock: Clock | None = None, **settings: object) -> JwtTokens:
    given = JwtSettings(provider.issuer, (AUDIENCE,), provider.keys_url, **settings)  # type: ignore[arg-type]
    return JwtTokens(given, KeySet(given.issuer, given.keys, clock or Clock()))


def refused(of: JwtTokens, token: str) -> Refused:
    with pytest.raises(Refused) as raised:
        of.identity(token)
    return raised.value


def test_a_token_tells_who_and_until_when(provider: IdentityProvider) -> None:
    exp = int(time.time()) + 100
    token = provider.token(sub="ada", exp=exp, realm={"roles": ["analyst", 7, "x\n"]})
    of = tokens(provider, roles_claim="realm.roles", leeway_s=10.0)
    assert of.identity(token) == Identity("ada", ("analyst",), exp + 10)


def test_claims_as_the_settings_name_them(provider: IdentityProvider) -> None:
    token = provider.token(**{"sub": "f81d4fae", "mail": "ada@example.com", "https://x.y/roles": "a b"})
    of = tokens(provider, name_claim="mail", roles_claim="https://x.y/roles")
    found = of.identity(token)
    assert (found.name, found.roles) == ("ada@example.com", ("a", "b"))


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": int(time.time()) - 3600}, "the token has expired"),
        ({"exp": None}, "the token is not valid"),
        ({"iss": "http://127.0.0.1:1"}, "for somebody else"),
        ({"iss": None}, "the token is not valid"),
        ({"aud": "another"}, "for somebody else"),
        ({"aud": None}, "the token is not valid"),
        ({"nbf": int(time.time() + DAY_S)}, "does not hold yet"),
        ({"sub": None}, "the token's claim `sub` is not the name of a user"),
        ({"sub": "x\ny"}, "the token's claim `sub` is not the name of a user"),
        ({"sub": "x" * 300}, "the token's claim `sub` is not the name of a user"),
    ],
)
def test_tokens_that_do_not_hold(provider: IdentityProvider, claims: dict[str, object], said: str) -> None:
    error = refused(tokens(provider), provider.token(**claims))
    assert error.kind == "unauthenticated"
    assert said in error.message


def test_leeway(provider: IdentityProvider) -> None:
    token = provider.token(exp=int(time.time()) - 3600)
    assert tokens(provider, leeway_s=DAY_S).identity(token).name == "ada"
    assert "expired" in refused(tokens(provider, leeway_s=5.0), token).message


def test_other_signatures(provider: IdentityProvider) -> None:
    of = tokens(provider)
    stranger = rsa.generate_private_key(65537, 2048)
    assert refused(of, provider.token(stranger)).message == "the token is not valid"
    token = provider.token()
    head, body, signature = token.split(".")
    assert refused(of, f"{head}.{body}.{signature[:-8]}AAAAAAAA").message == "the token is not valid"
    assert refused(of, f"{head}.{body}.").message == "the token is not valid"
    assert refused(of, "a.b.c").message == "the token is not valid"
    assert refused(of, "x" * 20_000).message == "the token is too long"


def test_only_the_algorithms_of_the_settings(provider: IdentityProvider) -> None:
    of = tokens(provider)
    assert "in a way" in refused(of, provider.token(algorithm="RS512")).message
    nothing = jwt.encode({"sub": "ada"}, None, "none", headers={"kid": "first"})
    assert "in a way" in refused(of, nothing).message
    shared = jwt.encode({"sub": "ada"}, "s" * 64, "HS256", headers={"kid": "first"})
    assert "in a way" in refused(of, shared).message
    longer = tokens(provider, algorithms=("RS512", "PS256"))
    for algorithm in ("RS512", "PS256"):
        assert longer.identity(provider.token(algorithm=algorithm)).name == "ada"
    provider.rotate("curve", kind="EC")
    crossed, stranger = tokens(provider), rsa.generate_private_key(65537, 2048)
    assert refused(crossed, provider.token(stranger)).message == "the token is not valid"
    assert tokens(provider).identity(provider.token()).name == "ada"
    only_rsa = tokens(provider, algorithms=("RS256",))
    assert "in a way" in refused(only_rsa, provider.token()).message


def test_keys_that_change_are_fetched_again_but_not_too_often(provider: IdentityProvider) -> None:
    clock = Clock()
    of = tokens(provider, clock)
    before = provider.token()
    for _ in range(3):
        of.identity(before)
    assert provider.fetched == 1
    provider.rotate("second")
    after = provider.token()
    for _ in range(5):
        assert "a key that its issuer does not have" in refused(of, after).message
    assert provider.fetched == 1
    clock.now_s += REFETCH_S + 1
    assert of.identity(after).name == "ada"
    assert provider.fetched == 2
    assert "a key that its issuer does not have" in refused(of, before).message


def test_keys_go_on_to_hold_while_the_provider_is_away(provider: IdentityProvider) -> None:
    clock = Clock()
    of = tokens(provider, clock)
    provider.is_down = True
    error = refused(of, provider.token())
    assert error.kind == "unavailable"
    assert provider.issuer not in error.message
    provider.is_down = False
    assert refused(of, provider.token()).kind == "unavailable"
    clock.now_s += REFETCH_S + 1
    assert of.identity(provider.token()).name == "ada"
    provider.is_down = True
    clock.now_s += KEPT_S + 1
    assert of.identity(provider.token()).name == "ada"


def test_the_issuer_says_where_its_keys_are(provider: IdentityProvider) -> None:
    of = JwtTokens(JwtSettings(provider.issuer, (AUDIENCE,)))
    assert of.identity(provider.token()).name == "ada"

"""Tokens of an identity provider: signed claims (JWT), checked for signature, issuer, audience and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from heddle.core.record import record
from heddle.errors import UsageError
from heddle.flightsql.security import Refused
from heddle.flightsql.security.key_sets import KeySet, KeysUnavailable
from heddle.flightsql.security.users_file import is_name
from heddle.serve_settings import JwtSettings

TOKEN_CHARS_MAX: Final = 16_384
ROLES_MAX: Final = 1000


@record(frozen=True, slots=True)
class Identity:
    """Who a token speaks of; `ends_s` counts from 1970."""

    name: str
    roles: tuple[str, ...]
    ends_s: float


class JwtTokens:
    """Thread-safe."""

    def __init__(self, settings: JwtSettings, keys: KeySet | None = None) -> None:
        """Raises `UsageError` where the package for it is missing."""
        try:
            import cryptography  # noqa: F401  # signatures with public keys
            import jwt  # noqa: F401
        except ImportError as error:
            help = "install them with `pip install 'heddle[serve]'`"
            raise UsageError("tokens of a provider need pyjwt and cryptography", help=help) from error
        self._settings = settings
        self._keys = keys or KeySet(settings.issuer, settings.keys)

    def identity(self, token: str) -> Identity:
        """Raises `Refused`; what it says tells only what whoever holds the token can read in it."""
        import jwt

        if len(token) > TOKEN_CHARS_MAX:
            raise Refused("unauthenticated", "the token is too long")
        try:
            header = jwt.get_unverified_header(token)
            id = header.get("kid")
            if header.get("alg") not in self._settings.algorithms or not isinstance(id, str | None):
                raise Refused(
                    "unauthenticated", "the token is signed in a way that this server does not take"
                )
            key = self._keys.key(id)
            if key is None:
                raise Refused(
                    "unauthenticated", "the token is signed with a key that its issuer does not have"
                )
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self._settings.algorithms),
                audience=list(self._settings.audience),
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_s,
                options={"require": ["exp", "iss", "aud"]},
            )
        except KeysUnavailable as error:
            raise Refused(
                "unavailable", "the keys of the identity provider cannot be had; try again later"
            ) from error
        except jwt.ExpiredSignatureError as error:
            raise Refused("unauthenticated", "the token has expired", help="get another one") from error
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError) as error:
            raise Refused("unauthenticated", "the token is for somebody else than this server") from error
        except jwt.ImmatureSignatureError as error:
            raise Refused("unauthenticated", "the token does not hold yet") from error
        except (jwt.PyJWTError, TypeError, ValueError) as error:  # the latter for a key of another kind
            raise Refused("unauthenticated", "the token is not valid") from error
        return self._identity(claims)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        name = _claim(claims, self._settings.name_claim)
        if not isinstance(name, str) or not is_name(name):
            message = f"the token's claim `{self._settings.name_claim}` is not the name of a user"
            raise Refused("unauthenticated", message)
        found = _claim(claims, self._settings.roles_claim) if self._settings.roles_claim else None
        roles = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
        named = tuple(role for role in roles if isinstance(role, str) and is_name(role))
        return Identity(name, named[:ROLES_MAX], float(claims["exp"]) + self._settings.leeway_s)


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """The claim of this name, or what dots in the name lead to."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found

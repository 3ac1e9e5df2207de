"""The public keys of an identity provider (JWKS), fetched when they are needed and kept for a while.

A token that names an unknown key makes the set be fetched again, since providers change their keys; but not
more often than every `REFETCH_S`, whatever tokens come. When a fetch fails, the keys that are there go on to
hold.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.client import HTTPException
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

if TYPE_CHECKING:
    from jwt import PyJWK

    PublicKey: TypeAlias = PyJWK | Any
    """A key with its algorithm; or, where the set does not name one, the key alone."""

KEPT_S: Final = 3600.0
REFETCH_S: Final = 30.0
FETCH_TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 1 << 20
KEYS_MAX: Final = 100


class KeysUnavailable(Exception):
    """The keys cannot be fetched, or are none; the message says why."""


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class KeySet:
    """Thread-safe. One fetch at a time, for which only those wait who need it."""

    def __init__(self, issuer: str, url: str | None, clock: Callable[[], float] = monotonic) -> None:
        """Without a `url` the issuer's configuration is asked for it."""
        self._issuer = issuer
        self._url = url
        self._clock = clock
        self._fetching = threading.Lock()
        self._keys: Mapping[str | None, PublicKey] = {}
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._failure = ""

    def key(self, id: str | None) -> PublicKey | None:
        """The key with this id, or the only key for a token that names none; None: there is no such key.
        Raises `KeysUnavailable`."""
        if self._should_fetch(id):
            with self._fetching:
                if self._should_fetch(id):  # nobody has, while this waited
                    self._fetch()
        if not self._keys:
            raise KeysUnavailable(self._failure)
        return self._find(id)

    def _should_fetch(self, id: str | None) -> bool:
        now_s = self._clock()
        old = self._fetched_s is None or now_s - self._fetched_s > KEPT_S
        lately = self._tried_s is not None and now_s - self._tried_s <= REFETCH_S
        return (old or self._find(id) is None) and not lately

    def _find(self, id: str | None) -> PublicKey | None:
        keys = self._keys
        if id is None:
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(id)

    def _fetch(self) -> None:
        try:
            self._keys = _keys_of(_document(self._url or self._configured_url()))
            self._fetched_s = self._clock()
        except KeysUnavailable as error:
            self._failure = str(error)
        finally:
            self._tried_s = self._clock()

    def _configured_url(self) -> str:
        document = _document(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or document.get("issuer") != self._issuer:
            raise KeysUnavailable("the issuer's configuration names no keys, or another issuer")
        if url.startswith("http://") and self._issuer.startswith("https://"):
            raise KeysUnavailable("the issuer's keys are not at an https address")
        return url


def _document(url: str) -> dict[str, Any]:
    request = Request(url, headers={"Accept": "application/json"})
    try:
        with build_opener(_NoRedirects).open(request, timeout=FETCH_TIMEOUT_S) as answer:
            body = answer.read(ANSWER_BYTES_MAX + 1)
    except (URLError, OSError, HTTPException, ValueError) as error:
        raise KeysUnavailable(f"{url} cannot be fetched: {error}") from error
    if len(body) > ANSWER_BYTES_MAX:
        raise KeysUnavailable(f"the answer of {url} is longer than {ANSWER_BYTES_MAX:,} bytes")
    try:
        document = json.loads(body)
    except ValueError as error:
        raise KeysUnavailable(f"the answer of {url} is not JSON") from error
    if not isinstance(document, dict):
        raise KeysUnavailable(f"the answer of {url} is not an object")
    return document


def _keys_of(document: Mapping[str, Any]) -> dict[str | None, PublicKey]:
    """Keys for signatures. Those of a kind that is not known here are left out."""
    from jwt import PyJWK, PyJWTError

    keys: dict[str | None, PublicKey] = {}
    listed = document.get("keys")
    for item in listed[:KEYS_MAX] if isinstance(listed, list) else []:
        if not isinstance(item, dict) or item.get("use", "sig") != "sig" or item.get("kty") == "oct":
            continue
        try:
            key = PyJWK.from_dict(item)
        except (PyJWTError, ValueError, TypeError):
            continue
        keys[key.key_id] = key if "alg" in item else key.key
    if not keys:
        raise KeysUnavailable("the issuer has no keys that can be used")
    return keys

"""An identity provider on this machine: it serves its keys (JWKS) and its configuration, and signs tokens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "heddle"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class IdentityProvider:
    """`fetched` counts how often its keys were asked for."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.keys_url = f"{self.issuer}/keys"
        self.fetched = 0
        self.is_down = False
        self._private: dict[str, PrivateKey] = {}

    def rotate(self, id: str, *, kind: str = "RSA") -> None:
        """Sign with another key; the one before is gone."""
        self._private = {id: _new_key(kind)}

    def token(self, key: PrivateKey | None = None, *, algorithm: str | None = None, **claims: Any) -> str:
        """Signed with the key of now, or with `key` under its name. A claim of None is left out."""
        [(id, own)] = self._private.items()
        now = int(time.time())
        all_claims = {"iss": self.issuer, "aud": AUDIENCE, "exp": now + 600, "sub": "ada", **claims}
        used = key or own
        name = algorithm or ("RS256" if isinstance(used, rsa.RSAPrivateKey) else "ES256")
        return jwt.encode(
            {k: v for k, v in all_claims.items() if v is not None}, used, name, headers={"kid": id}
        )

    def answer(self, path: str) -> Mapping[str, object] | None:
        if self.is_down:
            return None
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.issuer, "jwks_uri": self.keys_url}
        self.fetched += 1
        return {"keys": [_public(id, key) for id, key in self._private.items()]}


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    provider: IdentityProvider

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = provider.answer(self.path)
            body = json.dumps(answer).encode()
            self.send_response(200 if answer is not None else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = IdentityProvider(server.server_address[1])
    provider.rotate("first")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _new_key(kind: str) -> PrivateKey:
    if kind == "EC":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048)


def _public(id: str, key: PrivateKey) -> Mapping[str, object]:
    if isinstance(key, rsa.RSAPrivateKey):
        return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": id, "use": "sig"}
    return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": id}

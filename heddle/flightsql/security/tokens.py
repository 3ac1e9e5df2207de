"""Tokens of users: what a program shows instead of a password. `hdl_ID_SECRET`, kept as a hash only."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from heddle.flightsql.security.users_file import TokenEntry

TOKEN_START: Final = "hdl_"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32


def new_token(expires_s: int | None) -> tuple[str, TokenEntry]:
    """A token, to be shown once, and what the users file keeps of it."""
    id = secrets.token_hex(_ID_BYTES)
    token = f"{TOKEN_START}{id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return token, TokenEntry(id, hashlib.sha256(token.encode()).hexdigest(), expires_s)


def token_id(token: str) -> str:
    return token.removeprefix(TOKEN_START).partition("_")[0]

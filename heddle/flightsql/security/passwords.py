"""Passwords, kept as argon2 hashes. Checking one takes some 50 ms and 64 MB, so few are checked at a time."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Final

from heddle.errors import UsageError
from heddle.flightsql.security import Refused

if TYPE_CHECKING:
    from argon2 import PasswordHasher

AT_A_TIME: Final = 2
WAIT_S: Final = 10.0
"""How long a check waits for others; then there are more logins than the server can check."""
PASSWORD_CHARS_MIN: Final = 8
PASSWORD_BYTES_MAX: Final = 1024

_CHECKING: Final = threading.BoundedSemaphore(AT_A_TIME)


def require_argon2() -> None:
    """Raises `UsageError` where the package is missing."""
    _hasher()


def hash_of(password: str) -> str:
    """Raises `UsageError` for a password that is too short or too long."""
    if len(password) < PASSWORD_CHARS_MIN:
        raise UsageError(f"a password has at least {PASSWORD_CHARS_MIN} characters")
    if len(password.encode()) > PASSWORD_BYTES_MAX:
        raise UsageError(f"a password has at most {PASSWORD_BYTES_MAX} bytes")
    return _hasher().hash(password)


def fits(password: str, hash: str | None) -> bool:
    """Whether the password has this hash. Without a hash the answer is no, and takes as long. Raises
    `Refused` when too many are being checked."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if len(password.encode()) > PASSWORD_BYTES_MAX:
        return False
    if not _CHECKING.acquire(timeout=WAIT_S):
        raise Refused("exhausted", "too many log in at the same time; try again later")
    try:
        return _hasher().verify(hash or _nobodys_hash(), password) and hash is not None
    except (InvalidHashError, VerificationError):
        return False
    finally:
        _CHECKING.release()


@cache
def _hasher() -> PasswordHasher:
    try:
        from argon2 import PasswordHasher
    except ImportError as error:
        help = "install it with `pip install 'heddle[serve]'`"
        raise UsageError("passwords need the package argon2-cffi", help=help) from error
    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    return _hasher().hash("nobody has this password")

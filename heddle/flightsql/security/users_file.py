"""The file of users: names with argon2 hashes of passwords, roles, and hashes of tokens.

`heddle user` writes it; a server reads it, and reads it again when it has changed. It is its owner's alone.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from heddle.core.record import record
from heddle.errors import UsageError
from heddle.paths import shown_path

NAME_CHARS_MAX: Final = 256
_HEAD: Final = "# Written by `heddle user`. Nobody but its owner may read it.\n"


@record(frozen=True, slots=True)
class TokenEntry:
    """`digest` is the SHA-256 of the whole token, in hex; `expires_s` counts from 1970, None: never."""

    id: str
    digest: str
    expires_s: int | None = None


@record(frozen=True, slots=True)
class UserEntry:
    """`password` is an argon2 hash; None: the user has tokens only."""

    name: str
    password: str | None = None
    roles: tuple[str, ...] = ()
    tokens: tuple[TokenEntry, ...] = ()


Users: TypeAlias = Mapping[str, UserEntry]


def is_name(name: str) -> bool:
    """Whether this can be the name of a viewer or a role."""
    return 0 < len(name) <= NAME_CHARS_MAX and name.isprintable()


class UsersFile:
    """Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Raises `UsageError`."""
        self.path = path
        self._lock = threading.Lock()
        self._state, self._users = _read(path)

    def current(self) -> Users:
        """The users as the file has them; the same mapping while it has not changed. Raises `UsageError`."""
        try:
            state = _state_of(os.stat(self.path))
        except OSError as error:
            raise _unreadable(self.path, error) from error
        with self._lock:
            if state != self._state:
                self._state, self._users = _read(self.path)
            return self._users


def change_users(path: Path, change: Callable[[dict[str, UserEntry]], None]) -> None:
    """Rewrite the file, which need not be there, with what `change` has done to its users; one process at a
    time. Raises `UsageError`."""
    with _one_at_a_time(path):
        users = dict(_read(path)[1]) if path.exists() else {}
        change(users)
        part = path.with_name(f".{path.name}.part")
        try:
            part.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(_HEAD + "".join(_entry_text(users[name]) for name in sorted(users)))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise UsageError(f"{shown_path(path)} cannot be written: {error.strerror}") from error


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    try:
        folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{shown_path(path)} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


_State: TypeAlias = tuple[int, int, int, int]


def _state_of(status: os.stat_result) -> _State:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: Path) -> tuple[_State, Users]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            require_private(status, path)
            values = tomllib.load(file)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{shown_path(path)} is not valid TOML") from error
    try:
        return _state_of(status), {name: _entry(name, value) for name, value in values["user"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if not values:
            return _state_of(status), {}
        help = "write it with `heddle user`"
        raise UsageError(f"{shown_path(path)} is not a file of users", help=help) from error


def require_private(status: os.stat_result, path: Path) -> None:
    """Raises `UsageError` for a file that others can read or write."""
    if status.st_uid != os.getuid():
        raise UsageError(
            f"{shown_path(path)} belongs to another user", help="make a file of your own, with mode 600"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        message = f"{shown_path(path)} can be used by others (its mode is {mode:03o})"
        raise UsageError(message, help=f"run `chmod 600 {shown_path(path)}`")


def _unreadable(path: Path, error: OSError) -> UsageError:
    help = "`heddle user add NAME` makes it" if isinstance(error, FileNotFoundError) else None
    return UsageError(f"{shown_path(path)} cannot be read: {error.strerror}", help=help)


def _entry(name: str, value: Mapping[str, object]) -> UserEntry:
    if not is_name(name) or ":" in name:
        raise ValueError(name)
    password = value.get("password")
    roles, tokens = value.get("roles", []), value.get("token", [])
    if not isinstance(password, str | None) or not isinstance(roles, list) or not isinstance(tokens, list):
        raise TypeError(name)
    if not all(isinstance(role, str) and is_name(role) for role in roles):
        raise ValueError("roles")
    return UserEntry(name, password, tuple(roles), tuple(map(_token, tokens)))


def _token(value: Mapping[str, object]) -> TokenEntry:
    expires = value.get("expires")
    if not isinstance(expires, datetime | None):
        raise TypeError("expires")
    return TokenEntry(
        str(value["id"]), str(value["digest"]), int(expires.timestamp()) if expires is not None else None
    )


def _entry_text(user: UserEntry) -> str:
    lines = ["", f"[user.{_quoted(user.name)}]"]
    if user.password is not None:
        lines.append(f"password = {_quoted(user.password)}")
    lines.append(f"roles = [{', '.join(map(_quoted, user.roles))}]")
    for token in user.tokens:
        lines += [f"[[user.{_quoted(user.name)}.token]]", f"id = {_quoted(token.id)}"]
        lines.append(f"digest = {_quoted(token.digest)}")
        if token.expires_s is not None:
            lines.append(f"expires = {datetime.fromtimestamp(token.expires_s, UTC):%Y-%m-%dT%H:%M:%SZ}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

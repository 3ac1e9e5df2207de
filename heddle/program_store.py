"""Known programs on disk, so that a process starts where an earlier one got to.

One file for each program and profile, in a folder that only the user can read. It holds Python objects, so it
is read only where nobody else could have written it, and only by the code that wrote it. It is written beside
its place and then moved there. What cannot be read is as if it were not there, and what cannot be written is
not kept.
"""

from __future__ import annotations

import os
import pickle
import stat
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heddle.core.file_state import state_of
from heddle.program_cache import PROGRAMS, KnownProgram, ProgramKey

if TYPE_CHECKING:
    from heddle.frontend.typed import ResourceUse, StepCall, TypedProgram

ENTRIES_MAX: Final = 256
ENTRY_BYTES_MAX: Final = 4 << 20
_MARK: Final = b"heddle program\n"
_CHECKSUM_BYTES: Final = 4
_ENDING, _UNFINISHED = ".program", ".part"
_LIBRARIES: Final = ("datafusion", "duckdb", "prqlc", "pyarrow")


class ProgramStore:
    """The folder `heddle/programs` below the user's cache folder, made when it is first written to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> ProgramStore | None:
        """None where the user has no folder for it."""
        above, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
        if not os.path.isabs(above):  # as the XDG specification wants it
            above = os.path.join(home, ".cache")
        return cls(Path(above, "heddle", "programs")) if os.path.isabs(above) else None

    def find(self, key: ProgramKey) -> KnownProgram | None:
        """The program as it is; `PROGRAMS` knows it from here on."""
        content = self._read(_file_name(key))
        if content is None:
            return None
        try:
            known = _unpacked(content, key)
        except _DAMAGED:
            return None
        if known is not None:
            PROGRAMS.keep(known)
        return known

    def save(self, known: KnownProgram) -> None:
        """Unless it is there as it is, is too large, or holds a secret that somebody wrote out."""
        if not known.unsaved or _writes_secret(known.result.program):
            return
        known.unsaved = False
        content = _packed(known)
        if len(content) > ENTRY_BYTES_MAX:
            return
        with suppress(OSError):  # no room, or a folder that cannot be written: the next run compiles again
            self._write(_file_name(known.key), content)

    def _read(self, name: str) -> bytes | None:
        try:
            folder = self._open_folder()
        except OSError:
            return None
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
        except OSError:
            return None
        finally:
            os.close(folder)
        with open(file, "rb") as stream:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or not _is_own(status) or status.st_size > ENTRY_BYTES_MAX:
                return None
            try:
                return stream.read()
            except OSError:
                return None

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self._open_folder()
        part = f"{name}.{os.getpid()}{_UNFINISHED}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(part, flags, 0o600, dir_fd=folder)
            try:
                with open(file, "wb") as stream:
                    stream.write(content)
                os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(part, dir_fd=folder)
                raise
            _remove_oldest(folder)
        finally:
            os.close(folder)

    def _open_folder(self) -> int:
        """Raises `OSError` where somebody else could have put a file into it."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if not _is_own(os.fstat(folder)):
            os.close(folder)
            raise PermissionError(f"{self._folder} is not private to this user")
        return folder


_DAMAGED: Final = (
    *(pickle.UnpicklingError, EOFError, ImportError),
    *(ValueError, TypeError, AttributeError, IndexError),
)
"""What unpickling raises for bytes that no process of this code wrote."""


def _packed(known: KnownProgram) -> bytes:
    conditions = pickle.dumps((_code_state(), known.key, known.looked_at), pickle.HIGHEST_PROTOCOL)
    plans = dict(known.plans)  # another thread may plan meanwhile
    program = pickle.dumps((known.result, plans), pickle.HIGHEST_PROTOCOL)
    content = len(conditions).to_bytes(8) + conditions + program
    return _MARK + zlib.crc32(content).to_bytes(_CHECKSUM_BYTES) + content


def _unpacked(content: bytes, key: ProgramKey) -> KnownProgram | None:
    """None where it is of another program or code, or something has changed. Raises `_DAMAGED`."""
    start = len(_MARK) + _CHECKSUM_BYTES
    checksum = zlib.crc32(content[start:]).to_bytes(_CHECKSUM_BYTES)
    if not content.startswith(_MARK + checksum):
        return None
    end = start + 8 + int.from_bytes(content[start : start + 8])
    code, its_key, looked_at = pickle.loads(content[start + 8 : end])
    if its_key != key or code != _code_state() or not looked_at.still_holds():
        return None
    result, plans = pickle.loads(content[end:])
    return KnownProgram(key, result, looked_at, plans)


def _file_name(key: ProgramKey) -> str:
    """The same whatever the text, so that a program that is edited has one file."""
    path, folder, directory, _, *others = key
    parts = (zlib.crc32(repr(part).encode()) for part in ((path, folder, directory), others))
    return "".join(f"{part:08x}" for part in parts) + _ENDING


def _code_state() -> int:
    """A checksum of the state of our own code and of the libraries whose answers a program holds."""
    states = [(file, state_of(file)) for file in sorted(_python_files(os.path.dirname(__file__)))]
    for name in _LIBRARIES:
        spec = find_spec(name)
        states.append((name, state_of(spec.origin) if spec is not None and spec.origin else None))
    return zlib.crc32(repr((sys.version, states)).encode())


def _python_files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield entry.path
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _python_files(entry.path)


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid == os.getuid() and not status.st_mode & 0o077


def _remove_oldest(folder: int) -> None:
    """Keep the last `ENTRIES_MAX` files; what a dead process did not finish goes with the oldest."""
    names = [n for n in os.listdir(folder) if n.endswith((_ENDING, _UNFINISHED))]
    if len(names) <= ENTRIES_MAX:
        return
    written: list[tuple[int, str]] = []
    for name in names:
        try:
            written.append((os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime_ns, name))
        except FileNotFoundError:
            continue  # another process removed it
    for _, name in sorted(written)[:-ENTRIES_MAX]:
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            continue


def _writes_secret(program: TypedProgram | None) -> bool:
    """Whether a setting that is secret has a value that is no reference to the environment or a secret."""
    from heddle.frontend.typed import EnvRef, SecretRef, StepNode

    if program is None:
        return False
    calls = [node.call for node in program.nodes if isinstance(node, StepNode)]
    used: list[StepCall | ResourceUse] = [*calls, *program.resources.values()]
    return any(
        field.secret and not isinstance(of.config.get(field.name), EnvRef | SecretRef | None)
        for of in used
        for field in of.signature.config
    )

"""A plugin project in any language: a folder with `heddle-plugin.toml`, which says how to build and run it.

The code's hash covers the files that `sources` names; a project whose hash differs from that of its last
build is built before it starts.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from heddle.core.record import record
from heddle.paths import shown_path
from heddle.sizes import SIZE_HELP, parse_size
from heddle.udf_bridge.launch import START_TIMEOUT_S, Launch

PROJECT_FILE: Final = "heddle-plugin.toml"
STATE_FOLDER: Final = ".heddle"
BUILT_FILE: Final = "built"
BUILD_TAIL_LINES: Final = 30

KEYS: Final[dict[str, type | tuple[type, ...]]] = {
    "namespace": str,
    "language": str,
    "build": list,
    "run": list,
    "sources": list,
    "environment": list,
    "memory": str,
    "start_timeout_s": (int, float),
}
LANGUAGES: Final = ("python", "go", "rust", "node")


class ProjectError(Exception):
    """A project that cannot be used. `help` is the cure."""

    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


@record(frozen=True, slots=True)
class PluginProject:
    """`build` and `run` are commands in `folder`; `build` may be empty."""

    folder: Path
    namespace: str
    language: str
    build: tuple[str, ...]
    run: tuple[str, ...]
    sources: tuple[str, ...]
    environment: tuple[str, ...] = ()
    memory_bytes: int | None = None
    start_timeout_s: float = START_TIMEOUT_S

    def code_hash(self) -> str:
        """Of the settings and the contents of the sources. Raises `ProjectError` when there are none."""
        files = sorted({f for pattern in self.sources for f in self.folder.glob(pattern) if f.is_file()})
        if not files:
            raise ProjectError(
                f"{self.folder / PROJECT_FILE} names no file that exists in `sources`",
                'name the files whose content decides whether it is built again: sources = ["**/*.go"]',
            )
        digest = hashlib.sha256((self.folder / PROJECT_FILE).read_bytes())
        for file in files:
            digest.update(f"\0{file.relative_to(self.folder)}\0".encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def launch(self, code_hash: str) -> Launch:
        """How to start it."""
        return Launch(
            self.namespace,
            str(self.folder),
            code_hash,
            (self._program(), *self.run[1:]),
            self.folder,
            self.environment,
            self.memory_bytes,
            self.start_timeout_s,
        )

    def needs_build(self, code_hash: str) -> bool:
        """Whether its last build was of other code."""
        return bool(self.build) and _built_hash(self.folder) != code_hash

    def ensure_built(self, code_hash: str) -> bool:
        """Build it unless its last build was of this code; tells whether it did. Raises `ProjectError`."""
        if not self.build:
            return False
        state = self.folder / STATE_FOLDER
        state.mkdir(exist_ok=True)
        with _locked(state / "build.lock"):
            if not self.needs_build(code_hash):
                return False
            self._build()
            (state / BUILT_FILE).write_text(code_hash)
        return True

    def _build(self) -> None:
        try:
            done = subprocess.run(
                self.build,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except OSError as error:
            raise ProjectError(
                f"the plugin `{self.namespace}` cannot be built: `{self.build[0]}` "
                f"({error.strerror or error})",
                f"install what builds {self.language} projects, or correct `build` in {PROJECT_FILE}",
            ) from error
        if done.returncode:
            lines = done.stdout.decode("utf-8", "replace").splitlines()[-BUILD_TAIL_LINES:]
            raise ProjectError(
                f"the plugin `{self.namespace}` cannot be built: `{' '.join(self.build)}` ended with "
                f"{done.returncode}\n" + "\n".join(f"  {line}" for line in lines),
                f"run it in {self.folder}",
            )

    def _program(self) -> str:
        """`python` means the engine's own interpreter; a relative path starts at the project's folder."""
        program = self.run[0]
        if self.language == "python" and program == "python":
            return sys.executable
        return str(self.folder / program) if "/" in program else program


def _built_hash(folder: Path) -> str | None:
    stamp = folder / STATE_FOLDER / BUILT_FILE
    return stamp.read_text() if stamp.is_file() else None


def read_project(folder: Path) -> PluginProject:
    """Raises `ProjectError` with the place and the cure."""
    file = shown_path(folder / PROJECT_FILE)
    try:
        data = tomllib.loads((folder / PROJECT_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(
            f"{file} cannot be read ({error.strerror})", "a plugin project needs it"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectError(f"{file} is not TOML: {error}", "correct it") from error
    table = data.get("plugin")
    if not isinstance(table, dict):
        raise ProjectError(f"{file} has no [plugin]", 'begin it with [plugin] and namespace = "…"')
    _check_keys(file, table)
    language = table["language"]
    if language not in LANGUAGES:
        raise ProjectError(f'{file}: language = "{language}"', f"it is one of {', '.join(LANGUAGES)}")
    return PluginProject(
        folder=folder.resolve(),
        namespace=table["namespace"],
        language=language,
        build=_texts(file, table, "build"),
        run=_texts(file, table, "run"),
        sources=_texts(file, table, "sources"),
        environment=_texts(file, table, "environment"),
        memory_bytes=_size(file, table["memory"]) if "memory" in table else None,
        start_timeout_s=float(table.get("start_timeout_s", START_TIMEOUT_S)),
    )


def _check_keys(file: str, table: dict[str, Any]) -> None:
    for key, value in table.items():
        if key not in KEYS:
            near = get_close_matches(key, KEYS, n=1)
            cure = f"did you mean `{near[0]}`?" if near else f"it has: {', '.join(KEYS)}"
            raise ProjectError(f"{file}: [plugin] has no setting `{key}`", cure)
        if not isinstance(value, KEYS[key]):
            raise ProjectError(f"{file}: `{key}` has a value of the wrong type", "see docs/guides/plugins.md")
    for key in ("namespace", "language", "run", "sources"):
        if not table.get(key):
            raise ProjectError(f"{file}: [plugin] does not say `{key}`", f"add `{key} = …`")


def _texts(file: str, table: dict[str, Any], key: str) -> tuple[str, ...]:
    values = table.get(key, [])
    if not all(isinstance(value, str) for value in values):
        raise ProjectError(f"{file}: `{key}` is a list of strings", f'write {key} = ["…"]')
    return tuple(values)


def _size(file: str, text: str) -> int:
    size_bytes = parse_size(text)
    if size_bytes is None:
        raise ProjectError(f'{file}: memory = "{text}" is not an amount of memory', SIZE_HELP)
    return size_bytes


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

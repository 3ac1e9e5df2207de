"""User code by content: which files a Python file runs, their hash, and its import under a private name.

`closure_of` follows a file's imports to the files of the project that they reach, and reads them; `execute`
imports the file as a member of a private package whose name holds the hash. So what runs is what was hashed,
two versions of a file live side by side, sibling modules import each other, and `sys.path` stays as it is.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib
import linecache
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import decode_source, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from heddle.core.file_state import (
    FileState,
    States,
    last_changes_ns,
    state_of,
    still_hold,
    will_show_changes,
)
from heddle.core.record import record

PACKAGE_PREFIX = "heddle_code_"
FILES_MAX = 2_000
CLOSURES_MAX = 256
_CLOSURES: dict[tuple[Path, tuple[Path, ...]], Code] = {}
"""By file and roots, the longest unused first."""
_CLOSURES_LOCK = threading.Lock()
_EXECUTING = threading.RLock()
"""Held while code is imported, so that no other thread finds it half done."""
_CODE = "__heddle_code__"
"""The attribute of a private package that holds its `Code`."""


@record(frozen=True, slots=True)
class Code:
    """A file to run with the project files that it imports, and the hash over all of them.

    `roots` are the folders whose modules it may import by their plain names, nearest first. `contents` are
    the files as they were read, by path, in the order of the hash. `states` are those of all files and
    folders that were looked at, also of those that are not there: while they hold, the code is the same.
    """

    path: Path
    roots: tuple[Path, ...]
    contents: Mapping[Path, bytes] = field(compare=False, repr=False)
    hash: str
    states: States = field(default_factory=dict, compare=False, repr=False)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.contents)

    def find(self, top: str) -> Path | None:
        """The file that a top-level name means."""
        return _find(top, self.roots, self.contents)

    @property
    def package(self) -> str:
        return _package_of(self.path, self.hash)

    @property
    def module(self) -> str:
        return _module_of(self.path, self.hash)


def executed(path: Path, code_hash: str) -> ModuleType | None:
    """The module that `execute` made of this content of the file, even if the file has changed since."""
    with _EXECUTING:
        return sys.modules.get(_module_of(path, code_hash))


def _package_of(path: Path, code_hash: str) -> str:
    """The private package; its name tells apart both contents and places."""
    return PACKAGE_PREFIX + hashlib.sha256(f"{code_hash}\0{path}".encode()).hexdigest()[:20]


def _module_of(path: Path, code_hash: str) -> str:
    name = path.parent.name if path.name == "__init__.py" else path.stem
    return f"{_package_of(path, code_hash)}.{name}"


def closure_of(path: Path, roots: Sequence[Path]) -> Code:
    """The file and every file below `roots` that it may import, however deep. Raises `OSError`.

    It is read once in a process, and again when one of the files has changed or one that was missed is there.
    """
    path = path.resolve()
    folder = path.parent.parent if path.name == "__init__.py" else path.parent
    folders = tuple(dict.fromkeys([folder, *(root.resolve() for root in roots)]))
    with _CLOSURES_LOCK:
        known = _CLOSURES.pop((path, folders), None)
        if known is not None and still_hold(known.states):
            _CLOSURES[path, folders] = known
            return known
    code = _read_closure(path, folders)
    if not will_show_changes(last_changes_ns(code.states)):
        return code
    with _CLOSURES_LOCK:
        _CLOSURES[path, folders] = code
        while len(_CLOSURES) > CLOSURES_MAX:
            del _CLOSURES[next(iter(_CLOSURES))]
    return code


def _read_closure(path: Path, folders: tuple[Path, ...]) -> Code:
    look = _Look()
    contents: dict[Path, bytes] = {}
    waiting = [path, *(look.python_files(path.parent) if path.name == "__init__.py" else ())]
    while waiting and len(contents) < FILES_MAX:
        file = waiting.pop()
        if file in contents:
            continue
        look.is_file(file)
        contents[file] = file.read_bytes()
        waiting += _imported(contents[file], file, folders, look)
    ordered = {file: contents[file] for file in sorted(contents)}
    return Code(path, folders, ordered, hash_of(ordered), look.states)


class _Look:
    """Files and folders looked for, with the state of each from before it was read."""

    def __init__(self) -> None:
        self.states: dict[str, FileState | None] = {}

    def is_file(self, path: Path) -> bool:
        name = str(path)
        if name not in self.states:
            self.states[name] = state_of(name)
        return self.states[name] is not None and path.is_file()

    def python_files(self, folder: Path) -> list[Path]:
        """All below the folder."""
        found: list[Path] = []
        for place, folders, files in os.walk(folder):
            self.states[place] = state_of(place)
            folders[:] = [name for name in folders if name != "__pycache__"]
            found += [Path(place, name) for name in files if name.endswith(".py")]
        return found


def hash_of(contents: Mapping[Path, bytes]) -> str:
    """Of the files' names and contents, in their order; where they lie does not matter."""
    digest = hashlib.sha256()
    for file, content in contents.items():
        digest.update(f"{file.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def execute(code: Code) -> ModuleType:
    """Import the file; code that was imported before is given as it is. Raises what the code raises."""
    with _EXECUTING:
        if code.module in sys.modules:
            return sys.modules[code.module]
        if code.package not in sys.modules:
            package = ModuleType(code.package)
            package.__path__ = [str(root) for root in code.roots]
            vars(package)[_CODE] = code
            sys.modules[code.package] = package
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        try:
            return importlib.import_module(code.module)
        except BaseException:
            for name in [n for n in sys.modules if n == code.package or n.startswith(code.package + ".")]:
                del sys.modules[name]
            raise


class _Finder(MetaPathFinder):
    """Finds members of the private packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(PACKAGE_PREFIX) or path is None:
            return None
        code = _code_of(fullname)
        file = _find(fullname.rpartition(".")[2], [Path(entry) for entry in path], code.contents)
        if file is not None and file in code.contents:
            inner = [str(file.parent)] if file.name == "__init__.py" else None
            loader = _Loader(fullname, str(file))
            return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=inner)
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Compiles the source anew, so that a stale bytecode file can never stand in for it, and gives the
    module an `__import__` that finds the project's own modules."""

    def get_data(self, path: str) -> bytes:
        content = _code_of(self.name).contents.get(Path(path))
        if content is None:
            return super().get_data(path)
        # Stack traces show the lines that ran, also when the file has changed since.
        lines = decode_source(content).splitlines(keepends=True)
        linecache.cache[path] = (len(content), None, lines, path)
        return content

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        importer = _Importer(_code_of(module.__name__))
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": importer}
        super().exec_module(module)


@record(frozen=True, slots=True)
class _Importer:
    """`__import__` for code of a private package: `import helpers` means the project's `helpers.py`."""

    code: Code

    def __call__(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or self.code.find(top) is None:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        private = f"{self.code.package}.{name}"
        importlib.import_module(private)
        if not fromlist:
            return sys.modules[f"{self.code.package}.{top}"]
        return builtins.__import__(private, globals, locals, fromlist, 0)


def _code_of(module: str) -> Code:
    """The code that a member of a private package belongs to."""
    code = vars(sys.modules[module.partition(".")[0]])[_CODE]
    assert isinstance(code, Code), module
    return code


def _find(
    top: str, roots: Sequence[Path], contents: Mapping[Path, bytes], look: _Look | None = None
) -> Path | None:
    """The project file that the top-level name means: one that was read, else one that is there now."""
    candidates = [place for root in roots for place in (root / f"{top}.py", root / top / "__init__.py")]
    known = next((c for c in candidates if c in contents), None)
    is_file = look.is_file if look is not None else Path.is_file
    return known or next((c for c in candidates if is_file(c)), None)


def _imported(content: bytes, file: Path, roots: Sequence[Path], look: _Look) -> Iterator[Path]:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield from _files_of(alias.name.split("."), roots, look)
            case ast.ImportFrom(module=module, names=names, level=0) if module:
                yield from _files_of(module.split("."), roots, look)
                for alias in names:
                    yield from _files_of([*module.split("."), alias.name], roots, look)
            case ast.ImportFrom(module=module, names=names, level=level):
                start = file.parents[level - 1] if level <= len(file.parents) else file.parent
                parts = module.split(".") if module else []
                yield from _files_of(parts, [start], look)
                for alias in names:
                    yield from _files_of([*parts, alias.name], [start], look)


def _files_of(parts: Sequence[str], roots: Sequence[Path], look: _Look) -> Iterator[Path]:
    """The files that importing the dotted name runs, packages included."""
    if not parts:
        return
    found = _find(parts[0], roots, {}, look)
    if found is None:
        return
    yield found
    folder = found.parent
    for part in parts[1:]:
        inner = _find(part, [folder], {}, look)
        if inner is None or found.name != "__init__.py":
            return
        yield inner
        found, folder = inner, inner.parent

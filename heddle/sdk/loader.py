"""A Python file -> a module that programs can import: its signature and its callables.

A file that has a `Plugin` offers what that registered; any other file offers its public functions that
bind as steps. Mistakes in user code are a `LoadProblem` with file, line and cure, never a traceback.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from heddle.core.annotations import AnnotationError
from heddle.core.file_state import States
from heddle.core.signature import ModuleSignature
from heddle.sdk.binding import (
    PluginError,
    Properties,
    StepFunction,
    bind_step,
    role_of,
    streams,
)
from heddle.sdk.code import Code, closure_of, execute, executed
from heddle.sdk.loaded import LoadedModule
from heddle.sdk.plugin import Plugin

__all__ = [
    "LoadProblem",
    "LoadedModule",
    "load_code",
    "load_installed",
    "load_module",
    "loaded",
    "module_of",
    "read_code",
]

ProblemKind = Literal["missing", "syntax", "import", "registration", "namespace", "empty"]


class LoadProblem(Exception):
    """User code that cannot be loaded. `line` counts from 1, or is None."""

    def __init__(
        self, kind: ProblemKind, message: str, path: Path, line: int | None = None, help: str | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.path = path
        self.line = line
        self.help = help

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}" if self.line else str(self.path)


def load_module(
    path: Path, import_path: str, *, namespace: str | None = None, roots: Sequence[Path] = ()
) -> LoadedModule:
    """Load a Python file, or a package's `__init__.py`, under the name that programs import.

    `namespace` is the one a plugin must have; `roots` are further folders whose modules the code may
    import. The same content at the same place is run once in a process. Raises `LoadProblem`.
    """
    return load_code(read_code(path, roots), import_path, namespace=namespace)


def load_code(code: Code, import_path: str, *, namespace: str | None = None) -> LoadedModule:
    """Load code that was read before. Raises `LoadProblem`."""
    return _offered(_run(code), code.path, code.hash, import_path, namespace)


def load_installed(name: str, import_path: str, *, namespace: str | None = None) -> LoadedModule:
    """Load an installed Python module by its name. Raises `LoadProblem`."""
    try:
        with redirect_stdout(sys.stderr):
            module = importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        what = f"{type(error).__name__}: {error}"
        message = f"the installed module `{name}` fails to load: {what}"
        raise LoadProblem("import", message, Path(name)) from error
    path = Path(module.__file__ or name)
    return _offered(module, path, closure_of(path, ()).hash, import_path, namespace, origin=name)


def installed_states(name: str) -> States:
    """What must stay as it is for the code of an installed module to be the same; it was loaded before."""
    return closure_of(Path(sys.modules[name].__file__ or name), ()).states


def module_of(module: ModuleType) -> LoadedModule:
    """What a module offers that was imported in the ordinary way, as tests do. Raises `LoadProblem`."""
    path = Path(vars(module).get("__file__") or module.__name__)
    return _offered(module, path, "", module.__name__, None)


def loaded(signature: ModuleSignature, roots: Sequence[Path] = ()) -> LoadedModule:
    """The code of a signature: what this process loaded before, else loaded now. `roots` are further folders
    whose modules it may import. Raises `LoadProblem`."""
    if not signature.origin.endswith(".py"):
        return load_installed(signature.origin, signature.path, namespace=signature.namespace)
    path = Path(signature.origin)
    module = executed(path, signature.code_hash)
    namespace = signature.namespace if signature.namespace != signature.path else None
    if module is None:
        return load_module(path, signature.path, namespace=namespace, roots=roots)
    return _offered(module, path, signature.code_hash, signature.path, namespace)


def _offered(
    module: ModuleType,
    path: Path,
    code_hash: str,
    import_path: str,
    namespace: str | None,
    origin: str | None = None,
) -> LoadedModule:
    plugins = [value for value in vars(module).values() if isinstance(value, Plugin)]
    if not plugins:
        return _plain_module(module, path, code_hash, import_path)
    matching = [p for p in plugins if namespace is None or p.namespace == namespace]
    if not matching:
        raise LoadProblem(
            "namespace",
            f'the plugin in {path.name} has the namespace "{plugins[0].namespace}", not "{namespace}"',
            path,
            help=f'import and list it as "{plugins[0].namespace}", or write Plugin(namespace="{namespace}")',
        )
    plugin = matching[0]
    try:
        signature = plugin.signature(import_path, code_hash, origin or str(path))
    except PluginError as error:
        raise LoadProblem("registration", str(error), path) from error
    return LoadedModule(signature, plugin.steps, plugin.resources, {}, plugin.version, plugin.environment)


def _plain_module(module: ModuleType, path: Path, code_hash: str, import_path: str) -> LoadedModule:
    steps: dict[str, StepFunction] = {}
    ignored: dict[str, str] = {}
    for name, function in vars(module).items():
        if name.startswith("_") or not inspect.isfunction(function) or function.__module__ != module.__name__:
            continue
        try:
            bound = bind_step(function, name, Properties())
        except (PluginError, AnnotationError) as error:
            ignored[name] = str(error)
            continue
        if _is_step(function):
            steps[name] = bound
        else:
            ignored[name] = f"`{name}` neither takes nor returns a Table"
    if not steps:
        raise LoadProblem("empty", _no_steps(path, ignored), path, help=_STEP_FORM)
    signature = ModuleSignature(
        path=import_path,
        namespace=import_path,
        steps={name: step.signature for name, step in steps.items()},
        code_hash=code_hash,
        origin=str(path),
        doc=inspect.getdoc(module) or "",
    )
    return LoadedModule(signature, steps, {}, ignored)


_STEP_FORM = (
    "a step is a function with annotations, such as `def clean(input: Table) -> Table:`, "
    "with `from heddle.core import Table`"
)


def _is_step(function: Any) -> bool:
    """Whether a function that binds has to do with tables at all."""
    hints = inspect.get_annotations(function, eval_str=True)
    returned = hints.pop("return", None)
    if any(role_of(hint) == "input" for hint in hints.values()):
        return True
    item = returned.__args__[0] if streams(returned) else returned
    return role_of(item) == "input"


def _no_steps(path: Path, ignored: Mapping[str, str]) -> str:
    reason = next(iter(ignored.values()), "it has no public function")
    return f"{path.name} offers no step: {reason}"


def read_code(path: Path, roots: Sequence[Path]) -> Code:
    """The file and what it imports. Raises `LoadProblem`."""
    try:
        return closure_of(path, roots)
    except OSError as error:
        raise LoadProblem("missing", f"{path} cannot be read: {error.strerror}", path) from error


def _run(code: Code) -> ModuleType:
    """Run user code: whatever it raises becomes a `LoadProblem`. What it prints goes to stderr."""
    try:
        with redirect_stdout(sys.stderr):
            return execute(code)
    except SyntaxError as error:
        file = Path(error.filename) if error.filename else code.path
        raise LoadProblem(
            "syntax", f"{file.name} is not valid Python: {error.msg}", file, error.lineno
        ) from error
    except (PluginError, AnnotationError) as error:
        raise LoadProblem("registration", str(error), *_place(error, code)) from error
    except ModuleNotFoundError as error:
        file, line = _place(error, code)
        raise LoadProblem(
            "import",
            f"{file.name} imports `{error.name}`, which is not installed and not beside it",
            file,
            line,
            help=f"install it in Heddle's environment, or put `{error.name}.py` beside {code.path.name}",
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        file, line = _place(error, code)
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise LoadProblem("import", f"{file.name} fails while it is loaded: {what}", file, line) from error


def _place(error: BaseException, code: Code) -> tuple[Path, int | None]:
    """The innermost line of the project's own files on the way to an error."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) in code.files]
    return (Path(frames[-1].filename), frames[-1].lineno) if frames else (code.path, None)

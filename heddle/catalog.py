"""The project's catalog: import paths -> modules, and the columns of what only its settings can tell.

`ProjectCatalog` implements the checker's `Catalog` over a project's folder, the installed plugins, files
and `heddle.lock`, and notes what it looked at. With a `Describer` it asks services for what the lock does not
say; without one it asks only the gateways of plugins on other hosts. What is not known is an open row and a
warning.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from heddle.config import Project
from heddle.core.config import ConfigValue
from heddle.core.record import record
from heddle.core.signature import ModuleSignature, StepSignature
from heddle.core.types import OPEN_ROW, Column, RowType, parse_type, row_of_schema
from heddle.diagnostics import Severity
from heddle.frontend.catalog import AskedCall, CatalogProblem
from heddle.frontend.typed import ConfigData, EnvRef, ParamRef, SecretRef
from heddle.paths import shown_path
from heddle.program_cache import LookedAt
from heddle.std.signatures import STD_MODULES

if TYPE_CHECKING:
    from heddle.describing import Describer
    from heddle.lockfile import LockFile
    from heddle.udf_bridge.address import GatewayAddress

ENTRY_POINTS = "heddle.plugins"
PROJECT_FILE = "heddle-plugin.toml"


@record(slots=True, eq=False)
class ProjectCatalog:
    """What one program can import. Modules and files are looked at once; `looked_at` says which. When it is
    `refreshing`, the describer is asked also for what the lock says."""

    project: Project
    program_path: Path
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    notify: Callable[[str], None] = field(default=lambda line: None)
    looked_at: LookedAt = field(default_factory=LookedAt)
    describer: Callable[[], Describer] | None = None
    refreshing: bool = False
    _modules: dict[str, ModuleSignature | CatalogProblem] = field(default_factory=dict, init=False)
    _lock: LockFile | None = field(default=None, init=False)

    @property
    def folder(self) -> Path:
        """The program's folder, where relative paths start."""
        return self.program_path.resolve().parent

    def module(self, path: str) -> ModuleSignature | CatalogProblem:
        if path not in self._modules:
            self._modules[path] = self._resolve(path)
        return self._modules[path]

    def infer_row(
        self,
        module: ModuleSignature,
        step: StepSignature,
        config: Mapping[str, ConfigData],
        input_row: RowType | None,
        call: AskedCall | None = None,
    ) -> tuple[RowType, CatalogProblem | None]:
        if module.path == "std/io":
            return self._file_row(step.name, config)
        if module.path == "std/col":
            from heddle.std.columns import ColumnProblem, output_row

            row = output_row(step.name, config, input_row or OPEN_ROW)
            if isinstance(row, ColumnProblem):
                return OPEN_ROW, CatalogProblem("HD0410", "error", row.message, row.help, row.key)
            return row, None
        if _needs_no_service(module, step):
            settled = self._settled_row(module, step, config, input_row)
            if settled is not None:
                return settled
        if isinstance(schema := config.get("schema"), dict):
            return _beside(input_row, _written_row(schema), step), None
        return self._service_row(module, step, config, input_row, call)

    def is_remembered(
        self,
        module: ModuleSignature,
        step: StepSignature,
        config: Mapping[str, ConfigData],
        input_row: RowType | None,
    ) -> bool:
        if self._lock is None or self.refreshing or isinstance(config.get("schema"), dict):
            return False
        from heddle.lockfile import lock_key

        return self._lock.row(lock_key(module, step, config, input_row)) is not None

    def named_step(self, path: str, name: str) -> tuple[str, Mapping[str, ConfigData]] | None:
        named = self.project.named_steps.get(path, {}).get(name)
        return None if named is None else (named.step, named.settings)

    def overlay(self, kind: str, name: str) -> Mapping[str, ConfigData]:
        return self.project.overlay(kind, name)

    def parameters(self) -> Mapping[str, ConfigData]:
        return self.project.parameters()

    def _resolve(self, path: str) -> ModuleSignature | CatalogProblem:
        kind, _, rest = path.partition("/")
        if kind == "std":
            if path in STD_MODULES:
                return STD_MODULES[path]
            from heddle.catalog_problems import missing

            return missing(path, ["the standard library"], list(STD_MODULES))
        from heddle.sdk.loader import LoadProblem  # a program without plugins never needs the SDK

        try:
            if kind == "fhub":
                return self._connector(path, rest)
            if kind in (".", ".."):
                return self._local(path, [self.folder / path])
            if kind == "local" and rest:
                return self._local(path, [self.project.root / path, self.folder / path])
            return self._plugin(path)
        except LoadProblem as problem:
            from heddle.catalog_problems import load_problem

            return load_problem(path, problem)

    def _local(self, path: str, places: list[Path]) -> ModuleSignature | CatalogProblem:
        places = list(dict.fromkeys(place.resolve() for place in places))
        for place in places:
            self.looked_at.files(place / PROJECT_FILE)
            if (place / PROJECT_FILE).is_file():
                return self._project(path, place)
            for file in (place.with_name(place.name.removesuffix(".py") + ".py"), place / "__init__.py"):
                self.looked_at.files(file)
                if file.is_file():
                    return self._file(path, file)
        near = [f"{path.rpartition('/')[0]}/{name}" for place in places for name in _modules_in(place.parent)]
        looked = [shown_path(place.with_name(place.name.removesuffix(".py") + ".py")) for place in places]
        from heddle.catalog_problems import missing

        return missing(path, looked, near)

    def _plugin(self, path: str) -> ModuleSignature | CatalogProblem:
        if path in self.project.plugins:
            return self._listed_plugin(path, self.project.root / self.project.plugins[path])
        if path in self.project.remote_plugins:
            return self._remote_plugin(path)
        from importlib.metadata import entry_points

        self.looked_at.files(*(Path(folder) for folder in sys.path if folder))
        installed = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
        if path in installed:
            return self._installed(path, installed[path].value.partition(":")[0])
        known = [
            *self.project.plugins,
            *self.project.remote_plugins,
            *installed,
            *STD_MODULES,
            *(f"fhub/{n}" for n in connectors()),
        ]
        local = [f"./{name}" for name in _modules_in(self.folder)]
        if f"./{path}" in local:
            return CatalogProblem(
                "HD0401",
                "error",
                f'there is no module "{path}"',
                f'a file beside the program is imported as "./{path}"; '
                f'or list it in heddle.toml: [plugins] "{path}" = "{path}.py"',
            )
        from heddle.catalog_problems import missing

        return missing(path, ["[plugins] of heddle.toml", "the installed plugins"], known)

    def _listed_plugin(self, path: str, place: Path) -> ModuleSignature | CatalogProblem:
        self.looked_at.files(place / PROJECT_FILE, place)
        if (place / PROJECT_FILE).is_file():
            return self._project(path, place)
        file = place / "__init__.py" if place.is_dir() else place
        if not file.is_file():
            return CatalogProblem(
                "HD0401",
                "error",
                f'the plugin "{path}" is not where heddle.toml says: there is no {shown_path(file)}',
                "correct its path under [plugins]; paths there start at heddle.toml's folder",
            )
        return self._file(path, file, namespace=path)

    def _connector(self, path: str, name: str) -> ModuleSignature | CatalogProblem:
        if name not in connectors():
            near = [f"fhub/{n}" for n in connectors()]
            from heddle.catalog_problems import missing

            return missing(path, ["the connectors that come with Heddle"], near)
        return self._installed(path, f"fhub.{name}")

    def _file(self, path: str, file: Path, *, namespace: str | None = None) -> ModuleSignature:
        from heddle.sdk.loader import load_code, read_code

        code = read_code(file, (self.project.root,))
        self.looked_at.code(code.states)
        return load_code(code, path, namespace=namespace).signature

    def _installed(self, path: str, module_name: str) -> ModuleSignature:
        from heddle.sdk.loader import installed_states, load_installed

        signature = load_installed(module_name, path, namespace=path).signature
        self.looked_at.code(installed_states(module_name))
        return signature

    def _project(self, path: str, place: Path) -> ModuleSignature | CatalogProblem:
        """A plugin project of any language: its process says what it offers."""
        from heddle.udf_bridge.describing import describe_project
        from heddle.udf_bridge.project import ProjectError

        self.looked_at.complete = False
        try:
            return describe_project(place, path, self.environ, self.notify)
        except ProjectError as error:
            return CatalogProblem("HD0412", "error", error.message, error.help)

    def _remote_plugin(self, path: str) -> ModuleSignature | CatalogProblem:
        """A plugin on another host: its gateway says what it offers, or said so the last time."""
        from heddle.gateways import gateway_address
        from heddle.secrets import Masker
        from heddle.udf_bridge.describing import GatewayUnknownError, describe_gateway
        from heddle.udf_bridge.transport import StepFailure

        self.looked_at.complete = False
        url, folder = self.project.remote_plugins[path].url, self.project.state_folder
        address: GatewayAddress | StepFailure
        try:
            address = gateway_address(self.project, path, self.environ, Masker())
        except StepFailure as failure:
            address = failure
        try:
            return describe_gateway(path, address, url, folder, self.notify)
        except GatewayUnknownError as error:
            return CatalogProblem(
                "HD0413",
                "error",
                f'nothing is known of the plugin "{path}": {error}',
                "start `heddle plugin serve` there, or correct [plugins] in heddle.toml; what it offers is "
                "remembered once it was reached",
            )

    def _file_row(self, step: str, config: Mapping[str, ConfigData]) -> tuple[RowType, CatalogProblem | None]:
        from heddle.std.readers import ReaderError, describe

        plain = {key: self._known(value) for key, value in config.items()}
        unknown = [key for key, value in plain.items() if _plain(value) != value]
        if unknown:
            from heddle.catalog_problems import known_when_run

            return OPEN_ROW, known_when_run(unknown[0])
        values: dict[str, ConfigValue] = {k: _plain(v) for k, v in plain.items()}
        self.looked_at.reader(step, values, self.folder)
        try:
            return row_of_schema(describe(step, values, self.folder)), None
        except ReaderError as error:
            code = "HD0407" if error.kind == "missing" else "HD0408"
            severity: Severity = "warning" if error.kind in ("missing", "unreachable") else "error"
            return OPEN_ROW, CatalogProblem(code, severity, error.message, error.help, "path")

    def _settled_row(
        self,
        module: ModuleSignature,
        step: StepSignature,
        config: Mapping[str, ConfigData],
        input_row: RowType | None,
    ) -> tuple[RowType, CatalogProblem | None] | None:
        """What the step's own function says, in this process, if it has one; what only a run can read is null
        to it."""
        from heddle.core.failure import StepError
        from heddle.sdk.loader import loaded
        from heddle.sdk.runtime import ModuleRuntime

        values = {key: self._known(value) for key, value in config.items()}
        plain: dict[str, ConfigValue] = {key: _plain(value) for key, value in values.items()}
        try:
            bound = ModuleRuntime(loaded(module, (self.project.root,))).bind(step.name, plain, {})
            row = bound.infer(input_row or OPEN_ROW)
        except StepError as failure:
            if failure.kind == "unsupported":
                return None
            unknown = [key for key, value in values.items() if _plain(value) != value]
            if unknown:
                from heddle.catalog_problems import known_when_run

                return OPEN_ROW, known_when_run(unknown[0])
            return OPEN_ROW, CatalogProblem(
                "HD0416", "error", f"`{step.name}` refuses its settings: {failure.message}"
            )
        return _beside(input_row, row, step), None

    def _known(self, value: ConfigData) -> ConfigData:
        """A workflow parameter's value where it has one."""
        if isinstance(value, ParamRef):
            return self.parameters().get(value.name, value)
        return value

    def _service_row(
        self,
        module: ModuleSignature,
        step: StepSignature,
        config: Mapping[str, ConfigData],
        input_row: RowType | None,
        call: AskedCall | None,
    ) -> tuple[RowType, CatalogProblem | None]:
        from heddle.lockfile import FILE_NAME, LockFile, lock_key

        if self._lock is None:
            self.looked_at.files(self.project.root / FILE_NAME)
            self._lock = LockFile.read(self.project.root)
        if self._lock.problem is not None and not self.refreshing:
            return OPEN_ROW, CatalogProblem("HD0411", "warning", *self._lock.problem)
        known = self._lock.row(lock_key(module, step, config, input_row))
        if known is not None and not self.refreshing:
            return known, None
        if self.describer is None or call is None or not step.runnable:
            self.looked_at.unasked = True
            from heddle.catalog_problems import unknown_row

            return OPEN_ROW, unknown_row(step)
        self.looked_at.complete = False
        answer = self.describer().row(module, step, config, input_row, call)
        if answer.row is not None:
            return answer.row, None
        if self.refreshing:  # who refreshes tells of the problems
            return known or OPEN_ROW, None
        from heddle.catalog_problems import unanswered_row

        return OPEN_ROW, unanswered_row(step, answer.problems[0])


def connectors() -> list[str]:
    """The names of the connectors in `fhub`."""
    from pkgutil import iter_modules

    import fhub

    return sorted(m.name for m in iter_modules(fhub.__path__) if m.ispkg)


def _modules_in(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        if entry.suffix == ".py" and entry.name != "__init__.py":
            yield entry.stem
        elif entry.is_dir() and any((entry / n).is_file() for n in ("__init__.py", PROJECT_FILE)):
            yield entry.name


def _written_row(schema: Mapping[str, ConfigData]) -> RowType:
    columns = []
    for name, text in schema.items():
        type_, nullable = parse_type(str(text))
        columns.append(Column(name, type_, nullable))
    return RowType(tuple(columns))


def _needs_no_service(module: ModuleSignature, step: StepSignature) -> bool:
    """Whether the settings alone can say the columns of a Python step: it can do without resources."""
    python = module.origin.endswith(".py") or module.origin.replace(".", "_").isidentifier()
    return python and not any(slot.required for slot in step.slots)


def _beside(input_row: RowType | None, row: RowType, step: StepSignature) -> RowType:
    """A pass-through step adds its columns to those of its input."""
    if not step.passthrough or input_row is None:
        return row
    return replace(input_row.with_columns(row.columns), open=input_row.open)


def _plain(value: ConfigData) -> ConfigValue:
    match value:
        case EnvRef() | SecretRef() | ParamRef():
            return None
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value

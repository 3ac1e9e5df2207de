"""What authors of plugins do: list, describe, build and test plugins. The door for `heddle plugin`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from heddle.catalog import ENTRY_POINTS, ProjectCatalog, connectors
from heddle.config import Project
from heddle.core.record import record
from heddle.core.signature import ModuleSignature
from heddle.errors import UsageError
from heddle.frontend.catalog import CatalogProblem
from heddle.paths import shown_path
from heddle.sdk.describe import describe
from heddle.std.signatures import STD_MODULES

if TYPE_CHECKING:
    from heddle.udf_bridge.conformance import CaseResult


@record(frozen=True, slots=True)
class PluginEntry:
    """A module that programs of a project can import by name. `place` is a path or a package."""

    path: str
    kind: str
    place: str


def list_plugins(project: Project) -> list[PluginEntry]:
    """What `import` finds besides files beside the program."""
    from importlib.metadata import entry_points

    entries = [PluginEntry(path, "standard", "heddle") for path in STD_MODULES]
    entries += [PluginEntry(f"fhub/{name}", "connector", f"fhub.{name}") for name in connectors()]
    for point in entry_points(group=ENTRY_POINTS):
        entries.append(PluginEntry(point.name, "installed", point.value))
    for path, place in project.plugins.items():
        entries.append(PluginEntry(path, "project", shown_path(project.root / place)))
    return entries


def plugin_module(project: Project, path: str, notify: Callable[[str], None]) -> ModuleSignature:
    """What an import path, a Python file or a plugin project's folder offers. Raises `UsageError`."""
    catalog = ProjectCatalog(project, Path.cwd() / "program.he", os.environ, notify)
    place = Path(path)
    if place.exists():
        relative = os.path.relpath(place.with_suffix("") if place.suffix == ".py" else place, Path.cwd())
        path = f"./{relative}"
    found = catalog.module(path)
    if isinstance(found, CatalogProblem):
        raise UsageError(found.message, help=found.help)
    return found


def description(module: ModuleSignature) -> str:
    """What a module offers, as text."""
    return describe(module)


def build(folder: Path, notify: Callable[[str], None]) -> bool:
    """Build a plugin project; False when its last build was of this code. Raises `UsageError`."""
    from heddle.udf_bridge.project import ProjectError, read_project

    try:
        project = read_project(folder)
        code_hash = project.code_hash()
        if project.build and project.needs_build(code_hash):
            notify(f"building the plugin `{project.namespace}`: {' '.join(project.build)}")
        return project.ensure_built(code_hash)
    except ProjectError as error:
        raise UsageError(error.message, help=error.help) from error


def test(
    project: Project, path: str, environ: Mapping[str, str], notify: Callable[[str], None]
) -> Iterator[CaseResult]:
    """The conformance cases, run against a plugin. Raises `UsageError`."""
    from heddle.udf_bridge.conformance import run_cases
    from heddle.udf_bridge.plugins import Plugins
    from heddle.udf_bridge.transport import StepFailure

    module = plugin_module(project, path, notify)
    plugins = Plugins((project.root,), environ, notify)
    try:
        yield from run_cases(plugins.launch(module), module, environ)
    except StepFailure as failure:
        raise UsageError(failure.message) from failure
    finally:
        plugins.close()

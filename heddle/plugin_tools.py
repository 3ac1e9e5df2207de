"""What authors of plugins do: list, describe, build, test and serve them. The door for `heddle plugin`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from heddle.udf_bridge.address import AddressError, GatewayUrl, is_elsewhere, parse_place

if TYPE_CHECKING:
    from heddle.udf_bridge.conformance import CaseResult
    from heddle.udf_bridge.gateway import GatewaySettings


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
    for path, remote in project.remote_plugins.items():
        entries.append(PluginEntry(path, "remote", remote.url))
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

    module = _module_here(project, path, notify)
    plugins = Plugins((project.root,), environ, notify)
    try:
        yield from run_cases(plugins.launch(module), module, environ)
    except StepFailure as failure:
        raise UsageError(failure.message) from failure
    finally:
        plugins.close()


@record(frozen=True, slots=True)
class ServeOptions:
    """`listen` is HOST:PORT; port 0 takes a free one."""

    listen: str
    token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@contextmanager
def serving(
    project: Project,
    path: str,
    options: ServeOptions,
    environ: Mapping[str, str],
    notify: Callable[[str], None],
) -> Iterator[str]:
    """Serve a plugin to engines on other hosts while this is open; gives its URL. Raises `UsageError`.

    `notify` is told what the plugin's process writes.
    """
    from heddle.udf_bridge.gateway import GatewayError, serve_plugin
    from heddle.udf_bridge.plugins import Plugins
    from heddle.udf_bridge.transport import StepFailure

    settings = _gateway_settings(options)
    module = _module_here(project, path, notify)
    plugins = Plugins((project.root,), environ, notify)
    try:
        gateway = serve_plugin(plugins.hosts(), plugins.launch(module), module, settings, notify)
    except GatewayError as error:
        plugins.close()
        raise UsageError(error.message, help=error.help) from error
    except StepFailure as failure:
        plugins.close()
        raise UsageError(failure.message) from failure
    if not gateway.url.is_private:
        notify("nothing protects the rows and the token on their way; --tls-cert and --tls-key would")
    try:
        yield str(gateway.url)
    finally:
        gateway.close()
        plugins.close()


def _gateway_settings(options: ServeOptions) -> GatewaySettings:
    from heddle.udf_bridge.gateway import GatewaySettings

    try:
        host, port = parse_place(options.listen)
    except AddressError as error:
        raise UsageError(f"--listen: {error}", help="write it like `--listen 127.0.0.1:7070`") from error
    if (options.certificate is None) != (options.key is None):
        raise UsageError("TLS needs a certificate and its key", help="give both --tls-cert and --tls-key")
    for file in (options.certificate, options.key):
        if file is not None and not file.is_file():
            raise UsageError(f"there is no file {shown_path(file)}", help="name a PEM file")
    url = GatewayUrl("grpc+tls" if options.certificate is not None else "grpc", host, port)
    token = _token(options.token_file) if options.token_file is not None else None
    return GatewaySettings(url, token, options.certificate, options.key)


def _token(file: Path) -> str:
    """What the file holds, without white space around it."""
    shown = shown_path(file)
    try:
        status, text = file.stat(), file.read_text("utf-8").strip()
    except OSError as error:
        raise UsageError(f"the token file {shown} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the token file {shown} is not text") from error
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"the token file {shown} can be used by others", help=f"run `chmod 600 {shown}`")
    if not text or not text.isascii() or not text.isprintable():
        raise UsageError(
            f"the token file {shown} holds no token",
            help=f"one line of printable ASCII: `openssl rand -hex 32 > {shown}`",
        )
    return text


def _module_here(project: Project, path: str, notify: Callable[[str], None]) -> ModuleSignature:
    """A plugin whose process can be started on this host. Raises `UsageError`."""
    module = plugin_module(project, path, notify)
    if is_elsewhere(module):
        raise UsageError(f"the plugin `{path}` runs at {module.origin}", help="do this on that host")
    if path in STD_MODULES:
        raise UsageError(f"`{path}` is part of every engine", help="name a plugin")
    return module

"""The plugins of an engine: its processes, the merging of calls to them, and the transports of its runs.

Steps of `std` run in the engine's own process, those of a plugin that is served elsewhere behind its gateway,
all others in plugin processes; a run may ask for its Python steps inline.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heddle.core.private_folder import PrivateFolder
from heddle.core.signature import ModuleSignature
from heddle.udf_bridge.address import is_elsewhere
from heddle.udf_bridge.inline import InlineTransport
from heddle.udf_bridge.transport import (
    ChainSession,
    Reporter,
    ResourceBinding,
    StepBinding,
    StepFailure,
    StepSession,
    StepTransport,
)

if TYPE_CHECKING:
    from heddle.sdk.loader import LoadedModule
    from heddle.udf_bridge.address import GatewayAddress
    from heddle.udf_bridge.flight import Addresses, GatewayClients
    from heddle.udf_bridge.hosts import PluginHosts
    from heddle.udf_bridge.launch import Launch
    from heddle.udf_bridge.merging import Mergers
    from heddle.udf_bridge.unprotected import HoldsSecret

STANDARD: Final = "std/"

_numbers = count(1)


def no_gateways(module: ModuleSignature) -> GatewayAddress:
    """The addresses of an engine whose plugins are all here."""
    raise StepFailure(f"nothing says how {module.origin} is reached", "PluginStartError", "")


class Plugins:
    """`roots` are folders whose modules Python code may import; `addresses` says where the plugins on other
    hosts are. Close it with the engine. Thread-safe."""

    def __init__(
        self,
        roots: Sequence[Path] = (),
        environ: Mapping[str, str] = os.environ,
        notify: Callable[[str], None] = lambda line: None,
        addresses: Addresses = no_gateways,
    ) -> None:
        self._roots = tuple(roots)
        self._environ = environ
        self._notify = notify
        self._addresses = addresses
        self._lock = threading.Lock()
        self._hosts: PluginHosts | None = None
        self._mergers: Mergers | None = None
        self._clients: GatewayClients | None = None
        self._bundles: PrivateFolder | None = None

    def transport(self, *, inline: bool, holds_secret: HoldsSecret = lambda text: False) -> StepTransport:
        """The transport of one run; with `inline` its Python steps run in this process."""
        return RoutedTransport(self, inline=inline, holds_secret=holds_secret)

    def remote(self) -> StepTransport:
        """The transport to plugin processes."""
        from heddle.udf_bridge.remote import RemoteTransport

        hosts, mergers = self._started()
        return RemoteTransport(hosts, mergers, self.launch)

    def elsewhere(self, holds_secret: HoldsSecret) -> StepTransport:
        """The transport to gateways on other hosts."""
        from heddle.udf_bridge.flight import FlightTransport, GatewayClients

        _, mergers = self._started()
        with self._lock:
            if self._clients is None:
                self._clients = GatewayClients()
            return FlightTransport(self._clients, mergers, self._addresses, holds_secret)

    def health(self, resource: ResourceBinding, base: str) -> str | None:
        """What is wrong with a resource, which is opened and closed for this; None when nothing is. `base` is
        the program's folder. Raises `StepFailure`."""
        from heddle.udf_bridge.connection import failure_of_lost
        from heddle.udf_bridge.keys import resource_key
        from heddle.udf_bridge.lane_call import PluginLostError

        key = resource_key(resource, base)
        connection = self.hosts().host(self.launch(resource.module)).connection()
        try:
            return connection.check_resource(key)
        except PluginLostError as lost:
            raise failure_of_lost(connection.name, lost) from lost
        finally:
            connection.release(connection.give_up((), (key,)))

    def hosts(self) -> PluginHosts:
        return self._started()[0]

    def launch(self, module: ModuleSignature) -> Launch:
        """How the process of a module is started. Raises `StepFailure` when its code has gone."""
        from heddle.udf_bridge.launch import python_launch

        if is_elsewhere(module):
            raise StepFailure(f"the plugin `{module.path}` runs at {module.origin}", "PluginStartError", "")
        if is_project(module):
            return self._project_launch(module)
        return python_launch(module, self._roots, self._bundle(module))

    def close(self) -> None:
        """End all processes and remove what was kept for them."""
        with self._lock:
            hosts, self._hosts, self._mergers = self._hosts, None, None
            clients, self._clients = self._clients, None
            bundles, self._bundles = self._bundles, None
        if clients is not None:
            clients.close()
        if hosts is not None:
            hosts.close()
        if bundles is not None:
            bundles.remove()

    def _started(self) -> tuple[PluginHosts, Mergers]:
        from heddle.udf_bridge.hosts import PluginHosts
        from heddle.udf_bridge.merging import Mergers

        with self._lock:
            if self._hosts is None or self._mergers is None:
                self._hosts, self._mergers = PluginHosts(self._environ), Mergers()
            return self._hosts, self._mergers

    def _project_launch(self, module: ModuleSignature) -> Launch:
        from heddle.udf_bridge.describing import build_project
        from heddle.udf_bridge.project import ProjectError, read_project

        try:
            project = read_project(Path(module.origin))
            if project.code_hash() == module.code_hash:
                build_project(project, module.code_hash, self._notify)
            return project.launch(module.code_hash)
        except ProjectError as error:
            raise StepFailure(f"{error.message}; {error.help}", "PluginStartError", "") from error

    def loaded(self, module: ModuleSignature) -> LoadedModule:
        """The code of a Python module in this process. Raises `StepFailure`."""
        from heddle.sdk.loader import LoadProblem, loaded

        try:
            found = loaded(module, self._roots)
        except LoadProblem as problem:
            message = f"{problem.place}: {problem.message}"
            raise StepFailure(message, "PluginStartError", "") from problem
        if module.origin.endswith(".py") and found.signature.code_hash != module.code_hash:
            raise _changed(module)
        return found

    def _bundle(self, module: ModuleSignature) -> Path | None:
        """A copy of a Python module's files as they were planned with, so that a later edit does not reach
        this run; None for an installed module."""
        if not module.origin.endswith(".py"):
            return None
        from heddle.sdk.bundle import save_bundle
        from heddle.sdk.code import closure_of

        with self._lock:
            if self._bundles is None:
                self._bundles = PrivateFolder(
                    f"code-{os.getpid()}-{next(_numbers)}", Path(tempfile.gettempdir())
                )
            folder = self._bundles.path / module.code_hash
            if folder.is_dir():
                return folder
            try:
                code = closure_of(Path(module.origin), self._roots)
            except OSError as error:
                raise StepFailure(
                    f"the module {module.path} cannot be read: {error.strerror}", "PluginStartError", ""
                ) from error
            if code.hash != module.code_hash:
                raise _changed(module)
            save_bundle(code, folder)
            return folder


def _changed(module: ModuleSignature) -> StepFailure:
    message = f"{module.origin} was changed after the program was planned; run it again"
    return StepFailure(message, "PluginStartError", "")


class RoutedTransport:
    """The transport of one run: each step to where its module says."""

    def __init__(self, plugins: Plugins, *, inline: bool, holds_secret: HoldsSecret) -> None:
        self._plugins = plugins
        self._holds_secret = holds_secret
        self._inline_all = inline
        self._inline: StepTransport | None = None
        self._remote: StepTransport | None = None
        self._elsewhere: StepTransport | None = None
        self._lock = threading.Lock()

    def open(self, binding: StepBinding, report: Reporter) -> StepSession:
        return self._to(binding.module).open(binding, report)

    def open_chain(self, bindings: Sequence[StepBinding], report: Reporter) -> ChainSession | None:
        return self._to(bindings[0].module).open_chain(bindings, report)

    def _to(self, module: ModuleSignature) -> StepTransport:
        if is_elsewhere(module):
            with self._lock:
                if self._elsewhere is None:
                    self._elsewhere = self._plugins.elsewhere(self._holds_secret)
            return self._elsewhere
        if module.path.startswith(STANDARD) or (self._inline_all and not is_project(module)):
            with self._lock:
                if self._inline is None:
                    self._inline = InlineTransport(self._plugins.loaded)
            return self._inline
        with self._lock:
            if self._remote is None:
                self._remote = self._plugins.remote()
        return self._remote

    def close(self) -> None:
        for transport in (self._remote, self._elsewhere, self._inline):
            if transport is not None:
                transport.close()


def is_project(module: ModuleSignature) -> bool:
    """Whether a module is a plugin project with its own command, in any language."""
    return Path(module.origin).is_absolute() and not module.origin.endswith(".py")

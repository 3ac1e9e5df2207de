"""What a plugin offers whose signatures only its process knows: asked of it, then remembered.

A project's answer is kept beside its build (`.heddle/description-HASH.pb`), so that checking a program starts
no process unless the plugin has changed. A gateway is asked each time; what it said last stands in for it
while it cannot be reached.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from heddle.core.signature import ModuleSignature
from heddle.core.wire.description import DescriptionError, decode_module
from heddle.core.wire.plugin_pb2 import DescribeResponse
from heddle.udf_bridge.address import GatewayAddress
from heddle.udf_bridge.project import STATE_FOLDER, PluginProject, ProjectError, read_project
from heddle.udf_bridge.transport import StepFailure

DESCRIPTIONS_MAX: Final = 8
"""Older ones are removed."""

Notify = Callable[[str], None]
"""Takes a line about work that may take long."""


def describe_project(folder: Path, path: str, environ: Mapping[str, str], notify: Notify) -> ModuleSignature:
    """The signature of the project in `folder` under an import path; builds it if need be.

    Raises `ProjectError`.
    """
    project = read_project(folder)
    code_hash = project.code_hash()
    kept = project.folder / STATE_FOLDER / f"description-{code_hash[:16]}.pb"
    description = _kept(kept)
    if description is None:
        build_project(project, code_hash, notify)
        description = _asked(project, code_hash, environ)
        _keep(kept, description)
    if description.namespace != project.namespace:
        raise ProjectError(
            f'the plugin in {project.folder} calls itself "{description.namespace}", its heddle-plugin.toml '
            f'says "{project.namespace}"',
            "make them equal",
        )
    try:
        return decode_module(description, path, code_hash, str(project.folder))
    except DescriptionError as error:
        raise ProjectError(
            f"the plugin `{project.namespace}` describes itself wrongly: {error}", "update its SDK"
        ) from error


def build_project(project: PluginProject, code_hash: str, notify: Notify) -> None:
    """Build it unless that was done. Raises `ProjectError`."""
    if project.needs_build(code_hash):
        notify(f"building the plugin `{project.namespace}`: {' '.join(project.build)}")
        project.ensure_built(code_hash)


class GatewayUnknownError(Exception):
    """A gateway that cannot be asked and was never asked before; the message says why."""


def describe_gateway(
    path: str, address: GatewayAddress | StepFailure, url: str, folder: Path, notify: Notify
) -> ModuleSignature:
    """The signature of what is served at `url`, under an import path; answers are kept in `folder`.

    `address` is a failure when the gateway cannot be asked at all. Raises `GatewayUnknownError`.
    """
    from heddle.udf_bridge.flight import GatewayClient
    from heddle.udf_bridge.lane_call import PluginLostError

    kept = folder / f"gateway-{hashlib.sha256(url.encode()).hexdigest()[:16]}.pb"
    try:
        if isinstance(address, StepFailure):
            raise address
        client = GatewayClient(path, address, "")
        try:
            description, code_hash = client.describe()
        finally:
            client.close()
    except (StepFailure, PluginLostError) as error:
        remembered = _remembered(kept)
        if remembered is None:
            raise GatewayUnknownError(str(error)) from error
        notify(f"{error}; what `{path}` offered the last time is used")
        description, code_hash = remembered
    else:
        _write(kept, code_hash.encode() + b"\n" + description.SerializeToString())
    try:
        return decode_module(description, path, code_hash, url)
    except DescriptionError as error:
        raise GatewayUnknownError(f"{url} describes `{path}` wrongly: {error}") from error


def _remembered(file: Path) -> tuple[DescribeResponse, str] | None:
    try:
        code_hash, _, description = file.read_bytes().partition(b"\n")
        return DescribeResponse.FromString(description), code_hash.decode("ascii")
    except (OSError, DecodeError, UnicodeDecodeError):
        return None


def _asked(project: PluginProject, code_hash: str, environ: Mapping[str, str]) -> DescribeResponse:
    from heddle.udf_bridge.hosts import PluginHosts

    hosts = PluginHosts(environ)
    try:
        return hosts.host(project.launch(code_hash)).connection().description
    except StepFailure as failure:
        raise ProjectError(
            failure.message, f"run it in {project.folder}: {' '.join(project.run)}"
        ) from failure
    finally:
        hosts.close()


def _kept(file: Path) -> DescribeResponse | None:
    try:
        return DescribeResponse.FromString(file.read_bytes())
    except (OSError, DecodeError):
        return None


def _keep(file: Path, description: DescribeResponse) -> None:
    _write(file, description.SerializeToString())
    others = sorted(file.parent.glob("description-*.pb"), key=lambda f: f.stat().st_mtime, reverse=True)
    for old in others[DESCRIPTIONS_MAX:]:
        old.unlink(missing_ok=True)


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(file)

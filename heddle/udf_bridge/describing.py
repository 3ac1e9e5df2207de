"""What a plugin project offers: asked of its process once for each version of its code, then remembered.

The answer is kept beside the build (`.heddle/description-HASH.pb`), so that checking a program starts no
process unless the plugin has changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from heddle.core.signature import ModuleSignature
from heddle.core.wire.description import DescriptionError, decode_module
from heddle.core.wire.plugin_pb2 import DescribeResponse
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
    file.parent.mkdir(exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    partial.write_bytes(description.SerializeToString())
    partial.replace(file)
    others = sorted(file.parent.glob("description-*.pb"), key=lambda f: f.stat().st_mtime, reverse=True)
    for old in others[DESCRIPTIONS_MAX:]:
        old.unlink(missing_ok=True)

"""How the process of a plugin is started: a value, made from what an import resolved to.

Python modules run in `heddle.sdk.host`; a project in any language says its command in `heddle-plugin.toml`
(`project.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from heddle.core.record import record
from heddle.core.signature import ModuleSignature

START_TIMEOUT_S: Final = 30.0

INHERITED: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"),
)
"""What a process needs to run at all. Everything else a plugin declares."""


@record(frozen=True, slots=True)
class Launch:
    """`origin` is where the code is and `code_hash` names its version; two launches that are equal share a
    process. `environment` names the variables that the project lets the plugin see."""

    name: str
    origin: str
    code_hash: str
    command: tuple[str, ...]
    folder: Path
    environment: tuple[str, ...] = ()
    memory_bytes: int | None = None
    start_timeout_s: float = START_TIMEOUT_S


def python_launch(module: ModuleSignature, roots: Sequence[Path], bundle: Path | None) -> Launch:
    """A process for a Python module. Paths that user code opens start where the command was typed, as they
    do in any Python program."""
    # -P: no file of the working folder stands in for a module.
    command = [sys.executable, "-P", "-m", "heddle.sdk.host"]
    if module.origin.endswith(".py"):
        command += [module.origin]
    else:
        command += ["--installed", module.origin]
    command += ["--import-path", module.path, "--hash", module.code_hash]
    if module.namespace != module.path:
        command += ["--namespace", module.namespace]
    for root in roots:
        command += ["--root", str(root)]
    if bundle is not None:
        command += ["--bundle", str(bundle)]
    return Launch(module.path, module.origin, module.code_hash, tuple(command), Path.cwd())


def process_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of a plugin's process."""
    kept = {name: environ[name] for name in INHERITED if name in environ}
    locale = {name: value for name, value in environ.items() if name.startswith("LC_")}
    return {**kept, **locale, "HEDDLE_PLUGIN_FOLDER": str(folder), "PYTHONUNBUFFERED": "1"}


def declared_environment(environ: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: environ[name] for name in names if name in environ}

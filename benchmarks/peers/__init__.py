"""Other orchestrators, each with an environment of its own under `.cache/peers`, made at its first use.

`python_of` gives the Python of a peer's environment; a peer that does not install raises `NotInstalled`
with the reason. The programs that run in these environments lie beside this file.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import CACHE

HERE = Path(__file__).parent
ENVIRONMENTS = CACHE / "peers"
INSTALL_S_MAX = 600


@dataclass(frozen=True, slots=True)
class Peer:
    """`forced` is installed after the requirements, over what these say; `environ` is set for its processes,
    beside what every process has."""

    name: str
    requirements: tuple[str, ...]
    forced: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def hello(self) -> Path:
        """The program of three trivial steps, which prints the names `grace barbara`."""
        return HERE / f"hello_{self.name}.py"

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / self.name


PEERS = (
    Peer("hamilton", ("apache-hamilton>=1.90",)),
    Peer("kedro", ("kedro>=1.7",)),
    Peer("dagster", ("dagster>=1.13",)),
    # Prefect 3.8 calls FastAPI with an argument that later releases of it refuse.
    Peer(
        "prefect",
        ("prefect>=3.8",),
        ("fastapi<0.120",),
        {"PREFECT_HOME": str(ENVIRONMENTS / "prefect" / "home"), "PREFECT_LOGGING_LEVEL": "ERROR"},
    ),
    # Later releases download a program while they are installed.
    Peer("dbt", ("dbt-core~=1.10.0", "dbt-duckdb~=1.9.0")),
)
BY_NAME = {peer.name: peer for peer in PEERS}


class NotInstalled(Exception):
    """The environment of a peer could not be made; the text says why."""


def python_of(peer: Peer) -> Path:
    """Makes the environment when it is not there, or was made of other requirements."""
    python, stamp = peer.folder / "bin" / "python", peer.folder / "made-of.txt"
    wanted = "\n".join((*peer.requirements, *peer.forced))
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"making {peer.folder}", file=sys.stderr)
    shutil.rmtree(peer.folder, ignore_errors=True)
    for command in _commands(peer, python):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S_MAX, check=False)
        except subprocess.TimeoutExpired as reason:
            raise NotInstalled(f"not installed after {INSTALL_S_MAX} s") from reason
        if done.returncode:
            said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise NotInstalled(f"it does not install: {said[-1] if said else done.returncode}")
    stamp.write_text(wanted)
    return python


def _commands(peer: Peer, python: Path) -> list[list[str]]:
    """With uv where it is installed, else with pip."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        make = [sys.executable, "-m", "venv", str(peer.folder)]
        install = [str(python), "-m", "pip", "install", "--quiet"]
    else:
        make = [uv, "venv", "--quiet", "--python", sys.executable, str(peer.folder)]
        install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    return [make, *([*install, *wanted] for wanted in (peer.requirements, peer.forced) if wanted)]

"""A project: what `heddle.toml` says, and the folder that programs belong to.

`load_project` finds `heddle.toml` beside a program or in a folder above it and gives a `Project` with
the findings about the file. `Project.select` chooses a profile and takes the command line's parameters;
the result answers what is laid over the program's own settings. Without a file the program's folder is
the project.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from heddle.core.record import record
from heddle.diagnostics import Diagnostic, Source, did_you_mean
from heddle.errors import UsageError
from heddle.paths import shown_path

if TYPE_CHECKING:
    from heddle.frontend import ast
    from heddle.frontend.typed import ConfigData, Policy
    from heddle.serve_settings import ServeSettings

FILE_NAME = "heddle.toml"
STATE_FOLDER = ".heddle"
SECRET_TIMEOUT_S = 30.0


@record(frozen=True, slots=True)
class Profile:
    """Settings laid over resources and steps of the program, and values of its parameters."""

    name: str
    resources: Mapping[str, Mapping[str, ConfigData]] = field(default_factory=dict)
    steps: Mapping[str, Mapping[str, ConfigData]] = field(default_factory=dict)
    params: Mapping[str, ConfigData] = field(default_factory=dict)


@record(frozen=True, slots=True)
class NamedStep:
    """A step of a module under a name of the project, with settings."""

    step: str
    settings: Mapping[str, ConfigData]


@record(frozen=True, slots=True)
class SecretSettings:
    """Where secrets are looked up after the environment: a private TOML file, then a command.

    `{name}` in an argument of `command` stands for the secret's name; the command runs in `folder`.
    """

    file: Path | None = None
    command: tuple[str, ...] = ()
    folder: Path = Path()
    timeout_s: float = SECRET_TIMEOUT_S


@record(frozen=True, slots=True)
class RemotePlugin:
    """A plugin on another host. `token` is a reference to the environment or a secret; without one the
    environment's own variable is asked. `authority` is a PEM file with the certificate that vouches for the
    gateway's."""

    url: str
    token: ConfigData = None
    authority: Path | None = None


@record(frozen=True, slots=True)
class Project:
    """`named_steps` are by module, then by name. `policy` is `[policy]` as a program would write it;
    `default_policy` reads it."""

    root: Path
    name: str
    namespace: str
    plugins: Mapping[str, Path] = field(default_factory=dict)
    remote_plugins: Mapping[str, RemotePlugin] = field(default_factory=dict)
    named_steps: Mapping[str, Mapping[str, NamedStep]] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    profile: Profile | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    memo_bytes: int | None = None
    state_folder: Path = Path(STATE_FOLDER)
    policy: ast.DictValue | None = None
    secrets: SecretSettings = SecretSettings()
    serve: ServeSettings | None = None
    source: Source | None = None

    def select(self, profile: str | None, params: Mapping[str, str]) -> Project:
        """The project under one profile, with the parameters of the command line. Raises `UsageError`."""
        if profile is None:
            return replace(self, profile=None, given=dict(params))
        if profile not in self.profiles:
            raise UsageError(f"there is no profile `{profile}`", help=self._profiles_help(profile))
        return replace(self, profile=self.profiles[profile], given=dict(params))

    def overlay(self, kind: str, name: str) -> Mapping[str, ConfigData]:
        """The profile's settings for a resource or step of the program (`kind`: "resources", "steps")."""
        if self.profile is None:
            return {}
        tables = self.profile.resources if kind == "resources" else self.profile.steps
        return tables.get(name, {})

    def parameters(self) -> Mapping[str, ConfigData]:
        """Values given for workflow parameters: the command line's over the profile's."""
        return {**(self.profile.params if self.profile else {}), **self.given}

    def _profiles_help(self, wanted: str) -> str:
        if self.source is None:
            return f"profiles stand in {FILE_NAME}, which is neither in {self.root} nor above it"
        if not self.profiles:
            return f"{self.source.path} has no [profile.NAME] yet"
        near = did_you_mean(wanted, tuple(self.profiles))
        known = "profiles: " + ", ".join(sorted(self.profiles))
        return f"did you mean `{near}`? {known}" if near else known


def find_project_file(start: Path) -> Path | None:
    """`heddle.toml` in the folder `start` or the nearest folder above it."""
    folder = start.resolve()
    return next((f / FILE_NAME for f in (folder, *folder.parents) if (f / FILE_NAME).is_file()), None)


def load_project(start: Path) -> tuple[Project, tuple[Diagnostic, ...]]:
    """The project of a program or a folder, and what is wrong with its `heddle.toml`."""
    folder = start if start.is_dir() else start.parent
    path = find_project_file(folder)
    if path is None:
        root = folder.resolve()
        return Project(root, root.name, root.name, state_folder=root / STATE_FOLDER), ()
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror}") from error
    from heddle.project_file import read_project

    return read_project(Source(shown_path(path), text), path.parent)


def default_policy(project: Project) -> tuple[Policy, tuple[Diagnostic, ...]]:
    """What `[policy]` says for every stage, and what is wrong with it."""
    from heddle.frontend.checker.policies import read_policy
    from heddle.frontend.checker.report import Report
    from heddle.frontend.typed import NO_POLICY

    if project.policy is None or project.source is None:
        return NO_POLICY, ()
    report = Report(project.source)
    return read_policy(project.policy, report), tuple(report.diagnostics)

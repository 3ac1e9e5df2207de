"""Values that only a run may read: `env("X")`, `secret("X")`, `"@parameter"`.

A `SecretStore` looks a secret up in the environment, in the project's private file, then with the
project's command. `resolve_config` turns a typed config into plain values of the wanted types, or says
at the program's own span what is missing. Every secret that was read is known to the `Masker`, which
replaces it in all texts that leave Heddle.
"""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from collections.abc import Mapping
from pathlib import Path

from heddle.config import FILE_NAME, SecretSettings
from heddle.core.config import ConfigError, ConfigField, ConfigType, ConfigValue, convert
from heddle.core.record import record
from heddle.diagnostics import Diagnostic, Source, Span, did_you_mean
from heddle.frontend.typed import ConfigData, EnvRef, ParamRef, SecretRef
from heddle.paths import shown_path

MASK = "***"
MASKED_LENGTH_MIN = 4
"""A shorter secret is not masked: its characters would be struck out of ordinary words."""

ENVIRONMENT_PREFIX = "HEDDLE_SECRET_"
_ANY = ConfigType("any", nullable=True)
_SECRET_NAME = r"[A-Za-z0-9_][A-Za-z0-9_./-]*"


class Masker:
    """Replaces known secrets in texts, also where they are escaped as JSON or in a URL. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        """A secret of several lines (a key file) is masked line by line too."""
        from urllib.parse import quote

        parts = {secret, secret.strip(), *(line.strip() for line in secret.splitlines())}
        forms = {
            form
            for part in parts
            if len(part) >= MASKED_LENGTH_MIN
            for form in (
                part,
                json.dumps(part)[1:-1],
                json.dumps(part, ensure_ascii=False)[1:-1],
                quote(part, safe=""),
            )
        }
        with self._lock:
            self._forms |= forms
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def mask(self, text: str) -> str:
        pattern = self._pattern
        return pattern.sub(MASK, text) if pattern else text


class UnresolvedValue(Exception):
    """A value that a config refers to cannot be had. Holds no part of any secret."""

    def __init__(self, code: str, message: str, help: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help


class SecretStore:
    """Each secret is looked up once. Raises `UnresolvedValue`; thread-safe."""

    def __init__(self, settings: SecretSettings, environ: Mapping[str, str], masker: Masker) -> None:
        self._settings = settings
        self._environ = environ
        self._masker = masker
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._file: Mapping[str, str] | None = None

    def resolve(self, name: str) -> str:
        with self._lock:
            if name not in self._known:
                secret = self._look_up(name)
                self._masker.add(secret)
                self._known[name] = secret
            return self._known[name]

    def _look_up(self, name: str) -> str:
        for variable in (ENVIRONMENT_PREFIX + name, name):
            if variable in self._environ:
                return self._environ[variable]
        if self._settings.file is not None:
            if self._file is None:
                self._file = read_secret_file(self._settings.file)
            if name in self._file:
                return self._file[name]
        if self._settings.command:
            return run_secret_command(self._settings, name)
        raise self._not_found(name)

    def _not_found(self, name: str) -> UnresolvedValue:
        places = [f"the environment (`{ENVIRONMENT_PREFIX}{name}`, `{name}`)"]
        near = did_you_mean(name, tuple(self._file or ()))
        if self._settings.file is not None:
            places.append(shown_path(self._settings.file) + (f", which has `{near}`" if near else ""))
            cure = "set it in one of them"
        else:
            cure = f"set it there, or name a `file` or a `command` under [secrets] in {FILE_NAME}"
        looked = f"looked in {' and in '.join(places)}; {cure}"
        return UnresolvedValue("HD0811", f"the secret `{name}` is not set", looked)


def read_secret_file(path: Path) -> dict[str, str]:
    """A TOML file of `NAME = "value"` lines that only its owner may read. Raises `UnresolvedValue`."""
    import tomllib

    shown = shown_path(path)
    try:
        with path.open("rb") as file:
            _require_private(os.fstat(file.fileno()), shown)
            values = tomllib.load(file)
    except OSError as error:
        help = f"[secrets] in {FILE_NAME} names this file"
        raise UnresolvedValue(
            "HD0815", f"the secrets file {shown} cannot be read: {error.strerror}", help
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        help = 'write one secret a line: `NAME = "value"`'
        raise UnresolvedValue("HD0815", f"the secrets file {shown} is not valid TOML", help) from None
    for name, value in values.items():
        if not isinstance(value, str):
            help = f'write it in quotes: `{name} = "…"`'
            raise UnresolvedValue("HD0815", f"`{name}` in the secrets file {shown} is not a string", help)
    return values


def _require_private(status: os.stat_result, shown: str) -> None:
    if status.st_uid != os.getuid():
        help = "make a file of your own, with mode 600"
        raise UnresolvedValue("HD0812", f"the secrets file {shown} belongs to another user", help)
    mode = stat.S_IMODE(status.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"the secrets file {shown} can be used by others (its mode is {mode:03o})"
        raise UnresolvedValue("HD0812", message, f"run `chmod 600 {shown}`")


def run_secret_command(settings: SecretSettings, name: str) -> str:
    """What the command prints, without the last line break. No shell. Raises `UnresolvedValue`."""
    import subprocess

    if not re.fullmatch(_SECRET_NAME, name):
        help = "letters, digits and `_ - . /` are allowed"
        raise UnresolvedValue("HD0813", f"`{name}` is no name for the secrets command", help)
    command = [part.replace("{name}", name) for part in settings.command]
    program = f"the secrets command `{settings.command[0]}`"
    where = f"it stands under [secrets] in {FILE_NAME}"
    try:
        done = subprocess.run(
            command,
            cwd=settings.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=settings.timeout_s,
            check=False,
        )
    except OSError as error:
        raise UnresolvedValue("HD0813", f"{program} cannot be started: {error.strerror}", where) from error
    except subprocess.TimeoutExpired:
        help = f"{where}; `timeout` there gives it more time"
        message = f"{program} gave no answer for `{name}` within {settings.timeout_s:g} s"
        raise UnresolvedValue("HD0813", message, help) from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        message = f"{program} failed for `{name}` with exit code {done.returncode}"
        raise UnresolvedValue("HD0813", message + (f": {said[-1]}" if said else ""), where)
    secret = done.stdout.decode("utf-8", errors="replace").removesuffix("\n").removesuffix("\r")
    if not secret:
        raise UnresolvedValue("HD0813", f"{program} printed nothing for `{name}`", where)
    return secret


@record(frozen=True, slots=True)
class References:
    """What configs may refer to in one run."""

    environ: Mapping[str, str]
    secrets: SecretStore
    parameters: Mapping[str, ConfigData]
    masker: Masker


@record(frozen=True, slots=True)
class ConfigPlace:
    """Where a config stands in the program. `owner` names it in messages: "the resource `orders_db`"."""

    owner: str
    source: Source
    span: Span
    spans: Mapping[str, Span]


def resolve_config(
    config: Mapping[str, ConfigData],
    fields: tuple[ConfigField, ...],
    references: References,
    place: ConfigPlace,
) -> tuple[dict[str, ConfigValue], tuple[Diagnostic, ...]]:
    """The config with every reference replaced by a value of its field's type.

    A setting that cannot be resolved is left out and has a diagnostic.
    """
    known = {f.name: f for f in fields}
    values: dict[str, ConfigValue] = {}
    diagnostics: list[Diagnostic] = []
    for key, value in config.items():
        field = known.get(key) or ConfigField(key, _ANY)
        try:
            values[key] = _field_value(value, field, references)
        except UnresolvedValue as problem:
            message = f"{problem.message}; `{key}` of {place.owner} needs it"
            span = place.spans.get(key, place.span)
            found = Diagnostic(problem.code, "error", message, place.source, span, problem.help)
            diagnostics.append(found)
    return values, tuple(diagnostics)


def _field_value(value: ConfigData, field: ConfigField, references: References) -> ConfigValue:
    result = _value(value, field.type, references)
    if field.secret and isinstance(result, str):
        references.masker.add(result)
    return result


def _value(value: ConfigData, wanted: ConfigType, references: References) -> ConfigValue:
    match value:
        case EnvRef(name):
            return _converted(
                _variable(name, references.environ), wanted, f"the environment variable `{name}`"
            )
        case SecretRef(name):
            return _converted(references.secrets.resolve(name), wanted, f"the secret `{name}`")
        case ParamRef(name):
            given = references.parameters[name]
            if isinstance(given, EnvRef | SecretRef | ParamRef):
                return _value(given, wanted, references)
            return _converted(_value(given, _ANY, references), wanted, f"the parameter `{name}`")
        case list():
            return [_value(item, wanted.items or _ANY, references) for item in value]
        case dict() if wanted.kind == "struct":
            fields = {f.name: f for f in wanted.fields}
            return {
                key: _field_value(item, fields.get(key) or ConfigField(key, _ANY), references)
                for key, item in value.items()
            }
        case dict():
            return {key: _value(item, wanted.items or _ANY, references) for key, item in value.items()}
        case _:
            return value


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if name in environ:
        return environ[name]
    near = did_you_mean(name, tuple(environ))
    help = f"did you mean `{near}`?" if near else f"set it: `export {name}=…`"
    raise UnresolvedValue("HD0810", f"the environment variable `{name}` is not set", help)


def _converted(value: ConfigValue, wanted: ConfigType, what: str) -> ConfigValue:
    try:
        return convert(value, wanted, text=True)
    except ConfigError:
        raise UnresolvedValue(
            "HD0814", f"{what} does not hold {_article(wanted)}", "give it such a value"
        ) from None


def _article(wanted: ConfigType) -> str:
    name = str(wanted)
    return name if wanted.kind == "choice" else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"

"""Reading `heddle.toml`: a text becomes a `Project` and everything that is wrong with it, each at its place.

Every value is checked for its kind and meaning, and every key for being known; what is wrong is left out.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from heddle.config import (
    SECRET_TIMEOUT_S,
    STATE_FOLDER,
    NamedStep,
    Profile,
    Project,
    RemotePlugin,
    SecretSettings,
)
from heddle.diagnostics import Diagnostic, Source
from heddle.frontend import ast
from heddle.toml_places import KeyPath
from heddle.toml_problems import toml_problem
from heddle.toml_reader import TomlReader
from heddle.udf_bridge.address import URL_HELP, AddressError, parse_url

if TYPE_CHECKING:
    from heddle.frontend.typed import ConfigData
    from heddle.serve_settings import ServeSettings

_SECTIONS = (
    "project", "plugins", "steps", "profile", "memory", "memo", "state", "policy", "secrets", "serve",
)  # fmt: skip
_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"


def read_project(source: Source, root: Path) -> tuple[Project, tuple[Diagnostic, ...]]:
    """The project of the folder `root`, whose file has the text of `source`."""
    try:
        values = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        project = Project(root, root.name, root.name, state_folder=root / STATE_FOLDER, source=source)
        return project, (toml_problem(source, error),)
    reader = _ProjectReader(source, root)
    project = reader.project(values)
    return project, tuple(sorted(reader.diagnostics, key=lambda d: d.span))


class _ProjectReader(TomlReader):
    """Turns TOML's values into a `Project` and collects every problem on the way."""

    def project(self, values: Mapping[str, object]) -> Project:
        top = self.table(values, (), _SECTIONS)
        about = self.table(top.get("project", {}), ("project",), ("name", "namespace"))
        memory = self.table(top.get("memory", {}), ("memory",), ("budget",))
        memo = self.table(top.get("memo", {}), ("memo",), ("size",))
        state = self.table(top.get("state", {}), ("state",), ("folder",))
        name = self.text(about, ("project", "name"), self.name, self.root.name)
        return Project(
            root=self.root,
            name=name,
            namespace=self.text(about, ("project", "namespace"), self.name, name),
            plugins=self.plugins(top.get("plugins", {})),
            remote_plugins=self.remote_plugins(top.get("plugins", {})),
            named_steps=self.named_steps(top.get("steps", {})),
            profiles=self.profiles(top.get("profile", {})),
            memory_bytes=self.text(memory, ("memory", "budget"), self.size, None),
            memo_bytes=self.text(memo, ("memo", "size"), self.size, None),
            state_folder=self.text(state, ("state", "folder"), self.path, self.root / STATE_FOLDER),
            policy=self.policy(top["policy"]) if "policy" in top else None,
            secrets=self.secrets(top.get("secrets", {})),
            serve=self.serve(top["serve"]) if "serve" in top else None,
            source=self.source,
        )

    def plugins(self, value: object) -> dict[str, Path]:
        """Those on this host: the values that are paths."""
        table = self.table(value, ("plugins",))
        local = [name for name, item in table.items() if not _is_remote(item)]
        paths = {name: self.text(table, ("plugins", name), self.path, None) for name in local}
        return {name: path for name, path in paths.items() if path is not None}

    def remote_plugins(self, value: object) -> dict[str, RemotePlugin]:
        """Those on other hosts: URLs, and tables with a `url`."""
        if not isinstance(value, dict):
            return {}
        plugins = {name: self.remote_plugin(name, item) for name, item in value.items() if _is_remote(item)}
        return {name: plugin for name, plugin in plugins.items() if plugin is not None}

    def remote_plugin(self, name: str, value: object) -> RemotePlugin | None:
        at = ("plugins", name)
        if not isinstance(value, dict):
            url = self.text({name: value}, at, self.url, None)
            return RemotePlugin(url) if url is not None else None
        table = self.table(value, at, ("url", "token", "authority"))
        if "url" not in table:
            self.report("HD0723", f"the plugin `{name}` has no `url`", at, URL_HELP)
            return None
        url = self.text(table, (*at, "url"), self.url, None)
        authority = self.text(table, (*at, "authority"), self.path, None)
        return RemotePlugin(url, self.token(table, (*at, "token")), authority) if url is not None else None

    def token(self, table: Mapping[str, object], at: KeyPath) -> ConfigData:
        value = table.get("token")
        match value:
            case None | {"env": str()} | {"secret": str()}:
                return self.data(value, at) if value is not None else None
            case _:
                help = 'write `token = { secret = "NAME" }` or `token = { env = "NAME" }`'
                self.wrong_kind(at, value, "a reference to a secret", help)
                return None

    def url(self, value: str, at: KeyPath) -> str | None:
        try:
            return str(parse_url(value))
        except AddressError as error:
            self.report("HD0723", f"the plugin's address cannot be used: {error}", at, URL_HELP)
            return None

    def named_steps(self, value: object) -> dict[str, dict[str, NamedStep]]:
        found: dict[str, dict[str, NamedStep]] = {}
        for module, names in self.table(value, ("steps",)).items():
            for name, content in self.table(names, ("steps", module)).items():
                at = ("steps", module, name)
                table = self.table(content, at, ("step", "settings"))
                step = self.text(table, (*at, "step"), lambda text, _: text, None)
                if step is None:
                    help = f'write `step = "…"`, a step of the module "{module}"'
                    self.report("HD0723", f"`{name}` does not say which step it is", at, help)
                    continue
                settings = self.data_table(table.get("settings", {}), (*at, "settings"))
                found.setdefault(module, {})[name] = NamedStep(step, settings)
        return found

    def profiles(self, value: object) -> dict[str, Profile]:
        profiles: dict[str, Profile] = {}
        for name, content in self.table(value, ("profile",)).items():
            at = ("profile", name)
            parts = self.table(content, at, ("resources", "steps", "params"))
            profiles[name] = Profile(
                name,
                resources=self.overlays(parts.get("resources", {}), (*at, "resources")),
                steps=self.overlays(parts.get("steps", {}), (*at, "steps")),
                params=self.data_table(parts.get("params", {}), (*at, "params")),
            )
        return profiles

    def overlays(self, value: object, at: KeyPath) -> dict[str, dict[str, ConfigData]]:
        return {
            name: self.data_table(content, (*at, name)) for name, content in self.table(value, at).items()
        }

    def policy(self, value: object) -> ast.DictValue:
        at = ("policy",)
        return ast.DictValue(self.policy_pairs(self.table(value, at), at), self.place(at).value)

    def policy_pairs(self, table: Mapping[str, object], at: KeyPath) -> tuple[ast.Pair, ...]:
        pairs: list[ast.Pair] = []
        for key, item in table.items():
            place = self.place((*at, key))
            value = self.policy_value(item, (*at, key))
            pairs.append(ast.Pair(ast.Ident(key, place.key), value, False, place.key.to(place.value)))
        return tuple(pairs)

    def policy_value(self, value: object, at: KeyPath) -> ast.Value:
        span = self.place(at).value
        match value:
            case str():
                return ast.StringValue(value, self.source.text[span.start : span.end], span)
            case bool():
                return ast.BoolValue(value, span)
            case int() | float():
                return ast.NumberValue(value, str(value), span)
            case list():
                return ast.ListValue(tuple(self.policy_value(item, at) for item in value), span)
            case dict():
                return ast.DictValue(self.policy_pairs(value, at), span)
            case _:
                self.wrong_kind(at, value, "a string, a number, a list or a table", "put it in quotes")
                return ast.NullValue(span)

    def secrets(self, value: object) -> SecretSettings:
        at = ("secrets",)
        table = self.table(value, at, ("file", "command", "timeout"))
        timeout = table.get("timeout", SECRET_TIMEOUT_S)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
            self.wrong_kind(
                (*at, "timeout"), timeout, "a number of seconds above 0", "write it like `timeout = 30`"
            )
            timeout = SECRET_TIMEOUT_S
        file = self.text(table, (*at, "file"), self.path, None)
        return SecretSettings(file, self.command(table.get("command", [])), self.root, float(timeout))

    def serve(self, value: object) -> ServeSettings:
        from heddle.serve_file import ServeReader

        reader = ServeReader(self.source, self.root)
        settings = reader.serve(value)
        self.diagnostics += reader.diagnostics
        return settings

    def command(self, value: object) -> tuple[str, ...]:
        at = ("secrets", "command")
        example = 'write it like `command = ["pass", "show", "{name}"]`'
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            self.wrong_kind(at, value, "a list of strings, the program and its arguments", example)
            return ()
        if value and not any("{name}" in part for part in value[1:]):
            self.report("HD0723", "no argument of `command` holds `{name}`, the secret's name", at, example)
        return tuple(value)

    def data_table(
        self, value: object, at: KeyPath, known: tuple[str, ...] | None = None
    ) -> dict[str, ConfigData]:
        return {key: self.data(item, (*at, key)) for key, item in self.table(value, at, known).items()}

    def data(self, value: object, at: KeyPath) -> ConfigData:
        match value:
            case {"env": str(name), **rest} if not rest:
                return _reference("env", name)
            case {"secret": str(name), **rest} if not rest:
                return _reference("secret", name)
            case dict():
                return {key: self.data(item, (*at, key)) for key, item in value.items()}
            case list():
                return [self.data(item, at) for item in value]
            case bool() | int() | float() | str():
                return value
            case _:
                self.wrong_kind(
                    at, value, "a string, a number, true, false, a list or a table", "put it in quotes"
                )
                return None

    def name(self, value: str, at: KeyPath) -> str | None:
        if re.fullmatch(_NAME, value):
            return value
        help = "letters, digits, `_` and `-` are allowed, and a letter or `_` at the start"
        self.report("HD0723", f"`{value}` cannot be the {at[-1]} of a project", at, help)
        return None


def _is_remote(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and "://" in value)


def _reference(kind: Literal["env", "secret"], name: str) -> ConfigData:
    """The typed program's nodes import pyarrow, which the commands that only read text do without."""
    from heddle.frontend.typed import EnvRef, SecretRef

    return EnvRef(name) if kind == "env" else SecretRef(name)

"""Reading `[serve]`, from `heddle.toml` or from a file of its own: values become `ServeSettings`, and what is
wrong becomes diagnostics at its place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from heddle.core.refresh_policy import REFRESH_HELP, RefreshPolicy, refresh_policy, refresh_switch
from heddle.diagnostics import Diagnostic, Source, Span, did_you_mean
from heddle.errors import UsageError
from heddle.paths import shown_path
from heddle.serve_settings import (
    CLIENT_NAMES,
    EVERYONE,
    JWT_ALGORITHMS,
    NO_LIMITS,
    NO_SERVE_SETTINGS,
    AdmissionSettings,
    AuditSettings,
    JwtAlgorithm,
    JwtSettings,
    Limits,
    PolicySettings,
    Role,
    ServeSettings,
    TlsSettings,
    UserSettings,
)
from heddle.serve_telemetry import PORT_MAX, metrics_address, telemetry
from heddle.toml_places import KeyPath
from heddle.toml_problems import toml_problem
from heddle.toml_reader import TomlReader

_AT: Final = ("serve",)
_KEYS: Final = (
    "users_file", "login", "allow_no_login", "allow_no_tls", "tls", "jwt", "role", "user", "policy", "limits",
    "native", "result_cache", "admission", "audit", "metrics", "telemetry", "materialize",
)  # fmt: skip
_LIMITS: Final = ("concurrency", "memory", "timeout", "rows")
_PATTERN: Final = r"(?:[^.\s]+\.){1,2}[^.\s]+"
_OUTPUT: Final = r"[^.\s]+\.[^.\s]+"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def load_serve_settings(path: Path) -> tuple[ServeSettings, tuple[Diagnostic, ...]]:
    """What a file says that holds `[serve]` alone, and what is wrong with it. Raises `UsageError`."""
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror}") from error
    source = Source(shown_path(path), text)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return NO_SERVE_SETTINGS, (toml_problem(source, error),)
    reader = ServeReader(source, path.absolute().parent)
    settings = reader.serve(reader.table(values, (), _AT).get("serve", {}))
    return settings, tuple(sorted(reader.diagnostics, key=lambda d: d.span))


class ServeReader(TomlReader):
    """Turns the values of `[serve]` into `ServeSettings`."""

    def serve(self, value: object) -> ServeSettings:
        top = self.table(value, _AT, _KEYS)
        settings = ServeSettings(
            users_file=self.text(top, (*_AT, "users_file"), self.path, None),
            login_s=self.text(top, (*_AT, "login"), self.seconds, NO_SERVE_SETTINGS.login_s),
            allow_no_login=self.flag(top, (*_AT, "allow_no_login")),
            allow_no_tls=self.flag(top, (*_AT, "allow_no_tls")),
            native_port=self.port(top, (*_AT, "native")),
            result_cache_bytes=self.text(top, (*_AT, "result_cache"), self.size, 0),
            tls=self.tls(top["tls"]) if "tls" in top else None,
            jwt=self.jwt(top["jwt"]) if "jwt" in top else None,
            roles={role.name: role for role in self.roles(top.get("role", {}))},
            users={user.name: user for user in self.users(top.get("user", {}))},
            policies=tuple(self.policies(top.get("policy", {}))),
            limits=self.limits(top.get("limits", {}), (*_AT, "limits")),
            admission=self.admission(top.get("admission", {})),
            audit=self.audit(top["audit"]) if "audit" in top else None,
            metrics=metrics_address(self, top, (*_AT, "metrics")),
            telemetry=telemetry(self, top["telemetry"], (*_AT, "telemetry")) if "telemetry" in top else None,
            materialize=self.materialize(top.get("materialize", {})),
        )
        self.known_roles(settings)
        return settings

    def port(self, table: Mapping[str, object], at: KeyPath) -> int | None:
        value, help = table.get(at[-1]), f"it is a number up to {PORT_MAX}; 0 takes a free port"
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong_kind(at, value, "a port", help)
        elif 0 <= value <= PORT_MAX:
            return value
        else:
            self.report("HD0723", f"`{value}` is no port", at, help)
        return None

    def tls(self, value: object) -> TlsSettings | None:
        at = (*_AT, "tls")
        table = self.table(value, at, ("certificate", "key", "client_authority", "client_name"))
        certificate = self.required_path(table, (*at, "certificate"))
        key = self.required_path(table, (*at, "key"))
        authority = self.text(table, (*at, "client_authority"), self.path, None)
        name = self.choice(table, (*at, "client_name"), CLIENT_NAMES, "subject")
        if "client_name" in table and authority is None:
            help = "name the file of the certificates that vouch for clients as `client_authority`"
            self.report(
                "HD0723", "without `client_authority` no client has a certificate", (*at, "client_name"), help
            )
        return TlsSettings(certificate, key, authority, name) if certificate and key else None

    def required_path(self, table: Mapping[str, object], at: KeyPath) -> Path | None:
        if at[-1] not in table:
            self.report(
                "HD0723", f"`[{'.'.join(at[:-1])}]` has no `{at[-1]}`", at[:-1], "it is a file in PEM"
            )
        return self.text(table, at, self.path, None)

    def jwt(self, value: object) -> JwtSettings | None:
        at = (*_AT, "jwt")
        known = ("issuer", "audience", "keys", "algorithms", "leeway", "name_claim", "roles_claim")
        table = self.table(value, at, known)
        for key in ("issuer", "audience"):
            if not table.get(key):
                help = "a token is accepted only from this issuer and for this audience"
                self.report("HD0723", f"`[{'.'.join(at)}]` has no `{key}`", at, help)
        issuer = self.text(table, (*at, "issuer"), self.plain, "")
        audience = self.texts(table, (*at, "audience"), self.plain)
        keys = self.text(table, (*at, "keys"), self.key_url, None)
        if issuer and keys is None and "keys" not in table:
            self.key_url(issuer, (*at, "issuer"))
        algorithms: tuple[JwtAlgorithm, ...] = self.texts(table, (*at, "algorithms"), self.algorithm)
        otherwise = JwtSettings("", ())
        return JwtSettings(
            issuer,
            audience,
            keys,
            algorithms or otherwise.algorithms,
            self.text(table, (*at, "leeway"), self.seconds, otherwise.leeway_s),
            self.text(table, (*at, "name_claim"), self.plain, otherwise.name_claim),
            self.text(table, (*at, "roles_claim"), self.plain, None),
        )

    def algorithm(self, value: str, at: KeyPath) -> JwtAlgorithm | None:
        return self.one_of(value, at, JWT_ALGORITHMS)

    def key_url(self, value: str, at: KeyPath) -> str | None:
        """Keys that came over a line that others can write to would let them in."""
        url = urlsplit(value)
        if url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK):
            return value
        help = "keys are fetched over https; http is for this machine (127.0.0.1)"
        self.report("HD0723", f"`{at[-1]}` cannot be `{value}`", at, help)
        return None

    def roles(self, value: object) -> list[Role]:
        found: list[Role] = []
        for name, content in self.table(value, (*_AT, "role")).items():
            at = (*_AT, "role", name)
            table = self.table(content, at, ("sees", "writes", "admin", "explain", *_LIMITS))
            found.append(
                Role(
                    name,
                    sees=self.texts(table, (*at, "sees"), self.pattern),
                    writes=self.texts(table, (*at, "writes"), self.pattern),
                    admin=self.flag(table, (*at, "admin")),
                    explain=self.flag(table, (*at, "explain")),
                    limits=self.limit_values(table, at),
                )
            )
        return found

    def users(self, value: object) -> list[UserSettings]:
        found: list[UserSettings] = []
        for name, content in self.table(value, (*_AT, "user")).items():
            at = (*_AT, "user", name)
            table = self.table(content, at, ("roles", *_LIMITS))
            roles = self.texts(table, (*at, "roles"), self.role_name)
            found.append(UserSettings(name, roles, self.limit_values(table, at)))
        return found

    def policies(self, value: object) -> list[PolicySettings]:
        found: list[PolicySettings] = []
        for name, content in self.table(value, (*_AT, "policy")).items():
            at = (*_AT, "policy", name)
            table = self.table(content, at, ("outputs", "filter", "masks", "roles", "except"))
            masks = self.table(table.get("masks", {}), (*at, "masks"))
            if not table.get("outputs"):
                help = 'name them like `outputs = ["Shop.orders", "Shop.*"]`'
                self.report("HD0724", f"the policy `{name}` has no `outputs`", at, help)
            if "filter" not in table and not masks:
                help = "a policy has a `filter`, `masks` or both"
                self.report("HD0724", f"the policy `{name}` says nothing of its outputs", at, help)
            texts = {column: self.text(masks, (*at, "masks", column), self.plain, None) for column in masks}
            found.append(
                PolicySettings(
                    name,
                    outputs=self.texts(table, (*at, "outputs"), self.pattern),
                    filter=self.text(table, (*at, "filter"), self.plain, None),
                    masks={column: mask for column, mask in texts.items() if mask is not None},
                    roles=self.texts(table, (*at, "roles"), self.plain),
                    except_roles=self.texts(table, (*at, "except"), self.plain),
                    source=self.source,
                    spans=self.policy_spans(at, masks),
                )
            )
        return found

    def policy_spans(self, at: KeyPath, masks: Mapping[str, object]) -> dict[str, Span]:
        columns = {f"masks.{column}": self.place((*at, "masks", column)).value for column in masks}
        return {key: self.place((*at, key)).value for key in ("outputs", "filter")} | columns

    def limits(self, value: object, at: KeyPath) -> Limits:
        return self.limit_values(self.table(value, at, _LIMITS), at)

    def limit_values(self, table: Mapping[str, object], at: KeyPath) -> Limits:
        if not any(key in table for key in _LIMITS):
            return NO_LIMITS
        return Limits(
            self.count(table, (*at, "concurrency"), None),
            self.text(table, (*at, "memory"), self.size, None),
            self.text(table, (*at, "timeout"), self.seconds, None),
            self.count(table, (*at, "rows"), None),
        )

    def admission(self, value: object) -> AdmissionSettings:
        at = (*_AT, "admission")
        table = self.table(value, at, ("running", "waiting", "wait"))
        otherwise = AdmissionSettings()
        return AdmissionSettings(
            self.count(table, (*at, "running"), otherwise.running),
            self.count(table, (*at, "waiting"), otherwise.waiting),
            self.text(table, (*at, "wait"), self.seconds, otherwise.wait_s),
        )

    def audit(self, value: object) -> AuditSettings | None:
        at = (*_AT, "audit")
        table = self.table(value, at, ("file", "text"))
        if "file" not in table:
            self.report("HD0723", "`[serve.audit]` has no `file`", at, 'write `file = "audit.jsonl"`')
        file = self.text(table, (*at, "file"), self.path, None)
        text = self.flag(table, (*at, "text")) if "text" in table else True
        return AuditSettings(file, text) if file is not None else None

    def materialize(self, value: object) -> dict[str, RefreshPolicy | None]:
        at = (*_AT, "materialize")
        table = self.table(value, at)
        for name in table:
            if not re.fullmatch(_OUTPUT, name):
                help = 'write it like `"Sales.totals" = "every 5m"`, with quotes around the name'
                self.report("HD0723", f"`{name}` is not of the form `workflow.output`", (*at, name), help)
        switches = {name: refresh_switch(on) for name, on in table.items() if isinstance(on, bool)}
        policies = {
            name: self.text(table, (*at, name), self.refresh, None) for name in table if name not in switches
        }
        return switches | {name: policy for name, policy in policies.items() if policy is not None}

    def refresh(self, value: str, at: KeyPath) -> RefreshPolicy | None:
        policy = refresh_policy(value)
        if policy is None:
            self.report("HD0723", f"`{value}` does not say when `{at[-1]}` is refreshed", at, REFRESH_HELP)
        return policy

    def known_roles(self, settings: ServeSettings) -> None:
        """A role that a policy names and that is not there would hold for nobody."""
        if not settings.roles:
            return
        known = (EVERYONE, *settings.roles)
        named = [
            (role, (*_AT, "policy", policy.name, key))
            for policy in settings.policies
            for key, roles in (("roles", policy.roles), ("except", policy.except_roles))
            for role in roles
        ]
        named += [
            (r, (*_AT, "user", user.name, "roles")) for user in settings.users.values() for r in user.roles
        ]
        for role, at in named:
            if role not in known:
                near = did_you_mean(role, known)
                help = f"did you mean `{near}`?" if near else f"write `[serve.role.{role}]`"
                self.report("HD0724", f"there is no role `{role}`", at, help)

    def plain(self, value: str, at: KeyPath) -> str | None:
        if not value.strip():
            self.report("HD0723", f"`{at[-1]}` is empty", at, "leave the key out, or give it a value")
            return None
        return value

    def role_name(self, value: str, at: KeyPath) -> str | None:
        if value and value.isprintable():
            return value
        self.report("HD0723", "the name of a role cannot be shown", at, "it has letters that can be seen")
        return None

    def pattern(self, value: str, at: KeyPath) -> str | None:
        if re.fullmatch(_PATTERN, value):
            return value
        what = "schema.table" if at[-1] == "writes" else "workflow.output"
        help = f"write it like `{what}`; `*` stands for any letters, as in `Shop.*`"
        self.report("HD0723", f"`{value}` is not of the form `{what}`", at, help)
        return None

"""`[serve]`, in `heddle.toml` and in a file of its own: read, checked, and its mistakes at their places."""

from __future__ import annotations

from pathlib import Path

import pytest

from heddle.config import load_project
from heddle.diagnostics import Diagnostic
from heddle.errors import UsageError
from heddle.serve_file import load_serve_settings
from heddle.serve_settings import (
    NO_SERVE_SETTINGS,
    AdmissionSettings,
    AuditSettings,
    JwtSettings,
    Limits,
    PolicySettings,
    Role,
    ServeSettings,
    TlsSettings,
    UserSettings,
)

FULL = """\
[serve]
users_file = "users.toml"
login = "1h"
allow_no_login = false
allow_no_tls = true
native = 31338
result_cache = "256MB"

[serve.tls]
certificate = "server.crt"
key = "/etc/server.key"
client_authority = "clients.crt"
client_name = "email"

[serve.jwt]
issuer = "https://login.example.com"
audience = "heddle"
keys = "https://login.example.com/keys"
algorithms = ["RS256", "EdDSA"]
leeway = "1m"
name_claim = "email"
roles_claim = "realm_access.roles"

[serve.role.analyst]
sees = ["Shop.*", "other.Sales.totals"]
writes = "scratch.*"
explain = true
memory = "1GB"
rows = 1000

[serve.role.boss]
admin = true

[serve.user.ada]
roles = ["analyst", "everyone"]
concurrency = 9

[serve.policy.own]
outputs = ["Shop.orders"]
filter = "region = current_user"
masks = { card = "last4", "E-Mail" = "null" }
roles = ["everyone"]
except = ["boss"]

[serve.limits]
concurrency = 4
timeout = "5m"

[serve.admission]
running = 8
wait = "10s"

[serve.audit]
file = "log/audit.jsonl"
text = false
"""


def wanted(folder: Path) -> ServeSettings:
    return ServeSettings(
        users_file=folder / "users.toml",
        login_s=3600.0,
        allow_no_tls=True,
        native_port=31338,
        result_cache_bytes=256_000_000,
        tls=TlsSettings(folder / "server.crt", Path("/etc/server.key"), folder / "clients.crt", "email"),
        jwt=JwtSettings(
            "https://login.example.com",
            ("heddle",),
            "https://login.example.com/keys",
            ("RS256", "EdDSA"),
            60.0,
            "email",
            "realm_access.roles",
        ),
        roles={
            "analyst": Role(
                "analyst",
                ("Shop.*", "other.Sales.totals"),
                ("scratch.*",),
                explain=True,
                limits=Limits(memory_bytes=1_000_000_000, rows_max=1000),
            ),
            "boss": Role("boss", admin=True),
        },
        users={"ada": UserSettings("ada", ("analyst", "everyone"), Limits(concurrency=9))},
        policies=(
            PolicySettings(
                "own",
                ("Shop.orders",),
                "region = current_user",
                {"card": "last4", "E-Mail": "null"},
                ("everyone",),
                ("boss",),
            ),
        ),
        limits=Limits(concurrency=4, timeout_s=300.0),
        admission=AdmissionSettings(8, 64, 10.0),
        audit=AuditSettings(folder / "log/audit.jsonl", text=False),
    )


def problems(folder: Path, text: str) -> list[Diagnostic]:
    (folder / "serve.toml").write_text(text)
    return list(load_serve_settings(folder / "serve.toml")[1])


def test_everything_is_read_from_either_file(tmp_path: Path) -> None:
    for name in ("heddle.toml", "serve.toml"):
        (tmp_path / name).write_text(FULL)
    assert load_serve_settings(tmp_path / "serve.toml") == (wanted(tmp_path), ())
    project, found = load_project(tmp_path / "program.he")
    assert (project.serve, found) == (wanted(tmp_path), ())


def test_nothing_is_said(tmp_path: Path) -> None:
    assert load_project(tmp_path / "program.he")[0].serve is None
    assert problems(tmp_path, "") == []
    assert load_serve_settings(tmp_path / "serve.toml")[0] == NO_SERVE_SETTINGS
    with pytest.raises(UsageError, match=r"nothing\.toml cannot be read"):
        load_serve_settings(tmp_path / "nothing.toml")


def test_a_policy_knows_its_places(tmp_path: Path) -> None:
    (tmp_path / "serve.toml").write_text(FULL)
    [policy] = load_serve_settings(tmp_path / "serve.toml")[0].policies
    shown = {key: policy.source.text[span.start : span.end] for key, span in policy.spans.items()}
    assert shown == {
        "outputs": '["Shop.orders"]',
        "filter": '"region = current_user"',
        "masks.card": '"last4"',
        "masks.E-Mail": '"null"',
    }


POLICY = '[serve.policy.p]\noutputs = ["Shop.orders"]\n'


@pytest.mark.parametrize(
    ("text", "code", "line", "message"),
    [
        ("[serve", "HD0720", 1, "serve.toml is not valid TOML"),
        ('[project]\nname = "x"', "HD0721", 1, "serve.toml has no key `project`"),
        ('[serve]\n\nuser_file = "x"', "HD0721", 3, "`[serve]` has no key `user_file`"),
        ("[serve]\nusers_file = 3", "HD0722", 2, "`users_file` is an int, where a string is expected"),
        ('[serve]\nlogin = "soon"', "HD0723", 2, "`soon` is not a duration above 0"),
        ('[serve]\nallow_no_tls = "yes"', "HD0722", 2, "`allow_no_tls` is a string, where true or false"),
        ('[serve]\nnative = "all"', "HD0722", 2, "`native` is a string, where a port is expected"),
        ("[serve]\nnative = 70000", "HD0723", 2, "`70000` is no port"),
        ('[serve.tls]\nkey = "k"', "HD0723", 1, "`[serve.tls]` has no `certificate`"),
        (
            '[serve.tls]\nkey = "k"\ncertificate = "c"\nclient_name = "dns"',
            "HD0723",
            4,
            "without `client_authority` no client has a certificate",
        ),
        (
            '[serve.tls]\nkey = "k"\ncertificate = "c"\nclient_authority = "a"\nclient_name = "cn"',
            "HD0723",
            5,
            "`client_name` cannot be `cn`",
        ),
        ('[serve.jwt]\nissuer = "https://x"', "HD0723", 1, "`[serve.jwt]` has no `audience`"),
        ('[serve.jwt]\nissuer = "http://x"\naudience = "a"', "HD0723", 2, "`issuer` cannot be `http://x`"),
        (
            '[serve.jwt]\nissuer = "i"\naudience = "a"\nkeys = "http://x/k"',
            "HD0723",
            4,
            "`keys` cannot be `http://x/k`",
        ),
        (
            '[serve.jwt]\nissuer = "https://i"\naudience = "a"\nalgorithms = ["HS256"]',
            "HD0723",
            4,
            "`algorithms` cannot be `HS256`",
        ),
        ('[serve.role.r]\nsees = ["Shop"]', "HD0723", 2, "`Shop` is not of the form `workflow.output`"),
        ("[serve.role.r]\nsees = [3]", "HD0722", 2, "a list of strings is expected"),
        ("[serve.role.r]\nrows = 0", "HD0722", 2, "where a whole number of at least 1 is expected"),
        ('[serve]\nresult_cache = "much"', "HD0723", 2, "`much` is not an amount of memory"),
        ('[serve.limits]\nmemory = "much"', "HD0723", 2, "`much` is not an amount of memory"),
        ('[serve.policy.p]\nfilter = "true"', "HD0724", 1, "the policy `p` has no `outputs`"),
        (POLICY, "HD0724", 1, "the policy `p` says nothing of its outputs"),
        (f'{POLICY}filter = " "', "HD0723", 3, "`filter` is empty"),
        (f"{POLICY}masks = {{ a = 3 }}", "HD0722", 3, "`a` is an int, where a string is expected"),
        (
            f'{POLICY}filter = "true"\nexcept = ["bos"]\n[serve.role.boss]',
            "HD0724",
            4,
            "there is no role `bos`",
        ),
        ('[serve.user.ada]\nroles = ["bos"]\n[serve.role.boss]', "HD0724", 2, "there is no role `bos`"),
        ('[serve.user.ada]\nroles = ["a\\n"]', "HD0723", 2, "the name of a role cannot be shown"),
        ("[serve.audit]\ntext = true", "HD0723", 1, "`[serve.audit]` has no `file`"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, code: str, line: int, message: str) -> None:
    [found] = problems(tmp_path, text)
    assert (found.code, found.severity) == (code, "error")
    assert message in found.message
    assert found.source.position(found.span.start).line == line
    assert found.help

"""What a server with given settings is secured by, and settings with which none starts."""

from __future__ import annotations

import hashlib
import json
from io import StringIO
from pathlib import Path

import pytest

from heddle.cli.main import call
from heddle.core.record import record
from heddle.database.model import LOCAL
from heddle.errors import UsageError
from heddle.flightsql.security import AuditEvent, LocalOnly, NoAudit
from heddle.flightsql.security.audit_file import TEXT_CHARS_MAX, AuditFile
from heddle.flightsql.security.certificates import Certificates
from heddle.flightsql.security.gate import Gate
from heddle.flightsql.security.securing import ANONYMOUS, security_of
from heddle.serve_settings import (
    AuditSettings,
    JwtSettings,
    PolicySettings,
    ServeSettings,
    TlsSettings,
)
from tests.flightsql.security.certificates import Authority

TLS = TlsSettings(Path("server.crt"), Path("server.key"))
JWT = JwtSettings("https://issuer.example", ("heddle",))


def said(line: str) -> None:
    raise AssertionError(line)


def test_without_settings_everybody_on_this_machine_is_its_user() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        security = security_of(ServeSettings(), host, notify=said, mask=str)
        assert isinstance(security.authenticator, LocalOnly)
        assert security.authenticator.authenticate({}, None) == LOCAL
        assert (security.credentials, security.asks_who) == (None, False)
        assert isinstance(security.audit, NoAudit)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "db.example.com", ""])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ServeSettings(), "everybody who can reach this server could read all outputs"),
        (ServeSettings(tls=TLS), "everybody who can reach this server could read all outputs"),
        (ServeSettings(jwt=JWT), "everybody on the way could read what is sent"),
        (ServeSettings(allow_no_login=True), "everybody on the way could read what is sent"),
    ],
)
def test_a_server_that_others_can_reach_is_safe(host: str, settings: ServeSettings, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        security_of(settings, host, notify=said, mask=str)


def test_unless_one_says_that_it_need_not_be() -> None:
    security = security_of(
        ServeSettings(allow_no_login=True, allow_no_tls=True), "0.0.0.0", notify=said, mask=str
    )
    assert security.authenticator.authenticate({}, None) == ANONYMOUS
    assert not ANONYMOUS.admin
    guarded = security_of(ServeSettings(jwt=JWT, allow_no_tls=True), "0.0.0.0", notify=said, mask=str)
    assert isinstance(guarded.authenticator, Gate)
    assert guarded.asks_who


def test_policies_without_logins_hold_for_nobody() -> None:
    lines: list[str] = []
    policies = (PolicySettings("p", ("Shop.*",), "true"),)
    security_of(ServeSettings(policies=policies), "127.0.0.1", notify=lines.append, mask=str)
    assert lines == ["[serve] has roles or policies, but no logins: whoever asks is the user of this machine"]


def test_files_of_a_certificate(tmp_path: Path) -> None:
    authority = Authority("a")
    certificate, key = authority.server().write(tmp_path, "server")
    Certificates(TlsSettings(certificate, key), said)
    key.chmod(0o644)
    with pytest.raises(UsageError, match="can be used by everybody"):
        Certificates(TlsSettings(certificate, key), said)
    key.chmod(0o640)
    _, other_key = authority.server().write(tmp_path, "other")
    with pytest.raises(UsageError, match="is not the key of"):
        Certificates(TlsSettings(certificate, other_key), said)
    with pytest.raises(UsageError, match="are not a certificate and its key"):
        Certificates(TlsSettings(key, key), said)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Certificates(TlsSettings(certificate, tmp_path / "nothing.key"), said)


def lines_of(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_of_the_audit_log(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = AuditFile(AuditSettings(file), lambda text: text.replace("hush", "***"), said, lambda: 1e9)
    event = AuditEvent("query", "ada", "ipv4:1.2.3.4:5", "select 'hush'\n", "q1", "ok", 3, 0.25, ("h.S.t",))
    audit.note(event)
    audit.note(AuditEvent("refused", "", "unix:", outcome="unauthenticated"))
    audit.close()
    audit.close()
    assert lines_of(file) == [
        {
            "time": "2001-09-09T01:46:40.000+00:00",
            "what": "query",
            "viewer": "ada",
            "peer": "ipv4:1.2.3.4:5",
            "outcome": "ok",
            "statement": hashlib.sha256(event.text.encode()).hexdigest(),
            "text": "select '***'\n",
            "tables": ["h.S.t"],
            "query_id": "q1",
            "rows": 3,
            "duration_s": 0.25,
        },
        {
            "time": "2001-09-09T01:46:40.000+00:00",
            "what": "refused",
            "viewer": "",
            "peer": "unix:",
            "outcome": "unauthenticated",
        },
    ]
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_audit_log_without_texts_and_with_long_ones(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    silent = AuditFile(AuditSettings(file, text=False), str, said)
    silent.note(AuditEvent("query", "ada", "", "select 1"))
    long = AuditFile(AuditSettings(file), str, said)
    long.note(AuditEvent("query", "ada", "", "x" * (TEXT_CHARS_MAX + 9)))
    first, second = lines_of(file)
    assert "text" not in first
    assert len(str(first["statement"])) == 64
    assert len(str(second["text"])) == TEXT_CHARS_MAX


def test_an_audit_log_that_is_rotated(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = AuditFile(AuditSettings(file), str, said)
    audit.note(AuditEvent("login", "ada", ""))
    file.rename(tmp_path / "audit.1")
    audit.note(AuditEvent("login", "bob", ""))
    assert [line["viewer"] for line in lines_of(file)] == ["bob"]
    assert [line["viewer"] for line in lines_of(tmp_path / "audit.1")] == ["ada"]


def test_an_audit_log_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.touch(mode=0o644)
    with pytest.raises(UsageError, match="can be used by others"):
        AuditFile(AuditSettings(file), str, said)
    with pytest.raises(UsageError, match="cannot be written: Is a directory"):
        AuditFile(AuditSettings(tmp_path), str, said)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="cannot be written"):
        AuditFile(AuditSettings(link), str, said)
    lines: list[str] = []
    file.chmod(0o600)
    audit = AuditFile(AuditSettings(file), str, lines.append)
    file.unlink()
    file.mkdir()
    audit.note(AuditEvent("login", "ada", ""))
    assert lines == ["the audit log has lost a line: Is a directory"]


@record(frozen=True, slots=True)
class Done:
    code: int
    stdout: str
    stderr: str


class CommandLine:
    """`heddle` in a folder of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, stdin: str = "") -> Done:
        self._monkeypatch.setattr("sys.stdin", StringIO(stdin))
        code = call(list(arguments))
        captured = self._capsys.readouterr()
        return Done(code, captured.out, captured.err)


@pytest.fixture
def heddle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(monkeypatch, capsys)


def test_users_on_the_command_line(tmp_path: Path, heddle: CommandLine) -> None:
    (tmp_path / "heddle.toml").write_text('[serve]\nusers_file = "users.toml"\n')
    added = heddle("user", "add", "ada", "--role", "analyst", "--role", "boss", stdin="long enough\n")
    assert (added.code, added.stdout, added.stderr) == (0, "", "ada can log in\n")
    token = heddle("user", "token", "ada", "--expires", "30d")
    assert token.stdout.startswith("hdl_")
    id = token.stdout.split("_")[1]
    listed = heddle("user", "list")
    assert listed.stdout == f"ada\tanalyst,boss\ttoken:{id}\n"
    text = (tmp_path / "users.toml").read_text()
    assert "long enough" not in text
    assert token.stdout.strip() not in text
    assert heddle("user", "token", "ada", "--revoke", id).code == 0
    assert heddle("user", "list").stdout == "ada\tanalyst,boss\n"


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["user", "add", "ada"], "short\n", "a password has at least 8 characters"),
        (["user", "add", "a:b"], "long enough\n", "`a:b` cannot be the name of a user"),
        (["user", "remove", "nobody"], "", "there is no user `nobody`"),
        (["user", "token", "nobody", "--expires", "soon"], "", "`soon` is not a duration"),
        (["user", "token", "bob", "--revoke", "abc"], "", "bob has no token `abc`"),
        (["serve", "shop.he", "--host", "0.0.0.0", "--flight", "0"], "", "everybody on the way could read"),
        (["serve", "shop.he", "--config", "broken.toml", "--flight", "0"], "", "there is no role `analist`"),
        (
            ["serve", "shop.he", "--config", "unfit.toml", "--flight", "0"],
            "",
            "`Shop.orders` has no column `nam`",
        ),
        (
            ["serve", "shop.he", "--config", "nothing.toml", "--flight", "0"],
            "",
            "nothing.toml cannot be read",
        ),
    ],
)
def test_what_a_command_line_refuses(
    tmp_path: Path, heddle: CommandLine, arguments: list[str], stdin: str, said: str
) -> None:
    (tmp_path / "shop.he").write_text('workflow Shop {\n  [{ name: "x" }]\n    > orders\n}\n')
    (tmp_path / "heddle.toml").write_text('[serve]\nusers_file = "users.toml"\n')
    policy = '[serve.policy.p]\noutputs = ["Shop.orders"]\n'
    (tmp_path / "broken.toml").write_text(
        f'[serve.role.analyst]\n{policy}filter = "true"\nroles = ["analist"]\n'
    )
    (tmp_path / "unfit.toml").write_text(f'{policy}masks = {{ nam = "null" }}\n')
    assert heddle("user", "add", "bob", "--no-password").code == 0
    done = heddle(*arguments, stdin=stdin)
    assert done.code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr

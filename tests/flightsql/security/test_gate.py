"""Who may come in: passwords, tokens and certificates, logins that end, and attempts that fail."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from heddle.database.model import Viewer
from heddle.errors import UsageError
from heddle.flightsql.security import Refused, bearer
from heddle.flightsql.security.attempts import (
    FORGOTTEN_S,
    FREE_FAILURES,
    FREE_FAILURES_OF_ADDRESS,
    Attempts,
    address_of,
)
from heddle.flightsql.security.gate import CHECKED_S, Gate
from heddle.flightsql.security.jwt_tokens import JwtTokens
from heddle.flightsql.security.logins import Logins
from heddle.flightsql.security.passwords import fits, hash_of
from heddle.flightsql.security.tokens import new_token
from heddle.flightsql.security.users_file import TokenEntry, UserEntry, UsersFile, change_users
from heddle.serve_settings import JwtSettings, Role, ServeSettings, TlsSettings, UserSettings
from tests.flightsql.security.certificates import Authority
from tests.flightsql.security.identity_provider import AUDIENCE, identity_provider

PASSWORD = "correct horse"
HASH = hash_of(PASSWORD)
PEER = "ipv4:10.0.0.7:4711"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def users_file(folder: Path, *users: UserEntry) -> UsersFile:
    def change(known: dict[str, UserEntry]) -> None:
        known.clear()
        known.update({user.name: user for user in users})

    change_users(folder / "users.toml", change)
    return UsersFile(folder / "users.toml")


def basic(name: str, password: str, *, padded: bool = True) -> str:
    text = base64.b64encode(f"{name}:{password}".encode()).decode()
    return "Basic " + (text if padded else text.rstrip("="))


def refused(gate: Gate, header: str | None, peer: str = PEER) -> Refused:
    with pytest.raises(Refused) as raised:
        gate.handshake(header, None, peer)
    return raised.value


def test_a_password_gives_a_login(tmp_path: Path) -> None:
    file = users_file(tmp_path, UserEntry("ada", HASH, ("analyst",)))
    settings = ServeSettings(
        users={"ada": UserSettings("ada", ("boss",))}, roles={"boss": Role("boss", admin=True)}
    )
    gate = Gate(settings, users=file)
    ada = Viewer("ada", ("analyst", "boss"), admin=True)
    tokens = [gate.handshake(basic("ada", PASSWORD, padded=padded), None, PEER) for padded in (True, False)]
    assert len(set(tokens)) == 2
    for token in tokens:
        assert gate.authenticate(bearer(token), None) == ada
    assert gate.authenticate({"authorization": basic("ada", PASSWORD)}, None, PEER) == ada


def test_what_is_said_does_not_tell_whether_there_is_such_a_user(tmp_path: Path) -> None:
    gate = Gate(ServeSettings(), users=users_file(tmp_path, UserEntry("ada", HASH), UserEntry("robot")))
    said = {
        (error.kind, error.message, error.help)
        for error in (
            refused(gate, basic("ada", "wrong password")),
            refused(gate, basic("nobody", PASSWORD)),
            refused(gate, basic("robot", PASSWORD)),
            refused(gate, basic("robot", "nobody has this password")),
            refused(gate, basic("ada", "x" * 5000)),
        )
    }
    assert said == {("unauthenticated", "the name or the password is wrong", None)}


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"nocolon").decode(),
        "Basic /w==",
        "Bearer",
        "Bearer x",
        "Bearer hdl_x_y",
        "Bearer a.b.c",
        "Negotiate abc",
        basic("", PASSWORD),
        "Bearer \udcff",
    ],
)
def test_headers_that_are_no_login(tmp_path: Path, header: str | None) -> None:
    gate = Gate(ServeSettings(), users=users_file(tmp_path, UserEntry("ada", HASH)))
    assert refused(gate, header).kind == "unauthenticated"
    with pytest.raises(Refused):
        gate.authenticate({"authorization": header} if header is not None else {}, None)


def test_a_login_ends_when_it_is_not_used(tmp_path: Path) -> None:
    clock = Clock()
    gate = Gate(ServeSettings(login_s=100.0), users=users_file(tmp_path, UserEntry("ada", HASH)), clock=clock)
    token = gate.handshake(basic("ada", PASSWORD), None, PEER)
    for _ in range(5):
        clock.now_s += 99
        assert gate.authenticate(bearer(token), None).name == "ada"
    clock.now_s += 101
    with pytest.raises(Refused, match="not known, or it has ended"):
        gate.authenticate(bearer(token), None)


def test_a_login_ends_with_its_user_and_their_password(tmp_path: Path) -> None:
    gate = Gate(ServeSettings(), users=users_file(tmp_path, UserEntry("ada", HASH), UserEntry("bob", HASH)))
    ada, bob = (gate.handshake(basic(name, PASSWORD), None, PEER) for name in ("ada", "bob"))
    users_file(tmp_path, UserEntry("ada", hash_of("another password")), UserEntry("bob", HASH, ("analyst",)))
    with pytest.raises(Refused):
        gate.authenticate(bearer(ada), None)
    with pytest.raises(Refused):
        gate.authenticate({"authorization": basic("ada", PASSWORD)}, None, PEER)
    assert gate.authenticate(bearer(bob), None) == Viewer("bob", ("analyst",))
    users_file(tmp_path)
    with pytest.raises(Refused):
        gate.authenticate(bearer(bob), None)


def test_a_password_that_was_checked_is_not_checked_for_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    gate = Gate(ServeSettings(), users=users_file(tmp_path, UserEntry("ada", HASH)), clock=clock)
    checked: list[str] = []

    def counted(password: str, hash: str | None) -> bool:
        checked.append(password)
        return fits(password, hash)

    monkeypatch.setattr("heddle.flightsql.security.gate.fits", counted)
    for _ in range(20):
        gate.authenticate({"authorization": basic("ada", PASSWORD)}, None, PEER)
    assert len(checked) == 1
    clock.now_s += CHECKED_S + 1
    gate.authenticate({"authorization": basic("ada", PASSWORD)}, None, PEER)
    assert len(checked) == 2


def test_a_token_of_a_user(tmp_path: Path) -> None:
    clock = Clock()
    lasting, entry = new_token(None)
    short, short_entry = new_token(int(clock.now_s) + 60)
    stranger, _ = new_token(None)
    mixed = TokenEntry(entry.id, short_entry.digest)
    file = users_file(
        tmp_path,
        UserEntry("grafana", None, ("reader",), (entry, short_entry)),
        UserEntry("x", None, (), (mixed,)),
    )
    gate = Gate(ServeSettings(), users=file, clock=clock)
    for token in (lasting, short):
        assert gate.authenticate(bearer(token), None) == Viewer("grafana", ("reader",))
    login = gate.handshake(f"Bearer {short}")
    assert gate.authenticate(bearer(login), None).name == "grafana"
    assert refused(gate, f"Bearer {stranger}").message == "the token is not known, or it has expired"
    assert refused(gate, f"Bearer {lasting}x").kind == "unauthenticated"
    clock.now_s += 61
    for ended in (short, login):
        with pytest.raises(Refused):
            gate.authenticate(bearer(ended), None)
    users_file(tmp_path, UserEntry("grafana"))
    with pytest.raises(Refused):
        gate.authenticate(bearer(lasting), None)


def test_a_providers_token_holds_no_longer_as_a_login(tmp_path: Path) -> None:
    with identity_provider() as provider:
        settings = ServeSettings(
            jwt=JwtSettings(
                provider.issuer, (AUDIENCE,), provider.keys_url, leeway_s=1.0, roles_claim="roles"
            ),
            users={"ada": UserSettings("ada", ("analyst",))},
        )
        assert settings.jwt is not None
        clock = Clock()
        gate = Gate(settings, jwt=JwtTokens(settings.jwt), clock=clock)
        clock.now_s = 4_000_000_000.0 - 100
        token = provider.token(exp=4_000_000_000, roles=["intern"])
        login = gate.handshake(f"bearer  {token}")
        for shown in (token, login):
            assert gate.authenticate(bearer(shown), None) == Viewer("ada", ("analyst", "intern"))
        assert provider.fetched == 1
        clock.now_s += 102
        with pytest.raises(Refused):
            gate.authenticate(bearer(login), None)
        assert refused(gate, basic("ada", PASSWORD)).message == "this server takes no passwords"


@pytest.mark.parametrize(
    ("part", "name"),
    [("subject", "ada"), ("dns", "ada.example.com"), ("email", "ada@example.com"), ("uri", "spiffe://x/ada")],
)
def test_a_certificate_names_its_viewer(tmp_path: Path, part: str, name: str) -> None:
    authority = Authority("clients")
    pem = authority.client(
        "ada", dns=["ada.example.com"], email=["ada@example.com"], uri=["spiffe://x/ada"]
    ).certificate
    settings = ServeSettings(
        tls=TlsSettings(tmp_path, tmp_path, tmp_path, part), users={name: UserSettings(name, ("r",))}
    )  # type: ignore[arg-type]
    gate = Gate(settings, users=users_file(tmp_path, UserEntry("bob", HASH)))
    assert gate.authenticate({}, pem) == Viewer(name, ("r",))
    assert gate.authenticate(bearer(gate.handshake(None, pem)), pem) == Viewer(name, ("r",))
    assert gate.authenticate({"authorization": basic("bob", PASSWORD)}, pem, PEER).name == "bob"
    two = authority.client("ada\n", dns=["a", "b"], email=["a@b", "c@d"], uri=["x:a", "x:b"]).certificate
    with pytest.raises(Refused, match=f"no single name of the kind `{part}`"):
        gate.authenticate({}, two)
    without = Gate(ServeSettings(tls=TlsSettings(tmp_path, tmp_path, tmp_path, "none")))
    with pytest.raises(Refused):
        without.authenticate({}, pem)


def test_failed_logins_have_to_wait(tmp_path: Path) -> None:
    clock = Clock()
    gate = Gate(ServeSettings(), users=users_file(tmp_path, UserEntry("ada", HASH)), attempts=Attempts(clock))
    for _ in range(FREE_FAILURES):
        assert refused(gate, basic("ada", "guess")).kind == "unauthenticated"
    error = refused(gate, basic("ada", PASSWORD))
    assert (error.kind, error.message) == ("exhausted", "too many logins have failed; try again in 1 s")
    assert gate.handshake(basic("ada", PASSWORD), None, "ipv4:10.0.0.8:1") is not None
    clock.now_s += 1.5
    assert refused(gate, basic("ada", "guess")).kind == "unauthenticated"
    clock.now_s += 10
    assert gate.handshake(basic("ada", PASSWORD), None, PEER) is not None


def test_an_address_that_guesses_names_has_to_wait() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for i in range(FREE_FAILURES_OF_ADDRESS):
        assert attempts.wait_s("a", f"user{i}") == 0
        attempts.failed("a", f"user{i}")
        attempts.succeeded("a", "own")
    assert attempts.wait_s("a", "another") > 0
    assert attempts.wait_s("b", "another") == 0
    clock.now_s += FORGOTTEN_S + 1
    assert attempts.wait_s("a", "another") == 0


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:52100", "10.0.0.7"),
        ("ipv6:[::1]:52100", "::1"),
        ("ipv6:%5B::1%5D:52100", "::1"),
        ("unix:/tmp/x.sock", "unix:/tmp/x.sock"),
        ("", ""),
    ],
)
def test_addresses(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_logins_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heddle.flightsql.security.logins.LOGINS_MAX", 3)
    logins = Logins(10.0)
    viewers = [Viewer(str(i)) for i in range(5)]
    tokens = [logins.begin(lambda viewer=viewer: viewer) for viewer in viewers]  # type: ignore[misc]
    assert [logins.viewer(token) for token in tokens] == [None, None, *viewers[2:]]
    assert logins.viewer(tokens[4][:-1]) is None


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = users_file(
        tmp_path, UserEntry('a"d\\a', HASH, ("x", 'y"'), (TokenEntry("i", "d", 1_900_000_000),))
    )
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.current() == {
        'a"d\\a': UserEntry('a"d\\a', HASH, ("x", 'y"'), (TokenEntry("i", "d", 1_900_000_000),))
    }
    assert [path.name for path in tmp_path.iterdir()] == ["users.toml"]
    for mode in (0o640, 0o604, 0o620):
        file.path.chmod(mode)
        with pytest.raises(UsageError, match="can be used by others"):
            UsersFile(file.path)
    file.path.chmod(0o600)
    file.path.write_text('[user.x]\nroles = ["a\\n"]\n')
    with pytest.raises(UsageError, match="is not a file of users"):
        UsersFile(file.path)
    file.path.write_text("[user.x]\nroles = 3\n")
    with pytest.raises(UsageError, match="is not a file of users"):
        UsersFile(file.path)
    file.path.write_text("[user")
    with pytest.raises(UsageError, match="is not valid TOML"):
        UsersFile(file.path)
    with pytest.raises(UsageError, match="cannot be read"):
        UsersFile(tmp_path / "nothing.toml")


def test_a_file_that_is_broken_later_lets_nobody_in(tmp_path: Path) -> None:
    gate = Gate(ServeSettings(), users=users_file(tmp_path, UserEntry("ada", HASH)))
    token = gate.handshake(basic("ada", PASSWORD), None, PEER)
    (tmp_path / "users.toml").write_text("[user.ada]\npassword = 3\n")
    assert refused(gate, basic("ada", PASSWORD)).kind == "unavailable"
    with pytest.raises(Refused, match="logins cannot be checked at the moment"):
        gate.authenticate(bearer(token), None)

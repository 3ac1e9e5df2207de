"""Coming in at an endpoint: passwords, tokens and certificates, which no message, history or command has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heddle.flightsql.security.tokens import new_token
from tests.flightsql.security.certificates import Authority
from tests.flightsql.security.guarded import PASSWORD, Guarded, user
from tests.repl.conftest import Sql
from tests.repl.terminal import Terminal
from tests.services.service import HOST

TLS = 'users_file = "users.toml"\n[serve.tls]\ncertificate = "server.crt"\nkey = "server.key"\n'


class Secured(Guarded):
    """With the certificate of `authority`. With `clients`, who vouches for clients, they need one too."""

    def __init__(self, authority: Authority, clients: Authority | None = None) -> None:
        vouched = 'client_authority = "clients.crt"\n' if clients is not None else ""
        self.token, entry = new_token(None)
        super().__init__(TLS + vouched, (user("ada", "analyst", token=entry),))
        self._authority = authority
        self._clients = clients

    def _fill(self, folder: Path) -> None:
        super()._fill(folder)
        self._authority.server().write(folder, "server")
        if self._clients is not None:
            (folder / "clients.crt").write_bytes(self._clients.certificate)

    @property
    def uri(self) -> str:
        return f"grpc+tls://{HOST}:{self.port}"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("servers")


@pytest.fixture(scope="module")
def secured(authority: Authority) -> Iterator[Secured]:
    with Secured(authority) as server:
        yield server


@pytest.fixture
def ca(authority: Authority, folder: Path) -> tuple[str, str]:
    (folder / "ca.crt").write_bytes(authority.certificate)
    return "--tls-ca", "ca.crt"


ORDERS = ("--format", "csv", "-c", "select id from Shop.orders order by id")


def test_a_password_of_the_environment(sql: Sql, secured: Secured, ca: tuple[str, str]) -> None:
    done = sql(secured.uri, *ca, "--user", "ada", *ORDERS, HEDDLE_SQL_PASSWORD=PASSWORD)
    assert (done.stdout, done.returncode) == ("id\n1\n3\n", 0), done.stderr


def test_a_wrong_password(sql: Sql, secured: Secured, ca: tuple[str, str]) -> None:
    done = sql(secured.uri, *ca, "--user", "ada", *ORDERS, HEDDLE_SQL_PASSWORD="hunter2hunter2")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "hunter2" not in done.stderr


def test_without_a_login(sql: Sql, secured: Secured, ca: tuple[str, str]) -> None:
    done = sql(secured.uri, *ca, *ORDERS)
    assert (done.stdout, done.returncode) == ("", 1)
    assert "HEDDLE_SQL_TOKEN" in done.stderr


def test_a_certificate(sql: Sql, authority: Authority, ca: tuple[str, str], folder: Path) -> None:
    clients = Authority("clients")
    clients.client("ada").write(folder, "ada")
    with Secured(authority, clients) as server:
        done = sql(server.uri, *ca, "--tls-cert", "ada.crt", "--tls-key", "ada.key", *ORDERS)
        assert (done.stdout, done.returncode) == ("id\n1\n3\n", 0), done.stderr
        half = sql(server.uri, *ca, "--tls-cert", "ada.crt", *ORDERS)
        assert (half.returncode, "--tls-key" in half.stderr) == (2, True)


def test_an_authority_that_is_not_trusted(sql: Sql, secured: Secured) -> None:
    done = sql(secured.uri, "--user", "ada", *ORDERS, HEDDLE_SQL_PASSWORD=PASSWORD)
    assert done.returncode == 3
    assert "certificate" in done.stderr
    trusted = sql(secured.uri, "--tls-skip-verify", "--user", "ada", *ORDERS, HEDDLE_SQL_PASSWORD=PASSWORD)
    assert trusted.stdout == "id\n1\n3\n", trusted.stderr


def test_a_token(sql: Sql, secured: Secured, ca: tuple[str, str]) -> None:
    done = sql(secured.uri, *ca, *ORDERS, HEDDLE_SQL_TOKEN=secured.token)
    assert (done.stdout, done.returncode) == ("id\n1\n3\n", 0), done.stderr
    wrong = sql(secured.uri, *ca, *ORDERS, HEDDLE_SQL_TOKEN="hunter2hunter2")
    assert wrong.returncode == 1
    assert "hunter2" not in wrong.stderr


def test_a_password_that_is_typed(
    terminal: Callable[..., Terminal], secured: Secured, ca: tuple[str, str], folder: Path
) -> None:
    screen = terminal(secured.uri, *ca, "--user", "ada")
    screen.wait_for("Password of ada:")
    screen.enter(PASSWORD)
    screen.prompt(1)
    screen.enter("select count(*) as n from orders;")
    screen.prompt(2)
    arguments = [word for process in screen.processes() for word in process.cmdline()]
    assert "sql" in arguments
    assert not any(PASSWORD in word for word in arguments)
    screen.type("\x04")
    assert screen.end() == 0
    assert PASSWORD not in screen.text
    assert PASSWORD not in (folder / ".local/state/heddle/sql_history").read_text()

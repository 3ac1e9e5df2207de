"""A server with users, roles, policies, limits and an audit log, and what clients need to ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import adbc_driver_flightsql.dbapi as flightsql
import pyarrow as pa

from heddle.flightsql.security.passwords import hash_of
from heddle.flightsql.security.users_file import TokenEntry, UserEntry, change_users
from tests.services.heddle_serve import HeddleServe

PASSWORD = "correct horse"
PROGRAM = """\
workflow Shop {
  [
    { id: 1, owner: "ada", card: "1111222233334444", total: 5 }
    { id: 2, owner: "bob", card: "5555666677778888", total: 0 }
    { id: 3, owner: "ada", card: "9999000011112222", total: 7 }
  ]
    > orders

  [
    { id: 1, note: "for the boss" }
  ]
    > secrets

  io.arrow { path: "numbers.arrow" }
    > numbers
}
"""
ROLES = """\
[serve.role.analyst]
sees = ["Shop.orders", "Shop.numbers"]
writes = ["scratch.*"]

[serve.role.reader]
sees = ["Shop.*"]
rows = 1000
concurrency = 1

[serve.role.hasty]
sees = ["Shop.*"]
timeout = "1s"

[serve.role.boss]
admin = true

[serve.policy.own]
outputs = ["Shop.orders"]
filter = "owner = current_user"
masks = { card = "last4" }
"""
LONG = "SELECT count(*) AS n FROM Shop.numbers a JOIN Shop.numbers b ON a.k = b.k WHERE a.v < b.v"


class Guarded(HeddleServe):
    """`settings` is the text of `[serve]`, without roles and policies, which are always the same."""

    def __init__(self, settings: str, users: tuple[UserEntry, ...] = ()) -> None:
        super().__init__(self._fill)
        self._settings = settings
        self._users = users

    def _fill(self, folder: Path) -> None:
        (folder / "shop.he").write_text(PROGRAM)
        (folder / "heddle.toml").write_text(f"[serve]\n{self._settings}\n{ROLES}")
        if self._users:
            self.change_users(*self._users)
        rows = 200_000
        table = pa.table({"k": pa.array(i % 3 for i in range(rows)), "v": pa.array(range(rows))})
        target = str(folder / "numbers.arrow")
        with pa.OSFile(target, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    def change_users(self, *users: UserEntry) -> None:
        def change(known: dict[str, UserEntry]) -> None:
            known.clear()
            known.update({user.name: user for user in users})

        change_users(self.programs / "users.toml", change)

    def audited(self) -> list[dict[str, object]]:
        """The lines that are there as a whole."""
        lines, _, _ = (self.programs / "audit.jsonl").read_text().rpartition("\n")
        return [json.loads(line) for line in lines.splitlines()]


def user(name: str, *roles: str, token: TokenEntry | None = None) -> UserEntry:
    return UserEntry(name, HASH, roles, (token,) if token is not None else ())


HASH = hash_of(PASSWORD)


@contextmanager
def connected(uri: str, name: str | None = None, **options: str) -> Iterator[flightsql.Connection]:
    """With the password, where there is a name."""
    given: Mapping[str, str] = {"username": name, "password": PASSWORD} if name is not None else {}
    with flightsql.connect(uri, db_kwargs={**given, **options}, autocommit=True) as connection:
        yield connection


def asked(uri: str, text: str, name: str | None = None, **options: str) -> list[tuple[object, ...]]:
    with connected(uri, name, **options) as connection, connection.cursor() as cursor:
        cursor.execute(text)
        rows: list[tuple[object, ...]] = cursor.fetchall()
        return rows

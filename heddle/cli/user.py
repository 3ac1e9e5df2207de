"""`heddle user`: who may log in to `heddle serve`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from heddle.cli.options import color_option
from heddle.errors import UsageError

if TYPE_CHECKING:
    from heddle.flightsql.security.users_file import UserEntry

F = TypeVar("F", bound=Callable[..., Any])


def _file_option(function: F) -> F:
    return click.option(
        "--file",
        "given",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The file of users; without it, `users_file` below [serve] in heddle.toml.",
    )(function)


@click.group()
@color_option
def user() -> None:
    """Users of `heddle serve`: names with passwords and tokens, which are kept as hashes."""


@user.command()
@click.argument("name")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="A role of the user; may be repeated.")
@click.option("--no-password", is_flag=True, help="The user has tokens only.")
@_file_option
@color_option
def add(name: str, roles: tuple[str, ...], no_password: bool, given: Path | None) -> None:
    """Add a user, or give one another password and other roles.

    The password is asked for on a terminal, and else read from standard input.
    """
    from heddle.flightsql.security.passwords import hash_of
    from heddle.flightsql.security.users_file import UserEntry, change_users

    path = _users_file(given)
    _require_names(name, roles)
    password = None if no_password else hash_of(_password())

    def change(users: dict[str, UserEntry]) -> None:
        users[name] = replace(users.get(name, UserEntry(name)), password=password, roles=roles)

    change_users(path, change)
    click.echo(f"{name} can log in", err=True)


@user.command()
@click.argument("name")
@_file_option
@color_option
def remove(name: str, given: Path | None) -> None:
    """Remove a user. Their logins end, and their tokens let nobody in any more."""
    from heddle.flightsql.security.users_file import change_users

    def change(users: dict[str, UserEntry]) -> None:
        _known(users, name)
        del users[name]

    change_users(_users_file(given), change)
    click.echo(f"removed {name}", err=True)


@user.command("list")
@_file_option
@color_option
def list_users(given: Path | None) -> None:
    """List users with their roles and the ids of their tokens."""
    from heddle.flightsql.security.users_file import UsersFile

    for entry in sorted(UsersFile(_users_file(given)).current().values(), key=lambda entry: entry.name):
        tokens = [f"token:{token.id}" for token in entry.tokens]
        click.echo("\t".join((entry.name, ",".join(entry.roles), *tokens)))


@user.command()
@click.argument("name")
@click.option("--expires", metavar="DURATION", help="How long it holds, such as `30d`; without it, forever.")
@click.option("--revoke", metavar="ID", help="Take a token away, by its id.")
@_file_option
@color_option
def token(name: str, expires: str | None, revoke: str | None, given: Path | None) -> None:
    """Give a user a token, which is printed once: a program sends it as `Authorization: Bearer TOKEN`."""
    from heddle.flightsql.security.tokens import new_token
    from heddle.flightsql.security.users_file import change_users

    path = _users_file(given)
    text, entry = new_token(_expiry(expires))

    def give(users: dict[str, UserEntry]) -> None:
        of = _known(users, name)
        users[name] = replace(of, tokens=(*of.tokens, entry))

    def take(users: dict[str, UserEntry]) -> None:
        of = _known(users, name)
        kept = tuple(token for token in of.tokens if token.id != revoke)
        if len(kept) == len(of.tokens):
            raise UsageError(f"{name} has no token `{revoke}`", help="`heddle user list` shows their ids")
        users[name] = replace(of, tokens=kept)

    change_users(path, give if revoke is None else take)
    if revoke is None:
        click.echo(text)
    else:
        click.echo(f"removed the token {revoke} of {name}", err=True)


def _users_file(given: Path | None) -> Path:
    from heddle.config import FILE_NAME, load_project
    from heddle.diagnostics import has_errors
    from heddle.errors import ProgramError

    if given is not None:
        return given
    project, problems = load_project(Path.cwd())
    if has_errors(problems):
        raise ProgramError(problems)
    if project.serve is None or project.serve.users_file is None:
        help = f'write `users_file = "users.toml"` below [serve] in {FILE_NAME}, or give --file'
        raise UsageError("there is no file of users", help=help)
    return project.serve.users_file


def _require_names(name: str, roles: tuple[str, ...]) -> None:
    from heddle.flightsql.security.users_file import is_name

    if not is_name(name) or ":" in name:
        raise UsageError(f"`{name}` cannot be the name of a user", help="it has letters and no `:`")
    for role in roles:
        if not is_name(role):
            raise UsageError(f"`{role}` cannot be the name of a role", help="it has letters that can be seen")


def _known(users: dict[str, UserEntry], name: str) -> UserEntry:
    from heddle.diagnostics import did_you_mean

    if name not in users:
        near = did_you_mean(name, tuple(users))
        raise UsageError(f"there is no user `{name}`", help=f"did you mean `{near}`?" if near else None)
    return users[name]


def _password() -> str:
    if sys.stdin.isatty():
        answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return answer
    return sys.stdin.readline().removesuffix("\n")


def _expiry(expires: str | None) -> int | None:
    from time import time

    from heddle.core.durations import DURATION_HELP, duration_s

    if expires is None:
        return None
    seconds = duration_s(expires)
    if not seconds:
        raise UsageError(f"`{expires}` is not a duration", help=DURATION_HELP)
    return int(time() + seconds)

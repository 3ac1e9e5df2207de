"""The commands of a session, which begin with `\\`. One table names them all: the help, the completion and
the suggestions for misspelled ones read it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from heddle.core.record import record
from heddle.diagnostics import did_you_mean
from heddle.errors import UsageError

if TYPE_CHECKING:
    from heddle.repl.session import Session

Takes: TypeAlias = Literal[
    "nothing", "table", "copy", "file", "format", "toggle", "language", "parameter", "statement", "text"
]


@record(frozen=True, slots=True)
class Command:
    """`run` takes the text after the name; its result is an exit code. `takes` is for the completion."""

    name: str
    usage: str
    summary: str
    takes: Takes
    run: Callable[[Session, str], int | None]


def run_command(session: Session, text: str) -> int:
    """`text` begins with `\\`. Raises `HeddleError`."""
    name, _, rest = text[1:].strip().rstrip(";").partition(" ")
    command = next((c for c in COMMANDS if c.name == name), None)
    if command is None:
        near = did_you_mean(name, [c.name for c in COMMANDS])
        raise UsageError(
            f"there is no command `\\{name}`",
            help=f"did you mean `\\{near}`?" if near else "`\\?` lists the commands",
        )
    return command.run(session, rest.strip()) or 0


def arguments(text: str, usage: str, *, at_most: int = 1, at_least: int = 0) -> list[str]:
    """The words after a command's name; quotes hold words together. Raises `UsageError`."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"a quote in `{text}` has no end", help=f"it is `{usage}`") from error
    if not at_least <= len(words) <= at_most:
        raise UsageError(
            "too many words" if len(words) > at_most else "too few words", help=f"it is `{usage}`"
        )
    return words


def _toggled(text: str, before: bool, usage: str) -> bool:
    match arguments(text, usage):
        case []:
            return not before
        case ["on"]:
            return True
        case ["off"]:
            return False
        case _:
            raise UsageError(f"`{text}` is neither on nor off", help=f"it is `{usage}`")


def _on_off(value: bool) -> str:
    return "on" if value else "off"


def _d(session: Session, text: str) -> None:
    from heddle.repl.describing import describe, list_tables

    if text:
        describe(session, text)
    else:
        list_tables(session, "")


def _dt(session: Session, text: str) -> None:
    from heddle.repl.describing import list_tables

    list_tables(session, text)


def _ds(session: Session, text: str) -> None:
    from heddle.repl.describing import list_schemas

    list_schemas(session)


def _explain(session: Session, text: str) -> None:
    statement = text or session.last
    if not statement:
        raise UsageError("there is no statement to explain", help="it is `\\explain [STATEMENT]`")
    session.explain(statement)


def _timing(session: Session, text: str) -> None:
    session.timing = _toggled(text, session.timing, "\\timing [on|off]")
    session.console.note(f"timing is {_on_off(session.timing)}")


def _x(session: Session, text: str) -> None:
    session.output.expanded = _toggled(text, session.output.expanded, "\\x [on|off]")
    session.console.note(f"a block for each row is {_on_off(session.output.expanded)}")


def _pager(session: Session, text: str) -> None:
    session.console.paging = _toggled(text, session.console.paging, "\\pager [on|off]")
    session.console.note(f"the pager is {_on_off(session.console.paging)}")


def _rows(session: Session, text: str) -> None:
    from heddle.repl.output import chosen_rows

    words = arguments(text, "\\rows [N|all]")
    if words:
        session.output.rows_max = chosen_rows(words[0])
    shown = session.output.rows_max
    session.console.note(f"tables show {'all' if shown is None else f'up to {shown:,}'} rows")


def _format(session: Session, text: str) -> None:
    from heddle.repl.output import chosen_format

    words = arguments(text, "\\format [FORMAT]")
    if words:
        session.output.format = chosen_format(words[0])
    session.console.note(f"the format is {session.output.shown_format}")


def _lang(session: Session, text: str) -> None:
    match [word.lower() for word in arguments(text, "\\lang [sql|prql|duckdb]")]:
        case []:
            pass
        case ["sql"]:
            session.language = "sql"
        case ["prql"]:
            session.language = "prql"
        case ["duckdb"]:
            session.language = "duckdb"
        case _:
            raise UsageError(f"there is no language `{text}`", help="the languages are sql, prql and duckdb")
    session.console.note(f"the language is {session.language}")


def _param(session: Session, text: str) -> None:
    name, _, value = text.partition(" ")
    name = name.lstrip("$")
    if not name:
        session.console.lines([f"${key} = {given}" for key, given in session.parameters.items()])
    elif not name.isidentifier() and not name.isdecimal():
        raise UsageError(f"`{name}` is no parameter's name", help="it is `\\param NAME VALUE`")
    elif value.strip():
        session.parameters[name] = value.strip()
    elif session.parameters.pop(name, None) is None:
        raise UsageError(f"the parameter `${name}` has no value", help="`\\param NAME VALUE` gives it one")


def _o(session: Session, text: str) -> None:
    words = arguments(text, "\\o [FILE]")
    session.output.to(words[0] if words else None)


def _copy(session: Session, text: str) -> None:
    from heddle.repl.copying import copy

    copy(session, text)


def _watch(session: Session, text: str) -> int:
    from heddle.repl.watching import watch

    return watch(session, arguments(text, "\\watch [SECONDS [TIMES]]", at_most=2))


def _e(session: Session, text: str) -> int:
    from heddle.repl.editing import edit

    return edit(session)


def _i(session: Session, text: str) -> int:
    return session.run_file(arguments(text, "\\i FILE", at_least=1)[0])


def _connect(session: Session, text: str) -> None:
    session.connect(arguments(text, "\\connect TARGET", at_least=1)[0])


def _help(session: Session, text: str) -> None:
    width = max(len(command.usage) for command in COMMANDS)
    lines = [f"{command.usage:<{width}}  {command.summary}" for command in COMMANDS]
    session.console.show(lambda columns: lines)


def _q(session: Session, text: str) -> int:
    from heddle.repl.session import Leave

    raise Leave


COMMANDS: Final = (
    Command("d", "\\d [TABLE]", "the columns of a table, or the tables", "table", _d),
    Command("dt", "\\dt [PATTERN]", "the tables; * stands for any letters", "table", _dt),
    Command("ds", "\\ds", "the schemas", "nothing", _ds),
    Command(
        "explain",
        "\\explain [STATEMENT]",
        "the plan of a statement, or of the last one",
        "statement",
        _explain,
    ),
    Command("timing", "\\timing [on|off]", "how long each statement takes", "toggle", _timing),
    Command("x", "\\x [on|off]", "a block of lines for each row", "toggle", _x),
    Command("format", "\\format [FORMAT]", "table, csv, json, markdown, arrow or parquet", "format", _format),
    Command("rows", "\\rows [N|all]", "how many rows a table shows", "text", _rows),
    Command("pager", "\\pager [on|off]", "long tables go through $PAGER", "toggle", _pager),
    Command(
        "param", "\\param [NAME [VALUE]]", "set, unset or list what `$NAME` stands for", "parameter", _param
    ),
    Command("o", "\\o [FILE]", "answers go to a file, or to the screen again", "file", _o),
    Command("copy", "\\copy (QUERY)|TABLE to FILE", "write an answer or a table to a file", "copy", _copy),
    Command("copy", "\\copy TABLE from FILE", "put a file's rows into a table", "copy", _copy),
    Command("watch", "\\watch [SECONDS [TIMES]]", "run the last statement again and again", "text", _watch),
    Command("e", "\\e", "change the last statement in $EDITOR", "nothing", _e),
    Command("i", "\\i FILE", "run a script", "file", _i),
    Command("lang", "\\lang [sql|prql|duckdb]", "the language of statements", "language", _lang),
    Command("connect", "\\connect TARGET", "go on with another program or endpoint", "file", _connect),
    Command("?", "\\?", "this list", "nothing", _help),
    Command("q", "\\q", "leave; so does ^D", "nothing", _q),
)

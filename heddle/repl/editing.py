"""`\\e`: the last statement in the user's editor. What comes back with a `;` is run, the rest waits at the
prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from heddle.errors import UsageError
from heddle.repl.statements import is_complete

if TYPE_CHECKING:
    from heddle.repl.session import Session


def edit(session: Session) -> int:
    """The exit code of what was run. Raises `UsageError` when there is no editor."""
    if not session.console.interactive:
        raise UsageError("`\\e` needs a person at a terminal")
    before = f"{session.last};\n" if session.last else ""
    try:
        edited = click.edit(before, extension=f".{session.language}", require_save=True)
    except click.ClickException as error:
        raise UsageError(error.format_message(), help="$VISUAL or $EDITOR names the editor") from error
    if edited is None or not edited.strip():
        session.console.say("nothing was changed")
        return 0
    if not is_complete(edited, session.language):
        session.pending = edited.rstrip()
        return 0
    session.console.say(edited.rstrip())
    session.remember(edited.rstrip())
    return session.run(edited)

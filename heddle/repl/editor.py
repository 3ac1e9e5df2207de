"""A person at a terminal: lines are typed, completed, kept and run until ^D."""

from __future__ import annotations

import os
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import ThreadedCompleter
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.defaults import create_output

from heddle.repl.history import open_history
from heddle.repl.prompting import STYLE, StatementCompleter, StatementLexer
from heddle.repl.session import Leave, Session
from heddle.repl.statements import is_complete
from heddle.repl.vocabulary import Vocabulary

_WORDS: Final = {"exit": "\\q", "quit": "\\q", "help": "\\?"}
"""What people type that come from other shells."""


def interact(session: Session) -> int:
    """Until the user leaves; the exit code is 0, whatever statements did."""
    prompt = _prompt_session(session)
    session.remember = prompt.history.append_string
    session.console.say(f"{session.connection.label}: \\? lists the commands, ^D leaves")
    while True:
        before, session.pending = session.pending or "", None
        try:
            text = prompt.prompt(default=before)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return 0
        try:
            session.begin(_WORDS.get(text.strip().rstrip(";").lower(), text))
        except Leave:
            return 0
        except KeyboardInterrupt:
            continue
        except (
            Exception
        ) as error:  # the session's own door: one statement does not end what a person has open
            session.console.fault(error)


def _prompt_session(session: Session) -> PromptSession[str]:
    def words() -> Vocabulary:
        return Vocabulary(session.language, session.tables(), tuple(session.parameters))

    def message() -> StyleAndTextTuples:
        return [("class:prompt", f"{session.language}> ")]

    def continuation(width: int, line: int, wrapped: int) -> StyleAndTextTuples:
        return [("class:prompt.more", f"{'...> ':>{width}}" if not wrapped else " " * width)]

    return PromptSession(
        message,
        multiline=True,
        prompt_continuation=continuation,
        completer=ThreadedCompleter(StatementCompleter(words)),
        complete_while_typing=False,
        lexer=StatementLexer(lambda: session.language),
        auto_suggest=AutoSuggestFromHistory(),
        history=open_history(os.environ),
        key_bindings=_keys(session),
        style=STYLE,
        output=create_output(always_prefer_tty=True),
        color_depth=ColorDepth.DEPTH_1_BIT if not session.console.colors else None,
        enable_history_search=False,
    )


def _keys(session: Session) -> KeyBindings:
    """Enter runs what is complete and begins a line in what is not; Alt+Enter runs it in any case."""
    keys = KeyBindings()

    def can_run(event: KeyPressEvent) -> bool:
        text = event.current_buffer.text
        said = text.strip().lower()
        return not said or said.rstrip(";") in _WORDS or is_complete(text, session.language)

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
            buffer.complete_state = None
        elif can_run(event):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    return keys

"""The lexer and the completion of this package as prompt_toolkit wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import Style

from heddle.database.errors import QueryError
from heddle.database.model import Language
from heddle.repl.completion import complete
from heddle.repl.lexer import Token, tokens
from heddle.repl.vocabulary import KEYWORDS, Vocabulary

STYLE: Final = Style.from_dict(
    {
        "sql.keyword": "ansiblue bold",
        "sql.string": "ansigreen",
        "sql.number": "ansimagenta",
        "sql.comment": "ansibrightblack",
        "sql.parameter": "ansiyellow",
        "sql.command": "ansicyan bold",
        "prompt": "bold",
        "prompt.more": "ansibrightblack",
    }
)


class StatementLexer(Lexer):
    """Styles the text that is typed. The language is asked for each time."""

    def __init__(self, language: Callable[[], Language]) -> None:
        self._language = language

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        lines: list[StyleAndTextTuples] = [[]]
        for style, text in styled(document.text, self._language()):
            first, *others = text.split("\n")
            lines[-1].append((style, first))
            lines += [[(style, other)] for other in others]
        return lambda number: lines[number] if number < len(lines) else []


def styled(text: str, language: Language) -> Iterable[tuple[str, str]]:
    """Pieces of the text with their styles."""
    if text.lstrip().startswith("\\"):
        name, space, rest = text.partition(" ")
        return [("class:sql.command", name), ("", space + rest)]
    return [(_style(token, language), token.text) for token in tokens(text, language)]


def _style(token: Token, language: Language) -> str:
    match token.kind:
        case "name":
            return "class:sql.keyword" if token.word in KEYWORDS[language] else ""
        case "string" | "number" | "comment" | "parameter":
            return f"class:sql.{token.kind}"
        case "space" | "quoted_name" | "operator" | "end":
            return ""


class StatementCompleter(Completer):
    """`words` is asked for each time; it may ask the connection, which is why it has a thread of its own."""

    def __init__(self, words: Callable[[], Vocabulary]) -> None:
        self._words = words

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        try:
            words = self._words()
        except QueryError:
            return  # the statement itself will tell
        cursor = document.cursor_position
        for candidate in complete(document.text, cursor, words):
            yield Completion(
                candidate.text,
                start_position=candidate.start - cursor,
                display=candidate.shown,
                display_meta=candidate.about,
            )

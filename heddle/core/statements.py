"""Statements of a service, such as SQL, with parameters: `SELECT … WHERE id = @user_id`.

Quoted parts, comments, `@@x` and `a@b` hold no parameters. The checker asks which there are, a connector
puts its service's own placeholders there: values are bound, they never become part of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_PARTS: Final = (
    r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\$\$.*?\$\$|--[^\n]*|/\*.*?\*/"
    r"|@@\w+|[\w.]@\w*|@(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
)


def parameter_names(text: str) -> tuple[str, ...]:
    """The parameters of a statement, each once, in order."""
    names = (found["name"] for found in re.finditer(_PARTS, text, re.DOTALL))
    return tuple(dict.fromkeys(name for name in names if name))


def with_placeholders(text: str, placeholder: Callable[[str], str]) -> str:
    """The statement with `placeholder(name)` where `@name` stands."""

    def replaced(found: re.Match[str]) -> str:
        name = found["name"]
        return placeholder(name) if name else found.group()

    return re.sub(_PARTS, replaced, text, flags=re.DOTALL)

"""Templates in settings: `{name}` stands for the value of the column `name`; `{{` and `}}` are braces.

A brace that stands around no name is itself, so JSON may be written as it is. Values are put in once: what
looks like a template in them stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from heddle.core.record import record

_PARTS: Final = r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_-]*)\}"


class UnknownColumn(ValueError):
    """A template, or a setting, names a column that the input does not have."""


@record(frozen=True, slots=True)
class Template:
    text: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names, each once, in order."""
        found = (name for name in re.findall(_PARTS, self.text) if name)
        return tuple(dict.fromkeys(found))

    def fill(self, values: Mapping[str, str], encoded: Callable[[str], str] = str) -> str:
        """The text with the values, each as `encoded` makes it."""

        def part(found: re.Match[str]) -> str:
            name = found[1]
            return encoded(values[name]) if name else found[0][0]

        return re.sub(_PARTS, part, self.text)


def check_columns(named: Iterable[str], known: Iterable[str], setting: str) -> None:
    """Raises `UnknownColumn` for the first of the `named` that is not among the input's columns."""
    names = list(known)
    for name in named:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            there = ", ".join(f"`{each}`" for each in names) or "no columns"
            hint = f"did you mean `{near[0]}`?" if near else f"it has {there}"
            raise UnknownColumn(
                f"`{setting}` names the column `{name}`, which the input does not have; {hint}"
            )

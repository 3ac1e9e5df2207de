"""Reading TOML with places: each value is checked for its kind and meaning, each key for being known, and
what is wrong becomes a diagnostic at its place.

A reader of one file derives from `TomlReader` and asks it for tables and values; what is wrong is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from heddle.core.config import describe
from heddle.core.durations import DURATION_HELP, duration_s
from heddle.diagnostics import Diagnostic, Fix, Source, did_you_mean
from heddle.sizes import SIZE_HELP, parse_size
from heddle.toml_places import KeyPath, KeyPlace, key_places

T = TypeVar("T")
D = TypeVar("D")
C = TypeVar("C", bound=str)


class TomlReader:
    """Reads the values of `source`, whose relative paths begin at `root`; collects `diagnostics`."""

    def __init__(self, source: Source, root: Path) -> None:
        self.source = source
        self.root = root
        self.places = key_places(source.text)
        self.diagnostics: list[Diagnostic] = []

    @property
    def file_name(self) -> str:
        return Path(self.source.path).name

    def table(self, value: object, at: KeyPath, known: tuple[str, ...] | None = None) -> dict[str, object]:
        """The table's entries; with `known` its other keys are errors and left out."""
        if not isinstance(value, dict):
            self.wrong_kind(at, value, "a table", f"write it as `[{'.'.join(at)}]` with its keys below")
            return {}
        if known is None:
            return value
        for key in value:
            if key not in known:
                self.unknown((*at, key), known)
        return {key: item for key, item in value.items() if key in known}

    def text(
        self, table: Mapping[str, object], at: KeyPath, read: Callable[[str, KeyPath], T | None], default: D
    ) -> T | D:
        value = table.get(at[-1])
        if value is None:
            return default
        if not isinstance(value, str):
            self.wrong_kind(at, value, "a string", f'write it like `{at[-1]} = "…"`')
            return default
        result = read(value, at)
        return default if result is None else result

    def texts(
        self, table: Mapping[str, object], at: KeyPath, read: Callable[[str, KeyPath], T | None]
    ) -> tuple[T, ...]:
        """A list of strings, or one; without the key none."""
        value = table.get(at[-1], [])
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            self.wrong_kind(at, value, "a list of strings", f'write it like `{at[-1]} = ["…", "…"]`')
            return ()
        results = [read(item, at) for item in items]
        return tuple(result for result in results if result is not None)

    def flag(self, table: Mapping[str, object], at: KeyPath) -> bool:
        """True or false; without the key false."""
        value = table.get(at[-1], False)
        if not isinstance(value, bool):
            self.wrong_kind(at, value, "true or false", f"write `{at[-1]} = true`")
            return False
        return value

    def count(self, table: Mapping[str, object], at: KeyPath, default: D) -> int | D:
        """A whole number of at least 1."""
        value = table.get(at[-1])
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.wrong_kind(at, value, "a whole number of at least 1", f"write it like `{at[-1]} = 8`")
            return default
        return value

    def choice(self, table: Mapping[str, object], at: KeyPath, known: tuple[C, ...], default: C) -> C:
        value = self.text(table, at, lambda text, _: text, None)
        return default if value is None else self.one_of(value, at, known) or default

    def one_of(self, value: str, at: KeyPath, known: tuple[C, ...]) -> C | None:
        found = next((item for item in known if item == value), None)
        if found is None:
            near = did_you_mean(value, known)
            help = f"did you mean `{near}`?" if near else "it is one of " + ", ".join(f"`{k}`" for k in known)
            self.report("HD0723", f"`{at[-1]}` cannot be `{value}`", at, help)
        return found

    def seconds(self, value: str, at: KeyPath) -> float | None:
        """Those of a duration."""
        seconds = duration_s(value)
        if not seconds:
            self.report("HD0723", f"`{value}` is not a duration above 0", at, DURATION_HELP)
        return seconds or None

    def size(self, value: str, at: KeyPath) -> int | None:
        size = parse_size(value)
        if size is None:
            self.report("HD0723", f"`{value}` is not an amount of memory", at, SIZE_HELP)
        return size

    def path(self, value: str, at: KeyPath) -> Path | None:
        if not value or "\0" in value:
            help = f"paths are relative to the folder of {self.file_name}"
            self.report("HD0723", f"`{at[-1]}` has no path", at, help)
            return None
        return self.root / Path(value).expanduser()

    def unknown(self, at: KeyPath, known: tuple[str, ...]) -> None:
        near = did_you_mean(at[-1], known)
        where = f"`[{'.'.join(at[:-1])}]`" if at[:-1] else self.file_name
        fix = Fix(f"write `{near}`", ((self.place(at).key, near),)) if near else None
        help = f"did you mean `{near}`?" if near else "it takes " + ", ".join(f"`{k}`" for k in known)
        self.report("HD0721", f"{where} has no key `{at[-1]}`", at, help, fix=fix, on_key=True)

    def wrong_kind(self, at: KeyPath, value: object, wanted: str, help: str) -> None:
        self.report("HD0722", f"`{at[-1]}` is {_kind(value)}, where {wanted} is expected", at, help)

    def report(
        self, code: str, message: str, at: KeyPath, help: str, *, fix: Fix | None = None, on_key: bool = False
    ) -> None:
        place = self.place(at)
        span = place.key if on_key else place.value
        self.diagnostics.append(Diagnostic(code, "error", message, self.source, span, help, fix))

    def place(self, at: KeyPath) -> KeyPlace:
        return self.places.get(at) or self.place(at[:-1])


def _kind(value: object) -> str:
    match value:
        case None | bool() | int() | float() | str() | list():
            return describe(value)
        case dict():
            return "a table"
        case _:
            return "a date or time"

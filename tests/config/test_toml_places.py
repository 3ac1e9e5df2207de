"""Every key of a TOML text is found where it stands."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heddle.toml_places import key_places

TEXT = '''\
# a comment with [brackets] and a = b
top = 1
"quoted key" = 'literal # no comment'   # a comment

[table]  # another
dotted.inner = [1, 2, # in an array
  { hidden = 3 }, "]"]
inline = { a = 1, "b c" = { d = """
several "quoted" lines""" }, }
date = 1979-05-27 07:32:00

[ table . "sub.table" ]
last = true
[[rows]]
x = 1
'''


def texts(path: tuple[str, ...]) -> tuple[str, str]:
    place = key_places(TEXT)[path]
    return TEXT[place.key.start : place.key.end], TEXT[place.value.start : place.value.end]


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("top",), "top", "1"),
        (("quoted key",), '"quoted key"', "'literal # no comment'"),
        (("table",), "table", "table"),
        (("table", "dotted", "inner"), "inner", '[1, 2, # in an array\n  { hidden = 3 }, "]"]'),
        (("table", "inline", "a"), "a", "1"),
        (("table", "inline", "b c", "d"), "d", '"""\nseveral "quoted" lines"""'),
        (("table", "date"), "date", "1979-05-27 07:32:00"),
        (("table", "sub.table", "last"), "last", "true"),
        (("rows", "x"), "x", "1"),
    ],
)
def test_place_of_key_and_value(path: tuple[str, ...], key: str, value: str) -> None:
    assert texts(path) == (key, value)


def test_keys_in_arrays_have_no_place() -> None:
    assert not any("hidden" in path for path in key_places(TEXT))


KEYS = st.text('ab-_é."\\ ', min_size=1, max_size=4)
SCALARS = st.one_of(st.integers(), st.booleans(), st.text(max_size=6), st.lists(st.integers(), max_size=2))
TABLES = st.recursive(SCALARS, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)


def toml_string(text: str) -> str:
    escaped = "".join(f"\\U{ord(c):08X}" if ord(c) < 32 or c in '"\\\x7f' else c for c in text)
    return f'"{escaped}"'


def toml_value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return toml_string(value)
        case list():
            return "[ " + " , ".join(map(toml_value, value)) + " ]"
        case dict():
            return "{" + ", ".join(f"{toml_string(k)} = {toml_value(v)}" for k, v in value.items()) + "}"
        case _:
            raise AssertionError(value)


def paths(table: dict[str, object], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in table.items():
        found.append((*prefix, key))
        if isinstance(value, dict):
            found += paths(value, (*prefix, key))
    return found


@given(st.dictionaries(KEYS, TABLES, max_size=4))
def test_all_keys_of_any_document_are_found(document: dict[str, object]) -> None:
    text = "".join(f"{toml_string(key)} = {toml_value(value)}\n" for key, value in document.items())
    assert tomllib.loads(text) == document
    assert set(key_places(text)) == set(paths(document))

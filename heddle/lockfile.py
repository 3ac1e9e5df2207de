"""`heddle.lock`: the columns of statements, tables and topics as the services described them, beside
`heddle.toml`.

    {"steps": {"fhub/postgresql.query#3f0c…": {
        "asked": {"query": "SELECT user_id, country FROM users"},
        "programs": ["fraud.he"],
        "row": {"user_id": "int", "country": "string?"}}}}

The key holds a hash of what is asked, so an entry can never stand for another statement. `programs` are those
that ask it, with the profile under which they do: an entry goes when the last of them asks it no more.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.record import record
from heddle.core.signature import ModuleSignature, StepSignature
from heddle.core.types import Column, RowType, TypeSyntaxError, parse_type, type_name
from heddle.frontend.typed import ConfigData, EnvRef, ParamRef, SecretRef

FILE_NAME: Final = "heddle.lock"
HASH_DIGITS: Final = 16
PLACES: Final = ("table", "topic")
"""Settings that say what is read, where a step has no statement."""
FORMS: Final = ("columns", "format", "key_format")
"""Settings that say which columns become of it."""


@record(frozen=True, slots=True)
class LockEntry:
    """`asked` are the settings that the row depends on, for people."""

    row: RowType
    asked: Mapping[str, ConfigValue] = field(default_factory=dict)
    programs: frozenset[str] = frozenset()


@record(frozen=True, slots=True)
class LockFile:
    """`problem` is (message, help) when the file is there but cannot be used."""

    entries: Mapping[str, LockEntry] = field(default_factory=dict)
    problem: tuple[str, str] | None = None

    @classmethod
    def read(cls, root: Path) -> LockFile:
        path = root / FILE_NAME
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            return cls(problem=(f"{FILE_NAME} cannot be read ({error})", "delete it, or restore it"))
        try:
            return cls({key: _entry(data) for key, data in json.loads(text)["steps"].items()})
        except (ValueError, KeyError, TypeError, AttributeError, TypeSyntaxError, pa.ArrowInvalid) as error:
            reason = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else str(error)
            return cls(problem=(f"{FILE_NAME} is damaged ({reason})", "delete it, or restore it"))

    def row(self, key: str) -> RowType | None:
        entry = self.entries.get(key)
        return None if entry is None else entry.row


def lock_key(
    module: ModuleSignature,
    step: StepSignature,
    config: Mapping[str, ConfigData],
    input_row: RowType | None = None,
) -> str:
    """The entry's key: what the step is asked, not where it is asked.

    The columns of a step that needs an input may depend on the input's.
    """
    said: dict[str, object] = dict(asked_settings(step, config))
    if input_row is not None and step.input_mode == "required":
        said["@input"] = str(input_row)
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:HASH_DIGITS]
    return f"{module.path}.{step.name}#{digest}"


def asked_settings(step: StepSignature, config: Mapping[str, ConfigData]) -> dict[str, ConfigValue]:
    """The settings that its columns depend on: a statement, a table or a topic, and how that is read. Of a
    step that has none of these any setting may count."""
    fields = {f.name: f for f in step.config}
    asked = [f.name for f in step.config if f.type.kind == "statement" and f.name in config]
    asked = asked or [name for name in PLACES if config.get(name) is not None]
    names = {*asked, *FORMS} if asked else set(config)
    return {
        name: _shown(value)
        for name, value in sorted(config.items())
        if name in names and not (name in fields and (fields[name].secret or value == fields[name].default))
    }


def update_lock(root: Path, change: Callable[[LockFile], Mapping[str, LockEntry]]) -> None:
    """Replace the entries by what `change` makes of them; of several processes one at a time. A file that
    says the same is not touched. Raises `OSError`."""
    with _locked(root):
        old = LockFile.read(root)
        entries = change(old)
        text = _text(entries)
        path = root / FILE_NAME
        if dict(entries) == dict(old.entries):
            return
        handle, scratch = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=root)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(scratch, path.stat().st_mode if path.exists() else 0o644)
            os.replace(scratch, path)
        except BaseException:
            os.unlink(scratch)
            raise


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    folder = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _text(entries: Mapping[str, LockEntry]) -> str:
    """Sorted by key; columns stay in their order."""
    steps = {
        key: {
            "asked": dict(sorted(entry.asked.items())),
            "programs": sorted(entry.programs),
            "row": {column.name: _type_data(column) for column in entry.row},
            **({"open": True} if entry.row.open else {}),
        }
        for key, entry in sorted(entries.items())
    }
    return json.dumps({"steps": steps}, indent=2, ensure_ascii=False) + "\n"


def _entry(data: Mapping[str, Any]) -> LockEntry:
    columns = tuple(_column(name, type_) for name, type_ in data["row"].items())
    row = RowType(columns, open=bool(data.get("open", False)))
    return LockEntry(row, dict(data.get("asked", {})), frozenset(data.get("programs", ())))


def _type_data(column: Column) -> str | dict[str, str]:
    """Heddle's name of a type; where it has none, Arrow's name and the type itself as an Arrow schema."""
    if column.type is None:
        return "unknown"
    name = type_name(column.type, column.nullable)
    try:
        if parse_type(name) == (column.type, column.nullable):
            return name
    except TypeSyntaxError:
        pass
    schema = pa.schema([pa.field(column.name, column.type, column.nullable)])
    return {"type": name, "arrow": base64.b64encode(schema.serialize().to_pybytes()).decode("ascii")}


def _column(name: str, data: str | Mapping[str, str]) -> Column:
    if data == "unknown":
        return Column(name, None)
    if isinstance(data, str):
        type_, nullable = parse_type(data)
        return Column(name, type_, nullable)
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(data["arrow"], validate=True)))
    except (binascii.Error, OSError) as error:
        raise ValueError(f"the type of `{name}`: {error}") from error
    return Column(name, schema.field(0).type, schema.field(0).nullable)


def _shown(value: ConfigData) -> ConfigValue:
    match value:
        case EnvRef(name):
            return {"env": name}
        case SecretRef(name):
            return {"secret": name}
        case ParamRef(name):
            return f"@{name}"
        case list():
            return [_shown(item) for item in value]
        case dict():
            return {key: _shown(item) for key, item in value.items()}
        case _:
            return value

"""`heddle.lock`: the columns of statements as the services described them, beside `heddle.toml`.

    {"steps": {"fhub/postgresql.query#3f0c…": {"row": {"user_id": "int", "country": "string?"}}}}

The key holds a hash of the step's statement, so an entry can never stand for another text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from heddle.core.record import record
from heddle.core.signature import ModuleSignature, StepSignature
from heddle.core.types import Column, RowType, TypeSyntaxError, parse_type

FILE_NAME = "heddle.lock"
HASH_DIGITS = 16


@record(frozen=True, slots=True)
class LockFile:
    """`problem` is (message, help) when the file is there but cannot be used."""

    rows: Mapping[str, RowType] = field(default_factory=dict)
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
            return cls({key: _row(entry) for key, entry in json.loads(text)["steps"].items()})
        except (ValueError, KeyError, TypeError, AttributeError, TypeSyntaxError) as error:
            reason = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else str(error)
            return cls(problem=(f"{FILE_NAME} is damaged ({reason})", "delete it, or restore it"))

    def row(
        self, module: ModuleSignature, step: StepSignature, config: Mapping[str, object]
    ) -> RowType | None:
        return self.rows.get(lock_key(module, step, config))


def lock_key(module: ModuleSignature, step: StepSignature, config: Mapping[str, object]) -> str:
    """The entry's key: what the step is asked for (statement, table or topic), not where it is asked."""
    statements = [f.name for f in step.config if f.type.kind == "statement"]
    asked = statements or [f.name for f in step.config if f.name in ("table", "topic")]
    text = json.dumps({name: config.get(name) for name in sorted(asked)}, sort_keys=True, default=repr)
    digest = hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]
    return f"{module.path}.{step.name}#{digest}"


def _row(entry: Mapping[str, Mapping[str, str]]) -> RowType:
    parsed = [(name, parse_type(text)) for name, text in entry["row"].items()]
    return RowType(tuple(Column(name, type_, nullable) for name, (type_, nullable) in parsed))

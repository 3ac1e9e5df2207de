"""Programs checked in the project beside this file, whose modules and files are real."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from heddle.engine import CheckResult, Engine

PROJECT = Path(__file__).with_name("project")


def check(text: str, profile: str | None = None, params: Mapping[str, str] | None = None) -> CheckResult:
    """The working directory should be `PROJECT`, so that messages name files by short paths."""
    engine = Engine.open(Path("program.he"), profile=profile, params=params or {}, environ={})
    return engine.check(text)

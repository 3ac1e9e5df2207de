"""`heddle check --refresh`: what services said of a program's steps becomes `heddle.lock`, and what changed
by that is told.

An entry belongs to the programs that ask it, each under one profile. The entries that this program asked
under this profile and asks no more lose it; one that nobody asks is dropped. What could not be asked keeps
its entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from heddle.compiling import CheckResult
from heddle.config import Project
from heddle.core.record import record
from heddle.core.types import Column, RowType, type_name
from heddle.describing import Answer
from heddle.diagnostics import Diagnostic, has_errors
from heddle.errors import UsageError
from heddle.lockfile import FILE_NAME, LockEntry, LockFile, update_lock

PROFILE_MARK: Final = " --profile "

Change: TypeAlias = Literal["added", "changed", "dropped", "kept"]


@record(frozen=True, slots=True)
class LockChange:
    """What became of one entry; `label` names its step, `columns` what is different."""

    change: Change
    label: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = f": {'; '.join(self.columns)}" if self.columns else ""
        return f"{self.change} {self.label}{said}"


@record(frozen=True, slots=True)
class Refreshed:
    """`checked` has the problems of asking among its findings."""

    checked: CheckResult
    changes: tuple[LockChange, ...]


def keep_answers(
    project: Project, path: Path, checked: CheckResult, answers: Mapping[str, Answer]
) -> Refreshed:
    """Raises `UsageError` when `heddle.lock` cannot be read or written."""
    changes: list[LockChange] = []
    user = _user(project, path)

    def change(old: LockFile) -> Mapping[str, LockEntry]:
        if old.problem is not None:
            raise UsageError(old.problem[0], help=old.problem[1])
        entries = {key: _without_gone(entry, project) for key, entry in old.entries.items()}
        for answer in answers.values():
            before = entries.get(answer.key)
            if answer.row is None:
                continue
            programs = before.programs if before is not None else frozenset()
            entries[answer.key] = LockEntry(answer.row, answer.asked, programs | {user})
            changes.append(_change(answer, before))
        if checked.ok:
            for key, entry in entries.items():
                if key not in answers and user in entry.programs:
                    entries[key] = replace(entry, programs=entry.programs - {user})
        used = {
            key: entry
            for key, entry in entries.items()
            if entry.programs or _is_nobodys(old.entries.get(key))
        }
        changes.extend(LockChange("dropped", _named(key)) for key in old.entries if key not in used)
        return used

    try:
        update_lock(project.root, change)
    except OSError as error:
        message = f"{project.root / FILE_NAME} cannot be written: {error.strerror or error}"
        raise UsageError(message, help="what the services said was not kept") from error
    problems = [problem for answer in answers.values() for problem in answer.problems]
    return Refreshed(_with(checked, problems), tuple(changes))


def _with(checked: CheckResult, problems: list[Diagnostic]) -> CheckResult:
    if not problems:
        return checked
    found = sorted((*checked.diagnostics, *problems), key=lambda d: (d.source.path, d.span))
    return CheckResult(
        checked.source, None if has_errors(tuple(found)) else checked.program, tuple(dict.fromkeys(found))
    )


def _user(project: Project, path: Path) -> str:
    """The program's path in the project, and the profile."""
    place = path.resolve()
    root = project.root.resolve()
    name = place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)
    return name if project.profile is None else f"{name}{PROFILE_MARK}{project.profile.name}"


def _without_gone(entry: LockEntry, project: Project) -> LockEntry:
    """Without the programs and profiles that are not there any more."""

    def is_there(user: str) -> bool:
        name, _, profile = user.partition(PROFILE_MARK)
        return (project.root / name).is_file() and (not profile or profile in project.profiles)

    return replace(entry, programs=frozenset(filter(is_there, entry.programs)))


def _is_nobodys(entry: LockEntry | None) -> bool:
    """Whether it says of no program that it asks it, so that none can give it up."""
    return entry is not None and not entry.programs


def _named(key: str) -> str:
    return key.partition("#")[0]


def _change(answer: Answer, before: LockEntry | None) -> LockChange:
    assert answer.row is not None, "it has an answer"
    if before is None:
        return LockChange("added", answer.label, tuple(str(column) for column in answer.row))
    different = tuple(_differences(before.row, answer.row))
    return LockChange("changed" if different else "kept", answer.label, different)


def _differences(old: RowType, new: RowType) -> list[str]:
    found = [f"`{column.name}` is gone" for column in old if new.column(column.name) is None]
    for column in new:
        before = old.column(column.name)
        if before is None:
            found.append(f"`{column.name}` is new: {_type(column)}")
        elif before != column:
            found.append(f"`{column.name}` is {_type(column)}, was {_type(before)}")
    if not found and old != new:
        found.append("other columns may be there too" if new.open else "the order of the columns")
    return found


def _type(column: Column) -> str:
    return type_name(column.type, column.nullable)

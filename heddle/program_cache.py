"""Programs that were checked and planned before, by what they were made of.

A check notes in a `LookedAt` what it reads beside the text: files of modules, data files, the lock file.
While all of that is as it was, and the text, the project's settings and the parameters are the same, so are
the checked program and its plans. `PROGRAMS` holds them for all engines of the process; those that were not
used for longest go first.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Hashable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from heddle.core.file_state import (
    FileState,
    States,
    last_changes_ns,
    state_of,
    still_hold,
    will_show_changes,
)
from heddle.core.record import record

if TYPE_CHECKING:
    from heddle.config import Project
    from heddle.core.config import ConfigValue
    from heddle.engine import CheckResult, RunOptions
    from heddle.frontend.typed import TypedProgram
    from heddle.logical.plan import LogicalPlan
    from heddle.std.file_states import NamedState

PROGRAMS_MAX: Final = 64
PLANS_MAX: Final = 8
"""Of one program, each for other options."""

STORE_SWITCH: Final = "HEDDLE_PROGRAM_CACHE"
"""The environment variable that turns the store on disk `off`."""

ProgramKey: TypeAlias = tuple[str | int | bool, ...]
"""What a check is given: path and text, settings of the project, parameters."""

Plans: TypeAlias = "tuple[LogicalPlan, dict[str, LogicalPlan]]"
"""The plan of the workflows, and that of each handler."""


def store_is_on(environ: Mapping[str, str]) -> bool:
    return environ.get(STORE_SWITCH, "").lower() not in ("off", "0", "false", "no")


def program_key(path: Path, text: str, project: Project, *, strict_layout: bool) -> ProgramKey:
    """Messages name files relative to the working directory, so it belongs to the key; and so does the folder
    that the path leads to, since a link in it may lead elsewhere tomorrow."""
    settings = project.source.text if project.source is not None else ""
    return (
        str(path),
        str(path.resolve().parent),
        _working_directory(),
        text,
        strict_layout,
        str(project.root),
        zlib.crc32(settings.encode()),
        len(settings),
        project.profile.name if project.profile is not None else "",
        project.profile is not None,
        *(part for pair in sorted(project.given.items()) for part in pair),
    )


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""  # removed meanwhile; absolute paths work on


@record(slots=True, eq=False)
class LookedAt:
    """`readers` are the file readers that were described, with the states of their files. It is not
    `complete` where something was asked whose state cannot be told: an object store, a plugin's process, a
    service. `unasked`: a service would say more than is known."""

    states: dict[str, FileState | None] = field(default_factory=dict)
    readers: list[tuple[str, Mapping[str, ConfigValue], Path, tuple[NamedState, ...]]] = field(
        default_factory=list
    )
    complete: bool = True
    unasked: bool = False

    def files(self, *paths: Path) -> None:
        """To be called before they are read."""
        for path in paths:
            self.states.setdefault(str(path), state_of(str(path)))

    def code(self, states: States) -> None:
        self.states.update(states)

    def reader(self, step: str, config: Mapping[str, ConfigValue], base: Path) -> None:
        """To be called before its files are read."""
        from heddle.std.file_states import file_states

        states = file_states(step, config, base)
        if states is None:
            self.complete = False
        else:
            self.readers.append((step, config, base, states))

    def still_holds(self) -> bool:
        if not still_hold(self.states):
            return False
        if not self.readers:
            return True
        from heddle.std.file_states import file_states

        return all(file_states(step, config, base) == states for step, config, base, states in self.readers)

    def is_settled(self) -> bool:
        """Whether a change from here on will show."""
        of_readers = (state[-1] for *_, states in self.readers for state in states)
        return will_show_changes((*last_changes_ns(self.states), *of_readers))


@record(slots=True, eq=False)
class KnownProgram:
    """A checked program without errors, with its plans by the options that they are for."""

    key: ProgramKey
    result: CheckResult
    looked_at: LookedAt
    plans: dict[Hashable, Plans] = field(default_factory=dict)
    unsaved: bool = False
    """Whether it has plans that are not in the store."""


def plan_key(options: RunOptions) -> Hashable:
    """The options that a plan depends on."""
    return (
        options.workflows,
        tuple(options.outputs.items()),
        options.limit,
        options.optimize,
        options.pushdown,
        options.check_steps,
        options.shares,
    )


class ProgramCache:
    """May be used from several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[ProgramKey, KnownProgram] = {}

    def find(self, key: ProgramKey) -> KnownProgram | None:
        """The program as it is, or None when it is not known, or something has changed."""
        with self._lock:
            known = self._by_key.get(key)
        if known is None:
            return None
        if not known.looked_at.still_holds():
            with self._lock:
                if self._by_key.get(key) is known:
                    del self._by_key[key]
            return None
        self.keep(known)
        return known

    def of_program(self, program: TypedProgram) -> KnownProgram | None:
        """Where this very program came from."""
        with self._lock:
            return next((k for k in reversed(self._by_key.values()) if k.result.program is program), None)

    def keep(self, known: KnownProgram) -> None:
        with self._lock:
            self._by_key.pop(known.key, None)
            self._by_key[known.key] = known
            while len(self._by_key) > PROGRAMS_MAX:
                del self._by_key[next(iter(self._by_key))]

    def keep_plans(self, known: KnownProgram, options: Hashable, plans: Plans) -> None:
        with self._lock:
            known.plans[options] = plans
            known.unsaved = True
            while len(known.plans) > PLANS_MAX:
                del known.plans[next(iter(known.plans))]

    def clear(self) -> None:
        with self._lock:
            self._by_key.clear()


PROGRAMS: Final = ProgramCache()

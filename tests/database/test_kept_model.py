"""Kept tables do what dictionaries of lists do, in whatever order they are asked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heddle.database.errors import QueryError
from heddle.database.kept_tables import NORMAL_LIMITS, KeptLimits, KeptTables
from heddle.std.mapped import is_held
from tests.database.kept import files, numbers, put, values

Tables = dict[str, list[int]]
NAMES = st.sampled_from(["a", "b", "C"])
ROWS = st.lists(st.integers(0, 9), max_size=3)
INSIDE = st.booleans()


class Kept(RuleBasedStateMachine):
    """One transaction at most is open; what it has changed nobody else may change."""

    limits = NORMAL_LIMITS

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.kept = KeptTables.open(self.folder, durable=False, limits=self.limits)
        self.outside: Tables = {}
        self.transaction: str | None = None
        self.changed: dict[str, list[int] | None] = {}

    def teardown(self) -> None:
        self.kept.close()
        self.temporary.cleanup()

    def inside(self) -> Tables:
        seen = {**self.outside, **self.changed}
        return {name: rows for name, rows in seen.items() if rows is not None}

    def try_change(
        self,
        names: list[str],
        inside: bool,
        act: Callable[[str | None], object],
        change: Callable[[Tables], bool],
    ) -> None:
        """Do it there and in the model, where `change` tells whether it can be done."""
        transaction = self.transaction if inside else None
        kind = None
        try:
            act(transaction)
        except QueryError as error:
            kind = error.kind
        locked = transaction is None and any(name in self.changed for name in names)
        tables = self.inside() if transaction is not None else dict(self.outside)
        before = dict(tables)
        if locked or not change(tables):
            assert kind in (("conflict",) if locked else ("exists", "not_found"))
            # A transaction holds what it tried to change as well.
            if transaction is not None:
                self.changed.update({name: before.get(name) for name in names})
            return
        assert kind is None
        if transaction is None:
            self.outside = tables
        else:
            self.changed.update({name: tables.get(name) for name in names})

    @rule(
        name=NAMES,
        rows=ROWS,
        inside=INSIDE,
        mode=st.sampled_from(["create", "append", "replace", "create_append"]),
    )
    def put(self, name: str, rows: list[int], inside: bool, mode: str) -> None:
        def change(tables: Tables) -> bool:
            if (mode == "create" and name in tables) or (mode == "append" and name not in tables):
                return False
            before = [] if mode == "replace" else tables.get(name, [])
            tables[name] = before + rows
            return True

        self.try_change(
            [name],
            inside,
            lambda t: put(self.kept, name, numbers(*rows), mode=mode, transaction=t),  # type: ignore[arg-type]
            change,
        )

    @rule(name=NAMES, inside=INSIDE)
    def drop(self, name: str, inside: bool) -> None:
        self.try_change(
            [name],
            inside,
            lambda t: self.kept.drop(name, t),
            lambda tables: tables.pop(name, None) is not None,
        )

    @rule(name=NAMES, inside=INSIDE)
    def truncate(self, name: str, inside: bool) -> None:
        def change(tables: Tables) -> bool:
            there = name in tables
            if there:
                tables[name] = []
            return there

        self.try_change([name], inside, lambda t: self.kept.truncate(name, t), change)

    @rule(name=NAMES, new=NAMES, inside=INSIDE)
    def rename(self, name: str, new: str, inside: bool) -> None:
        def change(tables: Tables) -> bool:
            if name not in tables or new in tables:
                return False
            tables[new] = tables.pop(name)
            return True

        self.try_change([name, new], inside, lambda t: self.kept.rename(name, new, t), change)

    @precondition(lambda self: self.transaction is None)
    @rule()
    def begin(self) -> None:
        self.transaction = self.kept.begin("ada")

    @precondition(lambda self: self.transaction is not None)
    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        assert self.transaction is not None
        self.kept.end(self.transaction, commit=commit)
        if commit:
            self.outside = self.inside()
        self.transaction, self.changed = None, {}

    @rule()
    def open_again(self) -> None:
        self.kept.close()
        self.kept = KeptTables.open(self.folder, durable=False, limits=self.limits)
        self.transaction, self.changed = None, {}

    @invariant()
    def everybody_sees_what_is_there(self) -> None:
        for transaction, tables in ((None, self.outside), (self.transaction, self.inside())):
            found = self.kept.tables(transaction)
            assert {table.name: table.rows for table in found} == {n: len(rows) for n, rows in tables.items()}
            for name, rows in tables.items():
                assert values(self.kept, name, transaction) == rows

    @invariant()
    def no_file_is_there_for_nothing(self) -> None:
        seen = (*self.kept.tables(), *self.kept.tables(self.transaction))
        held = {part.file for table in seen for part in table.parts}
        assert files(self.folder) == held


class KeptInMemory(Kept):
    """Some parts are in memory, and those for which there is no more of it in files. What is in memory goes
    with the process, so nothing is opened again."""

    limits = KeptLimits(memory_bytes=1_000)

    def open_again(self) -> None:
        raise AssertionError("no rule")

    @invariant()
    def no_file_is_there_for_nothing(self) -> None:
        seen = (*self.kept.tables(), *self.kept.tables(self.transaction))
        parts = {part.file for table in seen for part in table.parts}
        in_memory = {part for part in parts if is_held(self.folder / "parts" / part)}
        assert files(self.folder) == parts - in_memory


TestKept = Kept.TestCase
TestKept.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestKeptInMemory = KeptInMemory.TestCase
TestKeptInMemory.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)

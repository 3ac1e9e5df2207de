"""Kept tables: rows that stay, in a folder that one process owns.

A statement or a transaction changes tables as a whole: others see all of its changes or none, and so does
the next process, whatever ended this one. Who reads a table reads it as it was when the reading began.

    folder/manifest.json   which tables there are, and which files hold their rows
    folder/owner.lock      locked by the process that owns the folder
    folder/parts/          Arrow IPC files with rows, which never change
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Self, TypeAlias
from uuid import uuid4

import pyarrow as pa

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.fitting import Fitting, checked_schema
from heddle.database.ingest import Ingest, Rewriting
from heddle.database.kept_manifest import (
    KeptTable,
    Part,
    check_parts,
    read_manifest,
    replace_manifest,
    sync_path,
)
from heddle.database.kept_names import check_name, exists, known, unknown
from heddle.database.kept_parts import PART_BYTES_MAX, Parts, write_errors
from heddle.database.model import IngestMode
from heddle.database.reading import Reading
from heddle.database.table_locks import WAIT_MAX_S, TableLocks
from heddle.database.transactions import Transaction, Transactions
from heddle.errors import UsageError

OWNER_LOCK: Final = "owner.lock"
PARTS_FOLDER: Final = "parts"

Changes: TypeAlias = Mapping[str, KeptTable | None]
"""Tables as they are to be, by name; None for one that is to go."""


@record(frozen=True, slots=True)
class KeptLimits:
    """`part_bytes`: a file is ended with the batch that takes it there. `idle_s`: a transaction that nothing
    used for so long is rolled back. `wait_s`: how long a statement waits for another one. `memory_bytes`: so
    much may stay in memory, of tables that need not outlast the process."""

    tables: int = 10_000
    part_bytes: int = PART_BYTES_MAX
    idle_s: float = 300.0
    wait_s: float = WAIT_MAX_S
    memory_bytes: int = 0


NORMAL_LIMITS: Final = KeptLimits()


class KeptTables:
    """The tables of one folder. Safe for threads; a context manager that gives the folder free.

    A `transaction` is what `begin` gave; without one a change is there at once.
    """

    def __init__(
        self,
        folder: Path,
        owner_lock: int,
        *,
        durable: bool,
        limits: KeptLimits,
        clock: Callable[[], float],
    ) -> None:
        """`open` makes them."""
        self._folder = folder
        self._owner_lock: int | None = owner_lock
        self._durable = durable
        self._limits = limits
        self._lock = threading.RLock()
        self._committing = threading.Lock()
        self._transactions = Transactions(limits.idle_s, clock)
        self._locks = TableLocks(self._transactions.has, wait_max_s=limits.wait_s)
        self._tables = read_manifest(folder)
        self._parts = Parts(
            folder / PARTS_FOLDER,
            part_bytes_max=limits.part_bytes,
            memory_bytes_max=0 if durable else limits.memory_bytes,
        )
        for table in self._tables.values():
            self._parts.hold(table.parts)
            check_parts(table, self._parts.folder)
        self._parts.sweep()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        durable: bool = True,
        limits: KeptLimits = NORMAL_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """The tables of a folder, which is made where it is not there. Raises `UsageError`.

        With `durable` a change that is done outlasts a loss of power, else only the end of the process, and
        not even that where rows may stay in memory. `clock` gives seconds.
        """
        try:
            (folder / PARTS_FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
            owner_lock = os.open(folder / OWNER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(f"tables cannot be kept in {folder}: {error.strerror}") from error
        try:
            fcntl.flock(owner_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(folder, owner_lock, durable=durable, limits=limits, clock=clock)
        except BlockingIOError:
            os.close(owner_lock)
            raise UsageError(
                f"another process keeps its tables in {folder}", help="end it, or use another folder"
            ) from None
        except BaseException:
            os.close(owner_lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Transactions that are open are rolled back. More than once does no harm."""
        for transaction in self._transactions.take_all():
            self._roll_back(transaction)
        with self._committing:
            owner_lock, self._owner_lock = self._owner_lock, None
        if owner_lock is not None:
            self._parts.close()
            os.close(owner_lock)

    def tables(self, transaction: str | None = None) -> tuple[KeptTable, ...]:
        """By name. Raises `QueryError`."""
        with self._lock:
            seen = self._seen(transaction)
        return tuple(seen[name] for name in sorted(seen))

    def table(self, name: str, transaction: str | None = None) -> KeptTable:
        """Raises `QueryError`."""
        with self._lock:
            return known(self._seen(transaction), name)

    def named(self, name: str, transaction: str | None = None) -> str:
        """The table that a statement means: the one of that name, or the only one that differs from it in
        capital letters alone; the name itself when there is none. Raises `QueryError`."""
        with self._lock:
            seen = self._seen(transaction)
        alike = [known for known in seen if known.lower() == name.lower()]
        return alike[0] if name not in seen and len(alike) == 1 else name

    def read(self, name: str, transaction: str | None = None) -> Reading:
        """The table as it is, until the reading is closed. Raises `QueryError`."""
        with self._lock:
            table = known(self._seen(transaction), name)
            self._parts.hold(table.parts)
        return Reading(table, self._parts)

    def ingest(
        self,
        name: str,
        schema: pa.Schema,
        mode: IngestMode,
        transaction: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> Ingest:
        """Take rows for a table. Raises `QueryError` when it cannot take them.

        Rows of batches are put into the columns of the same names, or with `columns` into these, in order;
        other columns of the table are null. `notes` replace those of the table.
        """
        check_name(name)
        with self._changing((name,), transaction, owner=None):
            seen = self._seen(transaction)
            there = seen.get(name)
            if mode == "create" and there is not None:
                raise exists(name)
            if mode == "append" and there is None:
                raise unknown(name, seen)
            appends = there is not None and mode in ("append", "create_append")
            target = there.schema if there is not None and appends else checked_schema(schema)
            fitting = Fitting(name, schema, target, columns)
        return Ingest(
            name,
            "append" if appends else "create" if mode == "create_append" else mode,
            fitting,
            lambda: self._parts.writer(name, target),
            lambda change: self.change((name,), transaction, change),
            self._transactions.held(transaction),
            notes,
        )

    def rewrite(self, name: str, transaction: str | None = None) -> Rewriting:
        """Read a table and put other rows in place of its own; nobody else changes it meanwhile. Raises
        `QueryError`."""
        owner = _new_owner()
        with ExitStack() as held:
            self._lock_tables((name,), transaction, owner)
            held.callback(self._locks.free, owner)
            held.enter_context(self._transactions.alone(transaction))
            reading = held.enter_context(self.read(name, transaction))
            schema = reading.table.schema
            ingest = Ingest(
                name,
                "replace",
                Fitting(name, schema, schema, schema.names),
                lambda: self._parts.writer(name, schema),
                lambda change: self.change((name,), transaction, change, owner=owner),
                self._transactions.held(transaction),
                reading.table.notes,
            )
            held.enter_context(ingest)
            return Rewriting(reading, ingest, held.pop_all())

    def drop(self, name: str, transaction: str | None = None, *, missing_ok: bool = False) -> None:
        """Raises `QueryError`."""

        def dropped(seen: Mapping[str, KeptTable]) -> Changes:
            if name not in seen and missing_ok:
                return {}
            known(seen, name)
            return {name: None}

        self.change((name,), transaction, dropped)

    def truncate(self, name: str, transaction: str | None = None) -> int:
        """Remove all rows; how many there were. Raises `QueryError`."""
        rows = 0
        with self.rewrite(name, transaction) as rewriting:
            rows = rewriting.reading.table.rows
            rewriting.commit()
        return rows

    def rename(self, name: str, new: str, transaction: str | None = None) -> None:
        """Raises `QueryError`."""
        check_name(new)

        def renamed(seen: Mapping[str, KeptTable]) -> Changes:
            table = known(seen, name)
            if new in seen:
                raise exists(new)
            return {name: None, new: replace(table, name=new)}

        self.change((name, new), transaction, renamed)

    def begin(self, owner: str) -> str:
        """A transaction of `owner`. Raises `QueryError` when there are too many."""
        self._roll_back_forgotten()
        return self._transactions.begin(owner)

    def check_transaction(self, transaction: str, owner: str) -> None:
        """Raises `QueryError` when it has ended, or is somebody else's."""
        self._roll_back_forgotten()
        self._transactions.check(transaction, owner)

    def end(self, transaction: str, *, commit: bool) -> None:
        """Raises `QueryError`; then nothing of it is there."""
        self._roll_back_forgotten()
        with self._transactions.alone(transaction):
            ended = self._transactions.take(transaction)
            try:
                if commit and ended.staged:
                    self._commit(ended.staged)
            finally:
                self._roll_back(ended)

    def change(
        self,
        names: Collection[str],
        transaction: str | None,
        change: Callable[[Mapping[str, KeptTable]], Changes],
        *,
        owner: str | None = None,
    ) -> None:
        """Put what `change` makes of the tables that are seen in their place, as one change. `owner` already
        holds the tables. Raises `QueryError`, and then nothing is changed."""
        with self._changing(names, transaction, owner), self._transactions.alone(transaction):
            with self._lock:
                seen = self._seen(transaction)
            changes = change(seen)
            if transaction is None:
                self._commit(changes)
                return
            with self._lock:
                self._stage(self._transactions.of(transaction), changes)

    @contextmanager
    def _changing(self, names: Collection[str], transaction: str | None, owner: str | None) -> Iterator[None]:
        """A transaction keeps the tables until its end."""
        holder = owner or _new_owner()
        self._lock_tables(names, transaction, holder)
        try:
            yield
        finally:
            if owner is None:
                self._locks.free(holder)

    def _lock_tables(self, names: Collection[str], transaction: str | None, owner: str) -> None:
        """For the transaction, or without one for the owner. Raises `QueryError`."""
        self._roll_back_forgotten()
        self._transactions.check(transaction)
        self._locks.take(names, transaction or owner)
        try:
            self._transactions.check(transaction)
        except QueryError:  # it has ended meanwhile, and will not give them free
            self._locks.free(transaction or owner)
            raise

    def _seen(self, transaction: str | None) -> dict[str, KeptTable]:
        if transaction is None:
            return self._tables
        seen: dict[str, KeptTable | None] = {**self._tables, **self._transactions.of(transaction).staged}
        return {name: table for name, table in seen.items() if table is not None}

    def _stage(self, transaction: Transaction, changes: Changes) -> None:
        before = [transaction.staged.get(name) for name in changes]
        self._parts.hold(_parts_of(changes.values()))
        transaction.staged.update(changes)
        self._parts.let_go(_parts_of(before))

    def _commit(self, changes: Changes) -> None:
        if self._durable:
            self._sync(changes)
        with self._committing:
            before = self._tables
            changed: dict[str, KeptTable | None] = {**before, **changes}
            tables = {name: table for name, table in changed.items() if table is not None}
            if len(tables) > max(self._limits.tables, len(before)):
                count = self._limits.tables
                raise QueryError(
                    "exhausted", f"there are {count} tables", help="drop those that are not needed"
                )
            with write_errors(", ".join(sorted(changes))):
                self._require_open()
                if not self._parts.memory.bytes_max:  # else the tables end with the process
                    replace_manifest(self._folder, tables.values(), durable=self._durable)
                with self._lock:
                    self._parts.hold(_parts_of(changes.values()))
                    self._tables = tables
                if self._durable:
                    sync_path(self._folder)
            self._parts.let_go(_parts_of(before.get(name) for name in changes))

    def _sync(self, changes: Changes) -> None:
        """Rows that were written are on the disk afterwards."""
        known = {part for table in self._tables.values() for part in table.parts}
        for name, table in changes.items():
            with write_errors(name):
                for part in table.parts if table is not None else ():
                    if part not in known:
                        sync_path(self._parts.folder / part.file)
        with write_errors(", ".join(sorted(changes))):
            sync_path(self._parts.folder)

    def _require_open(self) -> None:
        if self._owner_lock is None:
            raise QueryError("unavailable", "the server is ending")

    def _roll_back_forgotten(self) -> None:
        for transaction in self._transactions.take_forgotten():
            self._roll_back(transaction)

    def _roll_back(self, transaction: Transaction) -> None:
        """Give free what it holds; after a commit that is all there is to do."""
        with self._lock:
            staged = list(transaction.staged.values())
            transaction.staged.clear()
        self._parts.let_go(_parts_of(staged))
        self._locks.free(transaction.id)


def _parts_of(tables: Iterator[KeptTable | None] | Collection[KeptTable | None]) -> list[Part]:
    return [part for table in tables if table is not None for part in table.parts]


def _new_owner() -> str:
    return f"statement-{uuid4().hex}"

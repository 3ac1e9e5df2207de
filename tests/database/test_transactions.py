"""Transactions over kept tables: seen from inside at once, from outside when they are committed, or never."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from heddle.database.errors import QueryError
from heddle.database.kept_tables import KeptLimits, KeptTables
from tests.database.kept import NUMBERS, files, numbers, put, values


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_changes_are_seen_inside_and_then_outside(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1))
        inside = kept.begin("ada")
        put(kept, "t", numbers(2), transaction=inside)
        put(kept, "new", numbers(7), transaction=inside)
        kept.rename("new", "newer", inside)
        assert values(kept, "t") == [1]
        assert values(kept, "t", inside) == [1, 2]
        assert [t.name for t in kept.tables()] == ["t"]
        assert [t.name for t in kept.tables(inside)] == ["newer", "t"]
        kept.end(inside, commit=True)
        assert (values(kept, "t"), values(kept, "newer")) == ([1, 2], [7])
    with KeptTables.open(tmp_path) as kept:
        assert (values(kept, "t"), values(kept, "newer")) == ([1, 2], [7])


def test_what_is_rolled_back_was_never_there(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1))
        before = files(tmp_path)
        inside = kept.begin("ada")
        put(kept, "t", numbers(2), transaction=inside)
        put(kept, "u", numbers(2), transaction=inside)
        kept.drop("t", inside)
        assert [t.name for t in kept.tables(inside)] == ["u"]
        kept.end(inside, commit=False)
        assert values(kept, "t") == [1]
        assert files(tmp_path) == before


def test_a_dropped_table_is_made_again(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1))
        inside = kept.begin("ada")
        kept.drop("t", inside)
        put(kept, "t", numbers(2), mode="create", transaction=inside)
        kept.truncate("t", inside)
        put(kept, "t", numbers(3), mode="append", transaction=inside)
        kept.end(inside, commit=True)
        assert values(kept, "t") == [3]
        assert len(files(tmp_path)) == 1


def test_the_first_to_change_a_table_wins(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers(1))
        first, second = kept.begin("ada"), kept.begin("bob")
        put(kept, "t", numbers(2), transaction=first)
        for transaction in (second, None):
            with pytest.raises(QueryError) as error:
                put(kept, "t", numbers(3), transaction=transaction)
            assert error.value.kind == "conflict"
            assert error.value.message == "`t` is being changed by another transaction"
        assert values(kept, "t", second) == [1]
        kept.end(first, commit=True)
        put(kept, "t", numbers(3), transaction=second)
        kept.end(second, commit=True)
        assert values(kept, "t") == [1, 2, 3]


def test_an_ended_transaction_is_not_there(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        ended = kept.begin("ada")
        ingest = kept.ingest("t", NUMBERS, "create", ended)
        ingest.write(numbers(1))
        kept.end(ended, commit=True)
        for use in (
            ingest.commit,
            lambda: put(kept, "t", numbers(1), transaction=ended),
            lambda: kept.tables(ended),
            lambda: kept.end(ended, commit=True),
        ):
            with pytest.raises(QueryError, match="there is no such transaction"):
                use()
        assert kept.tables() == ()
        assert files(tmp_path) == set()


def test_a_transaction_is_its_owners(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        transaction = kept.begin("ada")
        kept.check_transaction(transaction, "ada")
        with pytest.raises(QueryError, match="there is no such transaction"):
            kept.check_transaction(transaction, "bob")


def test_a_forgotten_transaction_is_rolled_back(tmp_path: Path) -> None:
    clock = Clock()
    with KeptTables.open(tmp_path, limits=KeptLimits(idle_s=60), clock=clock) as kept:
        put(kept, "t", numbers(1))
        forgotten = kept.begin("ada")
        put(kept, "t", numbers(2), transaction=forgotten)
        clock.now_s = 59
        assert values(kept, "t", forgotten) == [1, 2]
        clock.now_s = 120
        put(kept, "t", numbers(3))
        assert values(kept, "t") == [1, 3]
        with pytest.raises(QueryError, match="there is no such transaction"):
            kept.end(forgotten, commit=True)


def test_a_statement_under_way_is_not_forgotten(tmp_path: Path) -> None:
    clock = Clock()
    with KeptTables.open(tmp_path, limits=KeptLimits(idle_s=60), clock=clock) as kept:
        transaction = kept.begin("ada")
        with kept.ingest("t", NUMBERS, "create", transaction) as ingest:
            ingest.write(numbers(1))
            clock.now_s = 1_000
            kept.begin("bob")
            ingest.commit()
        kept.end(transaction, commit=True)
        assert values(kept, "t") == [1]


def test_the_end_of_the_process_rolls_back(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        transaction = kept.begin("ada")
        put(kept, "t", numbers(1), transaction=transaction)
    assert files(tmp_path) == set()
    with KeptTables.open(tmp_path) as kept:
        assert kept.tables() == ()


def test_statements_of_one_transaction_at_the_same_time_all_count(tmp_path: Path) -> None:
    with KeptTables.open(tmp_path) as kept:
        put(kept, "t", numbers())
        transaction = kept.begin("ada")

        def append() -> None:
            for number in range(20):
                put(kept, "t", numbers(number), transaction=transaction)

        threads = [threading.Thread(target=append) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with kept.rewrite("t", transaction) as rewriting:
            rewriting.write(numbers(rewriting.reading.table.rows))
            assert rewriting.commit() == 79
        kept.end(transaction, commit=True)
        assert values(kept, "t") == [80]
        assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("commit", [True, False])
def test_an_end_amid_changes_leaves_nothing_locked(tmp_path: Path, commit: bool) -> None:
    with KeptTables.open(tmp_path, durable=False) as kept:
        put(kept, "t", numbers())
        expected = 0
        for _ in range(20):
            transaction = kept.begin("ada")
            done: list[int] = []
            began = threading.Event()

            def change(
                transaction: str = transaction, done: list[int] = done, began: threading.Event = began
            ) -> None:
                with pytest.raises(QueryError, match="there is no such transaction"):
                    while True:
                        put(kept, "t", numbers(1), transaction=transaction)
                        done.append(1)
                        began.set()

            thread = threading.Thread(target=change)
            thread.start()
            assert began.wait(60)
            kept.end(transaction, commit=commit)
            thread.join()
            expected += len(done) if commit else 0
            assert len(values(kept, "t")) == expected
            put(kept, "t", numbers(1))
            expected += 1
        held = {part.file for part in kept.table("t").parts}
        assert files(tmp_path) == held

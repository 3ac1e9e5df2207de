"""`record` does what `dataclass` does, later."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from threading import Barrier, Thread

import pytest

from heddle.core.record import record


@record(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    tags: Mapping[str, int] = field(default_factory=dict)
    note: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StandardPoint:
    x: int
    y: int = 2
    tags: Mapping[str, int] = field(default_factory=dict)
    note: str = field(default="", compare=False, repr=False)


@record(slots=True, eq=False)
class Counter:
    name: str
    count: int = field(default=0, init=False)
    seen: list[str] = field(default_factory=list, init=False)
    twice: str = field(init=False)

    def __post_init__(self) -> None:
        self.twice = self.name * 2


@record(slots=True, eq=False)
class NamedCounter(Counter):
    label: str = "none"


def test_instances_are_made_as_by_the_standard_decorator() -> None:
    point = Point(1, tags={"a": 1})
    standard = StandardPoint(1, tags={"a": 1})
    assert asdict(point) == asdict(standard)
    assert repr(point) == repr(standard).replace("StandardPoint", "Point")
    assert [f.name for f in fields(Point)] == [f.name for f in fields(StandardPoint)]
    assert Point.__match_args__ == StandardPoint.__match_args__
    assert Point.__slots__ == StandardPoint.__slots__
    assert not hasattr(point, "__dict__")


def test_frozen_records_are_equal_when_their_fields_are() -> None:
    assert Point(1, note="a") == Point(1, note="b")
    assert Point(1) != Point(2)
    assert Point(1) != StandardPoint(1)
    assert hash(Point(1, tags=())) == hash(Point(1, tags=()))  # type: ignore[arg-type]


def test_every_instance_has_its_own_default() -> None:
    assert Point(1).tags is not Point(1).tags


def test_copies() -> None:
    point = Point(1, 3, {"a": 1}, "note")
    assert replace(point, x=5) == Point(5, 3, {"a": 1})
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point


def test_other_records_are_equal_when_they_are_the_same() -> None:
    counter = Counter("a")
    assert counter != Counter("a")
    assert len({counter, counter}) == 1
    counter.count += 1
    assert (counter.count, counter.seen, counter.twice) == (1, [], "aa")
    assert Counter("a").seen is not counter.seen
    assert Counter.__match_args__ == ("name",)


def test_a_record_may_extend_another() -> None:
    counter = NamedCounter("a", "b")
    assert (counter.name, counter.label, counter.count, counter.twice) == ("a", "b", 0, "aa")
    assert [f.name for f in fields(NamedCounter)] == ["name", "count", "seen", "twice", "label"]
    match counter:
        case NamedCounter(name, label):
            assert (name, label) == ("a", "b")


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(TypeError, match=r"Point\.__init__\(\) missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]


def test_threads_may_make_the_first_instance_at_once() -> None:
    @record(slots=True, eq=False)
    class Fresh:
        value: list[int] = field(default_factory=list)

    made: list[Fresh] = []
    start = Barrier(8)

    def make() -> None:
        start.wait()
        made.append(replace(Fresh([1])))

    threads = [Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [fresh.value for fresh in made] == [[1]] * 8

"""Which unused bindings stay bound, and for how long."""

from __future__ import annotations

from heddle.udf_bridge.kept import KeptBindings
from heddle.udf_bridge.keys import BindingKey, ResourceKey


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def key(step: str, *resources: str) -> BindingKey:
    return BindingKey(step, "{}", tuple((r, ResourceKey(r, "{}", r)) for r in resources), "/base")


def test_the_oldest_goes_when_there_are_too_many() -> None:
    kept = KeptBindings(2, 60.0, Clock())
    assert kept.unused(key("a")) == kept.unused(key("b")) == []
    assert kept.unused(key("c")) == [key("a")]


def test_use_makes_one_young_again() -> None:
    kept = KeptBindings(2, 60.0, Clock())
    kept.unused(key("a"))
    kept.unused(key("b"))
    kept.used(key("a"))
    kept.unused(key("a"))
    assert kept.unused(key("c")) == [key("b")]


def test_one_that_idles_too_long_goes_with_the_next() -> None:
    clock = Clock()
    kept = KeptBindings(10, 60.0, clock)
    kept.unused(key("a"))
    clock.now_s = 61.0
    assert kept.unused(key("b")) == [key("a")]


def test_one_in_use_does_not_idle() -> None:
    clock = Clock()
    kept = KeptBindings(10, 60.0, clock)
    kept.unused(key("a"))
    kept.used(key("a"))
    clock.now_s = 61.0
    assert kept.unused(key("b")) == []


def test_one_with_a_resource_is_not_kept() -> None:
    assert KeptBindings().unused(key("a", "vault")) == [key("a", "vault")]


def test_one_that_failed_is_not_kept_and_then_forgiven() -> None:
    kept = KeptBindings()
    kept.distrust(key("a"))
    assert kept.unused(key("a")) == [key("a")]
    assert kept.unused(key("a")) == []


def test_of_a_process_that_has_gone_nothing_is_kept() -> None:
    clock = Clock()
    kept = KeptBindings(10, 60.0, clock)
    kept.unused(key("a"))
    kept.clear()
    clock.now_s = 61.0
    assert kept.unused(key("b")) == []

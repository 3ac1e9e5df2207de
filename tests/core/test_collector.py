"""The search for garbage is paused inside, as it was outside, and spared what is kept."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from heddle.core.collector import collector_paused


class Node:
    pass


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    assert gc.isenabled()
    yield
    gc.enable()


def generation_of(node: Node) -> int:
    return next(n for n in range(3) if any(known is node for known in gc.get_objects(n)))


@pytest.mark.parametrize("keeping", [True, False])
def test_a_pause_ends_also_with_an_error(keeping: bool) -> None:
    with pytest.raises(ValueError, match="inside"), collector_paused(keeping=keeping):
        assert not gc.isenabled()
        raise ValueError("inside")
    assert gc.isenabled()


def test_who_has_it_off_finds_it_off() -> None:
    gc.disable()
    with collector_paused(keeping=True):
        pass
    assert not gc.isenabled()


def test_what_is_kept_is_old_at_once() -> None:
    gc.collect()
    with collector_paused(keeping=False):
        young = Node()
        assert generation_of(young) == 0
    with collector_paused(keeping=True):
        old = Node()
    assert generation_of(old) == 2
    assert gc.get_freeze_count() == 0

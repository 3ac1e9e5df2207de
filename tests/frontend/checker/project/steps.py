"""Plain functions, as a program's own module has them."""

from __future__ import annotations

from typing import TypedDict

from heddle.core import Table


class Reading(Table):
    id: int
    level: float


class Tagged(Table):
    id: str


class LevelConfig(TypedDict):
    above: int


class MixConfig(TypedDict):
    weights: dict[str, int]
    names: list[str]


def same(input: Table) -> Table:
    return input


def level(config: LevelConfig, input: Reading) -> Reading:
    return input


def mix(config: MixConfig, input: Table) -> Table:
    return input


def tag(input: Tagged) -> Tagged:
    return input

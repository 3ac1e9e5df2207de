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


def same(input: Table) -> Table:
    return input


def level(config: LevelConfig, input: Reading) -> Reading:
    return input


def tag(input: Tagged) -> Tagged:
    return input

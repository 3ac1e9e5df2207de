"""Programs far larger than people write are checked without deep recursion, in work that grows evenly."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from tests.frontend.checker.checked import check

TABLE = "  [\n    { a: 1 }\n  ]\n"


def long_chain(count: int) -> str:
    return (
        'import "./steps" steps\n\nworkflow W {\n'
        + TABLE
        + "    | steps.same\n" * count
        + "    | io.print\n}\n"
    )


def long_query_chain(count: int) -> str:
    stages = "".join(f"    | (from input | filter a > {i})\n" for i in range(count))
    return "workflow W {\n" + TABLE + stages + "    | io.print\n}\n"


def many_statements(count: int) -> str:
    statements = "".join(f"\n  x{i}\n    | steps.same\n    > x{i + 1}\n" for i in range(count))
    return 'import "./steps" steps\n\nworkflow W {\n' + TABLE + "    > x0\n" + statements + "}\n"


def chained_workflows(count: int) -> str:
    workflows = (f"workflow W{i} {{\n  W{i + 1}.x\n    > x\n}}\n\n" for i in range(count))
    return "".join(workflows) + f"workflow W{count} {{\n{TABLE}    > x\n}}\n"


def chained_steps(count: int) -> str:
    steps = "".join(f"step s{i + 1} = s{i}\n" for i in range(count))
    return (
        f'import "team/shop" shop\n\nstep s0 = shop.orders\n{steps}\nworkflow W {{\n  s{count}\n    > x\n}}\n'
    )


def wide_table(count: int) -> str:
    rows = "".join(f"    {{ a: {i}, b: {i}.5 }}\n" for i in range(count))
    return f"workflow W {{\n  [\n{rows}  ]\n    > x\n}}\n"


def unknown_names(count: int) -> str:
    statements = "".join(f"  nothing{i}\n    | steps.same\n    > name{i}\n\n" for i in range(count))
    return f'import "./steps" steps\n\nworkflow W {{\n{statements}}}\n'


SHAPES = (
    long_chain,
    long_query_chain,
    many_statements,
    chained_workflows,
    chained_steps,
    wide_table,
)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_thousand_are_checked(shape: Callable[[int], str]) -> None:
    assert check(shape(1_000)).diagnostics == ()


def test_a_circle_of_a_thousand_workflows_is_one_finding() -> None:
    workflows = (f"workflow W{i} {{\n  W{(i + 1) % 1_000}.x\n    > x\n}}\n\n" for i in range(1_000))
    (found,) = check("".join(workflows)).diagnostics
    assert found.code == "HD0316"
    assert len(found.message) < 200


def test_a_circle_of_a_thousand_steps_is_one_finding() -> None:
    steps = "".join(f"step s{i} = s{(i + 1) % 1_000}\n" for i in range(1_000))
    (found,) = check(f"{steps}\nworkflow W {{\n  s0\n    | io.print\n}}\n").diagnostics
    assert found.code == "HD0315"
    assert len(found.message) < 200


@pytest.mark.parametrize(
    "shape", [long_chain, many_statements, chained_workflows, chained_steps, wide_table, unknown_names]
)
def test_the_checker_is_linear(shape: Callable[[int], str]) -> None:
    """Four times the program makes about four times the calls. Calls are counted, because clocks lie."""
    check(shape(10))
    small, large = calls_in_checker(shape(200)), calls_in_checker(shape(800))
    assert large < 5 * small


def test_hints_end_and_never_say_that_there_are_no_names() -> None:
    statements = "".join(f"  (from zq{i}x | take 1)\n    > name{i}\n\n" for i in range(400))
    helps = [d.help or "" for d in check(f"workflow W {{\n{statements}}}\n").diagnostics]
    assert helps[0].startswith("assign it")
    assert helps[5].startswith("relations: name0, name1")
    assert helps[-1] == "it is none of the relations that are known here"


def calls_in_checker(text: str) -> int:
    """The calls of functions while a program is checked, of `difflib`'s too, which finds near names."""
    count = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        check(text)
    finally:
        sys.setprofile(None)
    return count

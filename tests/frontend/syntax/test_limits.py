"""Any text ends in bounded time and stack: time is measured in lines of code run for each character."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from heddle.frontend.formatter import format_source
from heddle.frontend.query_text import NESTING_MAX
from heddle.frontend.tokens import ERRORS_MAX
from tests.frontend.syntax.trees import errors, parse_text

SIZE = 4000
PIECES = [
    *"({[<\"'`|>?!*=:,.a1@#\\)]}",
    *['"""', "/*", "//", "{a:", "[{a:", "workflow W {", "workflow W(", "workflow W(a:", "step x = <"],
    *["match {", "| match { _ ", "x | atomic { | ", "x | loop until (a) { | ", "( ' } ", "“", "|\n", "a\n"],
    *["| (from x\n", "(from x\n", "(\n", "('\n", "( } ", '"a\n', '"a\nb\n', 'a: "x\n', "worklfow X {\n"],
    *["\t\n \n", "# a\n", 'import "a" ', "a.b { c: [", "]}", "(f'{", "a ? h ! p\n", "<a=b> m.f\n", "env("],
]


def count_lines(action: Callable[[], object]) -> int:
    """How many lines of Python `action` runs."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., object]:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("start", ["", "workflow W {\n"], ids=["outside", "in a block"])
@pytest.mark.parametrize("piece", PIECES, ids=repr)
def test_steps_grow_linearly(piece: str, start: str) -> None:
    def steps(size: int) -> int:
        text = start + (piece * size)[:size]
        return count_lines(lambda: parse_text(text))

    assert steps(2 * SIZE) <= 2.2 * steps(SIZE) + 2000


@pytest.mark.parametrize("piece", PIECES, ids=repr)
def test_a_large_text_ends_without_an_exception(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    assert len(parse_text("workflow W {\n" + text).diagnostics) <= 3 * ERRORS_MAX
    assert bool(format_source(text)) == bool(text.strip())


def test_random_bytes_end_without_an_exception() -> None:
    data = random.Random(1).randbytes(200_000)
    for text in (data.decode("latin-1"), data.decode("utf-8", "replace")):
        assert errors(parse_text(text))


def nested(opener: str, closer: str, depth: int, inner: str = "1") -> str:
    return f"step s = m.f {{ a: {opener * depth}{inner}{closer * depth} }}"


@pytest.mark.parametrize(("opener", "closer"), [("[", "]"), ("{ a: ", " }")])
def test_values_nest_up_to_the_limit(opener: str, closer: str) -> None:
    assert not errors(parse_text(nested(opener, closer, NESTING_MAX - 1)))
    for depth in (NESTING_MAX, 10_000):
        assert [d.code for d in errors(parse_text(nested(opener, closer, depth)))] == ["HD0111"]


def test_blocks_nest_up_to_the_limit() -> None:
    def blocks(depth: int) -> str:
        return f"workflow W {{\n  a\n{'| atomic { ' * depth}| b{' }' * depth}\n}}"

    assert not errors(parse_text(blocks(NESTING_MAX)))
    assert format_source(blocks(NESTING_MAX))
    assert [d.code for d in errors(parse_text(blocks(NESTING_MAX + 1)))] == ["HD0111"]


def test_queries_nest_up_to_the_limit() -> None:
    def query(depth: int) -> str:
        return f"workflow W {{\n  {'(' * depth}from x{')' * depth}\n}}"

    assert not errors(parse_text(query(NESTING_MAX)))
    assert [d.code for d in errors(parse_text(query(NESTING_MAX + 1)))] == ["HD0111"]
    assert [d.code for d in errors(parse_text(query(100_000)))] == ["HD0111"]


def test_parsing_and_formatting_import_nothing_heavy() -> None:
    code = """if True:
        import sys
        from heddle.frontend.formatter import format_source
        from heddle.frontend.source import read_source
        assert format_source("workflow W {a}") == "workflow W {\\n  a\\n}\\n"
        heavy = {"pyarrow", "datafusion", "prqlc", "pandas", "click", "rich"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

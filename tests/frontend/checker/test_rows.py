"""The programs of `rows.md`: every output has its row, and open sources have what is asked of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from heddle.engine import Engine
from heddle.frontend.typed import ErrorFrameNode, StepNode, TypedProgram
from tests.frontend.checker.checked import check
from tests.markdown import Block, blocks, replace_texts

PAGE = Path(__file__).with_name("rows.md")
REGENERATE = os.environ.get("HEDDLE_REGENERATE") == "1"
CASES = [pair for pair in pairwise(blocks(PAGE.read_text())) if pair[0].language == "heddle"]
ACCEPTANCE = Path(__file__).parents[2] / "acceptance"


def typed(text: str) -> TypedProgram:
    result = check(text)
    assert result.program is not None, [d.message for d in result.diagnostics]
    return result.program


def rows(program: TypedProgram) -> str:
    return "".join(f"{name}  {row}\n" for name, row in _rows(program))


def _rows(program: TypedProgram) -> Iterator[tuple[str, str]]:
    for node in program.nodes:
        match node:
            case StepNode(input=None):
                yield node.path, str(node.row)
            case ErrorFrameNode():
                yield "*", str(node.row)
    for workflow in program.workflows.values():
        for output in workflow.outputs:
            yield f"{workflow.name}.{output.name}", str(program.nodes[output.node].row)


@pytest.mark.skipif(not REGENERATE, reason="writes the page anew")
def test_regenerate() -> None:
    texts = [(expected, rows(typed(program.text))) for program, expected in CASES]
    PAGE.write_text(replace_texts(PAGE.read_text(), texts))


@pytest.mark.parametrize(("program", "expected"), CASES, ids=[program.section for program, _ in CASES])
def test_rows(program: Block, expected: Block) -> None:
    assert rows(typed(program.text)) == expected.text


def test_the_flagship_program_asks_its_topic_for_what_it_reads() -> None:
    program = Engine.open(ACCEPTANCE / "fraud" / "fraud.he", profile="test", environ={}).check().program
    assert program is not None
    (topic,) = [n for n in program.nodes if isinstance(n, StepNode) and n.call.callee == "kafka.consume"]
    assert str(topic.row) == "{user_id: int, amount: float, ..}"


def test_a_step_that_is_named_twice_is_one_node() -> None:
    program = typed(next(p.text for p, _ in CASES if p.section == "A shared step"))
    shared = [n for n in program.nodes if isinstance(n, StepNode) and n.path == "step/users"]
    readers = program.consumers()
    assert len(shared) == 1
    assert len(readers[shared[0].id]) == 2


def test_inputs_come_before_their_readers() -> None:
    for case, _ in CASES:
        program = typed(case.text)
        assert [n.id for n in program.nodes] == list(range(len(program.nodes)))
        assert all(r > i for i, readers in program.consumers().items() for r in readers)

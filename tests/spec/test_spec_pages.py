"""Spec pages: each `tests/spec/*.md` shows one construct of the language at every stage of the real pipeline.

A page has files (`LANGUAGE file=NAME`), the section Source, and any of Problems, Formatted, Types, Plan
and Result, each one fenced block. Source may have a block `arguments` with options of the command line.
A Result block says `exit=N` when the run fails, and `stderr` when it shows stderr instead of stdout; a
block with `written=NAME` shows a file after the run. HEDDLE_REGENERATE=1 writes all of them anew.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import pytest

from heddle.engine import CheckResult, Engine, RunOptions
from heddle.frontend.formatter import format_source
from heddle.frontend.typed import ErrorFrameNode, QueryNode, StepNode, TableNode
from tests.markdown import Block, blocks, replace_texts

PAGES = sorted(Path(__file__).parent.glob("*.md"))
REGENERATE = os.environ.get("HEDDLE_REGENERATE") == "1"
TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Program:
    """A page's program in a folder of its own, with the arguments that it is called with."""

    path: Path
    text: str
    arguments: tuple[str, ...]

    def option(self, name: str) -> list[str]:
        pairs = zip(self.arguments, self.arguments[1:], strict=False)
        return [value for option, value in pairs if option == name]

    def engine(self) -> Engine:
        params = dict(pair.split("=", 1) for pair in self.option("--param"))
        profile = next(iter(self.option("--profile")), None)
        return Engine.open(self.path, profile=profile, params=params, environ={})

    def run(self) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("heddle")), "run", self.path.name, *self.arguments]
        environ = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100"}
        return subprocess.run(
            command,
            cwd=self.path.parent,
            env=environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def without_folder(self, text: str) -> str:
        """The text without what differs from one run of the page to the next."""
        text = text.replace(f"{self.path.parent}/", "").replace(str(self.path.parent).lstrip("/") + "/", "")
        return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    found = blocks(text)
    program = _lay_out(found, tmp_path)
    actual = [(block, _actual(block, program)) for block in found if _is_checked(block)]
    if REGENERATE:
        page.write_text(replace_texts(text, actual))
        return
    for block, produced in actual:
        assert block.text == produced, f"{page.name}:{block.line} {block.section}"


def test_there_is_a_page_for_every_construct() -> None:
    assert len(PAGES) >= 20


def _lay_out(found: list[Block], folder: Path) -> Program:
    arguments: tuple[str, ...] = ()
    source = ""
    for block in found:
        if "file" in block.settings:
            target = folder / block.settings["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif block.language == "arguments":
            arguments = tuple(shlex.split(block.text))
        elif block.section == "Source":
            source = block.text
    path = folder / "program.he"
    path.write_text(source)
    return Program(path, source, arguments)


def _is_checked(block: Block) -> bool:
    return block.section in {"Problems", "Formatted", "Types", "Plan", "Result"}


def _actual(block: Block, program: Program) -> str:
    match block.section:
        case "Problems":
            return program.without_folder(_problems(program.engine().check()))
        case "Formatted":
            return format_source(program.text)
        case "Types":
            return _types(program.engine().check())
        case "Plan":
            return program.without_folder(_plan(program))
        case _:
            return program.without_folder(_result(block, program))


def _problems(checked: CheckResult) -> str:
    lines = []
    for found in checked.diagnostics:
        at = found.source.position(found.span.start)
        lines.append(f"{found.severity}[{found.code}] {at.line}:{at.column} {found.message}\n")
        lines += [f"  help: {found.help}\n"] if found.help else []
    return "".join(lines) or "none\n"


def _types(checked: CheckResult) -> str:
    """What each stage gives, then what each name stands for."""
    assert checked.program is not None, _problems(checked)
    program = checked.program
    lines = []
    for node in program.nodes:
        match node:
            case QueryNode(path=path) | StepNode(path=path):
                lines.append(f"{path}  {node.row if node.row is not None else 'no rows'}\n")
            case TableNode():
                lines.append(f"table  {node.row}\n")
            case ErrorFrameNode():
                lines.append("* the error frame\n")
            case _:
                assert_never(node)
    for workflow in program.workflows.values():
        lines += [f"{workflow.name}.{o.name} = {program.nodes[o.node].row}\n" for o in workflow.outputs]
    return "".join(lines)


def _plan(program: Program) -> str:
    engine = program.engine()
    checked = engine.check()
    assert checked.program is not None, _problems(checked)
    return engine.explain(checked.program, RunOptions()).to_text()


def _result(block: Block, program: Program) -> str:
    done = program.run()
    assert done.returncode == int(block.settings.get("exit", "0")), done.stderr
    if name := block.settings.get("written"):
        return (program.path.parent / name).read_text()
    return done.stderr if "stderr" in block.flags else done.stdout

"""Transcripts: each `transcripts/*.md` is a session with the real command, in a folder of its own.

`LANGUAGE file=NAME` writes a file. A `console` block is one command (`exit=N` when it does not end with
0); the blocks `text stdout` and `text stderr` after it are what it prints, and without such a block it
prints nothing there. Times, run ids and the folder are replaced by names. HEDDLE_REGENERATE=1 writes the
outputs anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest

from tests.markdown import Block, blocks, replace_texts

PAGES = sorted(Path(__file__).parent.joinpath("transcripts").glob("*.md"))
REGENERATE = os.environ.get("HEDDLE_REGENERATE") == "1"
TIMEOUT_S = 120

_STAGE_LINES = re.compile(r"(?:^.*\d rows?, .* in TIME\b.*\n)+", re.MULTILINE)
"""Stages that run side by side end in any order, so their lines are sorted."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command with the blocks that hold its output."""

    block: Block
    outputs: tuple[Block, ...]

    def output(self, stream: str) -> Block | None:
        return next((b for b in self.outputs if stream in b.flags), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_transcript(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    found = blocks(text)
    for block in found:
        if "file" in block.settings:
            target = tmp_path / block.settings["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
    new: list[tuple[Block, str]] = []
    for command in commands(found):
        done = run(command.block.text.removeprefix("$ "), tmp_path)
        place = f"{page.name}:{command.block.line}"
        assert done.returncode == int(command.block.settings.get("exit", "0")), (
            f"{place}\n{done.stdout}{done.stderr}"
        )
        for stream, printed in (("stdout", done.stdout), ("stderr", done.stderr)):
            block = command.output(stream)
            actual = normal(printed, tmp_path)
            if block is None or not REGENERATE:
                assert (block.text if block else "") == actual, f"{place} {stream}"
            else:
                new.append((block, actual))
    if new:
        page.write_text(replace_texts(text, new))


def commands(found: list[Block]) -> Iterator[Command]:
    for index, block in enumerate(found):
        if block.language == "console":
            yield Command(block, tuple(takewhile(_is_output, found[index + 1 :])))


def _is_output(block: Block) -> bool:
    return bool(block.flags & {"stdout", "stderr"})


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "100", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def normal(text: str, folder: Path) -> str:
    """Without what differs from run to run: folders, times, numbers of runs, and progress that only a slow
    run tells."""
    text = text.replace(str(folder), "FOLDER")
    text = re.sub(r"^\{\"event\": \"stage_progress\".*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\b\d+(\.\d+)? (ms|s)\b", "TIME", text)
    text = re.sub(r"\"(at|cpu_s|duration_s)\": [\d.e-]+", r'"\1": TIME', text)
    text = re.sub(r"\"run_id\": \"[0-9a-f]+\"", '"run_id": "RUN"', text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    text = _STAGE_LINES.sub(lambda lines: "".join(sorted(lines[0].splitlines(keepends=True))), text)
    return text if not text or text.endswith("\n") else text + "\n"

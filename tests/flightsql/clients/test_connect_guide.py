"""The programs of the guide on connecting run, and print what stands below them."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.markdown import Block, blocks
from tests.services.service import ROOT

PAGE = ROOT / "docs" / "guides" / "connect.md"
GO = Path(__file__).with_name("go")
PLACE = "localhost:31337"


def programs() -> dict[str, tuple[Block, str]]:
    """Each with what it prints."""
    found = blocks(PAGE.read_text())
    return {
        block.settings["file"]: (block, after.text)
        for block, after in pairwise(found)
        if block.language in {"python", "go"}
    }


@pytest.mark.parametrize("name", programs())
def test_program(name: str, address: str, tmp_path: Path) -> None:
    block, printed = programs()[name]
    (tmp_path / name).write_text(block.text.replace(PLACE, address))
    command = [sys.executable, name]
    if block.language == "go":
        for file in ("go.mod", "go.sum"):
            (tmp_path / file).write_text((GO / file).read_text())
        command = ["go", "run", "-buildvcs=false", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed

"""The page on the command line is the one that the command line itself gives."""

from __future__ import annotations

import runpy
from pathlib import Path

from heddle.cli.main import cli

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    generator = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))
    assert generator["render"](cli) == (ROOT / "docs" / "reference" / "cli.md").read_text(), (
        "run `python docs/generate_cli.py`"
    )

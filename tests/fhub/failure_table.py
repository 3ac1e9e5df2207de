"""The tables of a connector's page under "Failures", for the tests that say which test shows each row."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "connectors"


def failures(page: str) -> list[str]:
    """What happens, row by row: the first cells."""
    section = (DOCS / page).read_text().partition("\n## Failures\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    return [cell for cell in cells if cell != "what happens"]

"""flightsql-dbapi with SQLAlchemy, which Superset talks by, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.services.service import CACHE, ServiceMissing

PYTHON = CACHE / "flightsql" / "dbapi" / "bin" / "python"
PROGRAM = Path(__file__).with_name("superset.py")


def superset(address: str) -> Any:
    if not PYTHON.exists():
        raise ServiceMissing("flightsql-dbapi")
    done = subprocess.run(
        [PYTHON, PROGRAM, address], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_lists_and_asks(address: str) -> None:
    found = superset(address)
    assert "Shop" in found["schemas"]
    assert found["tables"] == ["customers", "numbers", "orders"]
    assert found["columns"] == [["id", "BIGINT"], ["name", "TEXT"], ["country", "TEXT"]]
    assert found["rows"] == [[2, "Grace"], [3, "Edsger"]]
    assert found["bound"] == [["Grace"]]
    assert "SELEC" in found["said"]
    assert "Traceback" not in found["said"]

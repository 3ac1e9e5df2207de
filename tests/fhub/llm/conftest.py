"""A proxy in front of the model, and a cache folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.fault_proxy import FaultProxy
from tests.services.llm import Llm


@pytest.fixture
def proxy(llm: Llm) -> Iterator[FaultProxy]:
    with FaultProxy(llm.url) as opened:
        yield opened


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path

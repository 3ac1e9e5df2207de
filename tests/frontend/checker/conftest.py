"""Checked programs lie in the test project."""

from __future__ import annotations

import pytest

from tests.frontend.checker.checked import PROJECT


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)

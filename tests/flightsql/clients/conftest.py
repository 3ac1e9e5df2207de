"""Where the server is, as each client wants to hear it."""

from __future__ import annotations

import pytest


@pytest.fixture
def address(uri: str) -> str:
    return uri.removeprefix("grpc://")

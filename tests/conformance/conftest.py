"""Every case runs for the plugin of every language."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.plugin import PROJECTS, Conformance, conformance


@pytest.fixture(scope="module", params=list(PROJECTS))
def plugin(request: pytest.FixtureRequest) -> Iterator[Conformance]:
    """The plugin of one language, shared by the cases of a file."""
    with conformance(request.param) as opened:
        yield opened


@pytest.fixture(params=list(PROJECTS))
def fresh_plugin(request: pytest.FixtureRequest) -> Iterator[Conformance]:
    """A process for this case alone, which may break it."""
    with conformance(request.param) as opened:
        yield opened

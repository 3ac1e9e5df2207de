"""Settings that hold for all tests: no colours, a fixed width, no programs kept on disk, Hypothesis without
a clock, the services."""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["tests.services.fixtures"]

os.environ["NO_COLOR"] = "1"
os.environ["COLUMNS"] = "100"
os.environ["HEDDLE_PROGRAM_CACHE"] = "off"

# Two cores are shared by the workers, so an example may be slow without being wrong.
settings.register_profile("heddle", deadline=None)
settings.register_profile("nightly", deadline=None, max_examples=10_000)
settings.load_profile("heddle")

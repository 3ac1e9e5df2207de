"""Settings that hold for all tests: no colours, a fixed width, no programs kept on disk, ^C as a terminal has
it, Hypothesis without a clock and with the same examples each time, the services."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.services.fixtures"]

os.environ["NO_COLOR"] = "1"
os.environ["COLUMNS"] = "100"
os.environ["HEDDLE_PROGRAM_CACHE"] = "off"

# A shell's background job ignores it, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two cores are shared by the workers, so an example may be slow without being wrong.
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("heddle", derandomize=True, **SLOW)
settings.register_profile("nightly", derandomize=False, max_examples=10_000, **SLOW)
settings.load_profile("heddle")

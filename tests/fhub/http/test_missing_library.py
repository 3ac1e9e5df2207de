"""Without urllib3 programs check, and a run says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
sys.modules["urllib3"] = None
from heddle.sdk.testing import StepError, run_step
from fhub.{name} import plugin
assert plugin.signature().steps
try:
    run_step(plugin, "{step}", [{{"n": 1}}], config={{"base_url": "http://127.0.0.1:9", {more}}})
except StepError as error:
    print(error.message)
"""


@pytest.mark.parametrize(
    ("name", "step", "more"), [("http", "request", ""), ("llm", "prompt", '"model": "m"')]
)
def test_the_extra_is_named(name: str, step: str, more: str) -> None:
    code = CODE.format(name=name, step=step, more=more)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == f"the library urllib3 is not installed: pip install 'heddle[{name}]'\n"

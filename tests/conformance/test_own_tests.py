"""The SDKs' own tests and linters, each by its language's tools."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SDK = Path(__file__).parents[2] / "sdk"
LIMIT_S = 1200

COMMANDS = {
    "go tests": ("go", "go test ./..."),
    "go lint": ("go", 'go vet ./... && test -z "$(gofmt -l .)"'),
    "rust tests": ("rust", "cargo test --quiet"),
    "rust lint": ("rust", "cargo fmt --all --check"),
    "node tests": (
        "node",
        "npm ci --no-audit --no-fund --silent && npm run --silent build && npm test --silent",
    ),
}


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.parametrize("name", COMMANDS)
def test_passes(name: str) -> None:
    folder, command = COMMANDS[name]
    done = subprocess.run(
        command, shell=True, cwd=SDK / folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-8_000:]

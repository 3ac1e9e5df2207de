"""Where metrics and spans go: `metrics` of `[serve]` and `[serve.telemetry]`, read and checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from heddle.diagnostics import Diagnostic
from heddle.frontend.typed import EnvRef, SecretRef
from heddle.serve_file import load_serve_settings
from heddle.serve_settings import MetricsAddress, ServeSettings, TelemetrySettings
from heddle.serve_telemetry import address_of

FULL = """\
[serve]
metrics = "0.0.0.0:9464"

[serve.telemetry]
endpoint = "https://collector.example.com:4318"
protocol = "grpc"
service = "warehouse"
sample = 0.25
statements = true

[serve.telemetry.headers]
Authorization = { secret = "COLLECTOR_TOKEN" }
x-tenant = { env = "TENANT" }
x-team = "shop"
"""


def read(folder: Path, text: str) -> tuple[ServeSettings, tuple[Diagnostic, ...]]:
    file = folder / "serve.toml"
    file.write_text(text)
    return load_serve_settings(file)


def test_everything(tmp_path: Path) -> None:
    settings, diagnostics = read(tmp_path, FULL)
    assert not diagnostics
    assert settings.metrics == MetricsAddress(9464, "0.0.0.0")
    assert settings.telemetry == TelemetrySettings(
        endpoint="https://collector.example.com:4318",
        protocol="grpc",
        headers={
            "authorization": SecretRef("COLLECTOR_TOKEN"),
            "x-tenant": EnvRef("TENANT"),
            "x-team": "shop",
        },
        service="warehouse",
        sample=0.25,
        statements=True,
    )


def test_nothing(tmp_path: Path) -> None:
    settings, diagnostics = read(tmp_path, "[serve]\n")
    assert not diagnostics
    assert settings.metrics is None
    assert settings.telemetry is None
    settings, _ = read(tmp_path, "[serve.telemetry]\n")
    assert settings.telemetry == TelemetrySettings()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", MetricsAddress(9464)),
        ("0", MetricsAddress(0)),
        ("localhost:9464", MetricsAddress(9464, "localhost")),
        ("[::1]:9464", MetricsAddress(9464, "::1")),
        *((wrong, None) for wrong in ("", "x", "65536", "-1", ":9464", "::1:9464", "[x]:1", "host:", "٣")),
        pytest.param("9" * 5000, None, id="5000 digits"),
    ],
)
def test_addresses(text: str, address: MetricsAddress | None) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize(
    ("text", "code", "line", "message"),
    [
        ("[serve]\nmetrics = 70000", "HD0723", 2, "`70000` is no address to listen on"),
        (
            "[serve]\nmetrics = true",
            "HD0722",
            2,
            "`metrics` is a bool, where a port or an address is expected",
        ),
        ('[serve.telemetry]\nendpoint = "host:1"', "HD0723", 2, "`host:1` is no address of a collector"),
        (
            '[serve.telemetry]\nendpoint = "http://h:x"',
            "HD0723",
            2,
            "`http://h:x` is no address of a collector",
        ),
        (
            '[serve.telemetry]\nendpoint = "http://u:p@h"',
            "HD0723",
            2,
            "`endpoint` holds a user or a password",
        ),
        ('[serve.telemetry]\nprotocol = "http"', "HD0723", 2, "`protocol` cannot be `http`"),
        ("[serve.telemetry]\nsample = 2", "HD0722", 2, "where a number from 0 to 1 is expected"),
        ('[serve.telemetry.headers]\n"a b" = "x"', "HD0723", 2, "`a b` is no name of a header"),
        ("[serve.telemetry]\nheaders = { a = 1 }", "HD0722", 2, "where a text or a reference to a secret"),
        ("[serve.telemetry]\nsampel = 1", "HD0721", 2, "has no key `sampel`"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, code: str, line: int, message: str) -> None:
    _, (found,) = read(tmp_path, text)
    assert found.code == code
    assert message in found.message
    assert found.source.position(found.span.start).line == line
    assert found.help


def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    for scheme in ("http", "ftp"):
        _, (found,) = read(tmp_path, f'[serve.telemetry]\nendpoint = "{scheme}://u:hunter2@host"')
        assert "hunter2" not in found.message + (found.help or "")

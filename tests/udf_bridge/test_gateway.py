"""The gateway: who may use it, what it keeps from others, how it ends; and whole runs over it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.udf_bridge.address import AddressError, parse_url
from heddle.udf_bridge.transport import (
    ResourceBinding,
    StepBinding,
    StepFailure,
)
from tests.conformance.plugin import PATIENCE_S, PROJECTS, context, wait_until
from tests.udf_bridge.served import GatewayProcess, Served, gateway, served

ROOT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef"
NUMBERS = pa.table({"x": pa.array([1, -2, 3, 4], pa.int64()), "name": ["a", "b", None, "d"]})


@pytest.fixture(scope="module")
def process() -> Iterator[GatewayProcess]:
    with gateway() as process:
        yield process


@pytest.fixture
def plugin(process: GatewayProcess) -> Iterator[Served]:
    with served(process.url) as side:
        yield side


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    return file


def test_a_gateway_that_is_asked_to_end_finishes_its_calls() -> None:
    with gateway() as process, served(process.url) as side:
        session = side.session("sleep", {"seconds": 5.0})
        with ThreadPoolExecutor(2) as pool:
            running = pool.submit(session.invoke, NUMBERS, context())
            wait_until(lambda: side.calls == 1, "the call")
            ended = pool.submit(process.terminate)
            output = running.result(PATIENCE_S).output
            assert ended.result(PATIENCE_S) == 0
    assert output is not None
    assert output.equals(NUMBERS)


def test_a_plugin_in_another_language() -> None:
    with gateway(folder=PROJECTS["go"]) as process, served(process.url) as side:
        assert side.output("rebuild", NUMBERS).equals(NUMBERS)
        result = side.call("reject_negative", NUMBERS)
        assert [r.rows.to_pylist() for r in result.rejections] == [[1]]
        sink = side.session("sink", counter={"start": 1})
        sink.invoke(NUMBERS, context())
        sink.close()
        process.wait_for_line("counter closed at 5")


def test_other_code_than_the_program_was_checked_with(process: GatewayProcess) -> None:
    with served(process.url) as side:
        side.module = replace(side.module, code_hash="0" * 64)
        with pytest.raises(StepFailure, match="now serves other code of the plugin `conformance`"):
            side.session("identity")


def test_the_token(token_file: Path) -> None:
    with gateway(["--token-file", str(token_file)]) as process:
        with served(process.url, TOKEN) as side:
            assert side.output("identity", NUMBERS).equals(NUMBERS)
        for wrong in (None, TOKEN[:-1], TOKEN + "0"):
            with pytest.raises(StepFailure, match="refuses the token") as caught:
                Served(process.url, wrong)
            assert caught.value.error_type == "Unauthenticated"


def test_a_gateway_for_other_hosts(token_file: Path) -> None:
    with gateway(["--token-file", str(token_file)], listen="0.0.0.0:0") as process:
        process.wait_for_line("nothing protects the rows and the token on their way")
        with served(process.url.replace("0.0.0.0", "127.0.0.1"), TOKEN) as side:
            assert side.output("identity", NUMBERS).equals(NUMBERS)


def test_an_exchange_needs_the_token_too(token_file: Path) -> None:
    from pyarrow import flight

    with (
        gateway(["--token-file", str(token_file)]) as process,
        flight.connect(process.url) as client,
        pytest.raises(flight.FlightUnauthenticatedError),  # as the exchange begins, or with its answer
    ):
        writer, reader = client.do_exchange(flight.FlightDescriptor.for_command(b""))
        try:
            reader.read_chunk()
        finally:
            with suppress(flight.FlightError):
                writer.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "0.0.0.0:0"], "0.0.0.0 can be reached from other hosts"),
        (["--listen", "[::]:0"], ":: can be reached from other hosts"),
        (["--listen", "7070"], "`7070` is not HOST:PORT"),
        (["--tls-cert", "README.md"], "TLS needs a certificate and its key"),
        (["--token-file", "README.md"], "can be used by others"),
        (["--token-file", "nowhere"], "cannot be read"),
    ],
)
def test_what_serve_refuses(arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", "heddle", "plugin", "serve", "tests/conformance/plugins/python"]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use(process: GatewayProcess) -> None:
    command = [sys.executable, "-m", "heddle", "plugin", "serve", "tests/conformance/plugins/python"]
    done = subprocess.run(
        [*command, "--listen", process.place],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f"cannot listen on {process.url}" in done.stderr


def test_tls(tmp_path: Path, token_file: Path) -> None:
    certificate, key = _self_signed(tmp_path)
    arguments = ["--tls-cert", str(certificate), "--tls-key", str(key), "--token-file", str(token_file)]
    with gateway(arguments) as process:
        assert process.url.startswith("grpc+tls://")
        with served(process.url, TOKEN, certificate) as side:
            assert side.output("identity", NUMBERS).equals(NUMBERS)
        with pytest.raises(Exception, match=r"certificate of .* is not trusted here"):
            Served(process.url, TOKEN)


@pytest.mark.parametrize(
    ("setting", "secret"), [("token", ""), ("start", "9876")], ids=["declared", "a value of secret()"]
)
def test_secrets_do_not_travel_in_the_clear(plugin: Served, setting: str, secret: str) -> None:
    side = Served("grpc://192.0.2.1:7070", holds_secret=lambda text: text == secret, module=plugin.module)
    config = {"token": "s3cret"} if setting == "token" else {"start": 1}
    resource = ResourceBinding("visits", plugin.module, "counter", config)
    settings = {"message": secret} if secret else {"message": "x"}
    step = plugin.module.steps["log"]
    binding = StepBinding("W.l", plugin.module, step, settings, {"counter": resource}, ".", None)
    with pytest.raises(StepFailure, match=r"is a secret, and grpc://192\.0\.2\.1:7070 would carry it"):
        side.open(binding, side.told)
    side.close()


@pytest.mark.parametrize(
    "text",
    [
        "http://h:1",
        "grpc://h",
        "grpc://h:x",
        "grpc://:7070",
        "grpc://h:1/x",
        "grpc://u@h:1",
        "grpc://h:99999",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(AddressError):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "is_private"),
    [
        ("grpc://localhost:1", True),
        ("grpc://127.0.0.9:1", True),
        ("grpc://[::1]:1", True),
        ("grpc://10.0.0.1:1", False),
        ("grpc+tls://h.example:1", True),
    ],
)
def test_addresses(text: str, is_private: bool) -> None:
    url = parse_url(text)
    assert str(url) == text
    assert url.is_private is is_private


def test_a_whole_run(tmp_path: Path, token_file: Path) -> None:
    """With the gateway, without it, and with it again."""
    program = tmp_path / "program.he"
    program.write_text(
        'import "steps" steps\n\n'
        "workflow W {\n"
        "  [{ x: 1 }, { x: -2 }]\n"
        "    | steps.add { amount: 5 }\n"
        "    | steps.reject_negative\n"
        "    | io.print\n"
        "}\n"
    )

    def heddle(verb: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "heddle", verb, "program.he"]
        environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **variables}
        return subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    with gateway(["--token-file", str(token_file)]) as process:
        settings = f'url = "{process.url}", token = {{ secret = "STEPS_TOKEN" }}'
        (tmp_path / "heddle.toml").write_text(f'[plugins]\n"steps" = {{ {settings} }}\n')
        without = heddle("check")
        assert without.returncode == 2
        assert "HD0413" in without.stderr + without.stdout
        assert "STEPS_TOKEN" in without.stderr + without.stdout
        done = heddle("run", STEPS_TOKEN=TOKEN)
        assert done.returncode == 1, done.stderr
        assert "x is negative" in done.stderr
        program.write_text(program.read_text().replace("    | steps.reject_negative\n", ""))
        done = heddle("run", STEPS_TOKEN=TOKEN)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["x", "y", "--", "-", "1", "6", "-2", "3"]
    checked = heddle("check", STEPS_TOKEN=TOKEN)
    assert checked.returncode == 0, checked.stderr
    assert "what `steps` offered the last time is used" in checked.stderr
    lost = heddle("run", STEPS_TOKEN=TOKEN)
    assert lost.returncode == 1
    assert "cannot be reached" in lost.stderr
    assert "Traceback" not in lost.stderr


def _self_signed(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key

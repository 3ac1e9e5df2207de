"""What goes wrong between `http.request` and its service, and what is sent again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhub.http import plugin
from heddle.sdk.testing import StepError, StepResult, run_step
from tests.fhub.http.shop import Shop
from tests.services.certificates import make_certificate
from tests.services.fault_proxy import Cut, Fault, FaultProxy, Say, Stall
from tests.services.service import HOST, deaf_port

ROWS = [{"name": "Ada"}]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Shop() as opened:
        yield opened


@pytest.fixture
def proxy(shop: Shop) -> Iterator[FaultProxy]:
    with FaultProxy(shop.url) as opened:
        yield opened


def ask(
    url: str,
    rows: list[dict[str, Any]] | None = ROWS,
    context: dict[str, Any] | None = None,
    connection: dict[str, Any] | None = None,
    **config: Any,
) -> StepResult:
    config = {"path": "/users/{name}", **config}
    resources = {"connection": {"base_url": url, "timeout": "20s", **(connection or {})}}
    return run_step(plugin, "request", rows, config=config, resources=resources, context=context)


def metric(result: StepResult, name: str) -> float:
    return next(m.value for m in result.metrics if m.name == name)


@pytest.mark.parametrize(
    "fault",
    [
        Say(500),
        Say(502),
        Say(503, headers={"Retry-After": "0"}),
        Say(429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        Cut(at_once=True, reset=True),
        Cut(at_once=True),
        Cut(after_bytes=10),
    ],
)
def test_what_may_pass_is_sent_again(proxy: FaultProxy, fault: Fault) -> None:
    proxy.fail(fault, times=2)
    result = ask(proxy.url)
    assert [row["status"] for row in result.rows] == [200]
    assert (len(proxy.requests), metric(result, "retries")) == (3, 2)


@pytest.mark.parametrize("fault", [Say(500), Cut(at_once=True, reset=True), Cut(after_bytes=10)])
def test_what_writes_is_sent_once(proxy: FaultProxy, fault: Fault) -> None:
    proxy.fail(fault)
    if isinstance(fault, Say):
        assert ask(proxy.url, method="POST", path="/score").rejected
    else:
        with pytest.raises(StepError) as caught:
            ask(proxy.url, method="POST", path="/score")
        assert caught.value.transient
    assert len(proxy.requests) == 1


def test_what_writes_is_sent_again_when_it_was_not_done(proxy: FaultProxy) -> None:
    proxy.fail(Say(429, headers={"Retry-After": "0"}), times=2)
    assert not ask(proxy.url, method="POST", path="/score").rejected
    assert len(proxy.requests) == 3


def test_a_key_makes_writing_safe(proxy: FaultProxy) -> None:
    proxy.fail(Say(500))
    rows = [{"name": "Ada"}, {"name": "Ada"}]
    context = {"idempotency_key": "run/step/0"}
    config = {"method": "POST", "path": "/score", "idempotency_header": "Idempotency-Key"}
    assert not ask(proxy.url, rows, context, {"concurrency": 1}, **config).rejected
    first = [each.headers["Idempotency-Key"] for each in proxy.requests]
    assert first[0] == first[1] != first[2]
    ask(proxy.url, rows, {**context, "attempt": 2}, {"concurrency": 1}, **config)
    assert [each.headers["Idempotency-Key"] for each in proxy.requests[3:]] == first[1:]


@pytest.mark.parametrize("fault", [Say(503), Cut(at_once=True)])
def test_a_service_that_is_away_fails_the_call(proxy: FaultProxy, fault: Fault) -> None:
    proxy.fail(fault, times=100)
    with pytest.raises(StepError) as caught:
        ask(proxy.url)
    assert caught.value.transient
    assert len(proxy.requests) == 4


def test_a_wait_that_is_too_long_is_told(proxy: FaultProxy) -> None:
    proxy.fail(Say(429, headers={"Retry-After": "3600"}))
    with pytest.raises(StepError, match="it asks to wait 3600 s") as caught:
        ask(proxy.url)
    assert caught.value.transient
    assert len(proxy.requests) == 1


def test_all_requests_wait_as_one_was_told(proxy: FaultProxy) -> None:
    proxy.fail(Say(429, headers={"Retry-After": "1"}))
    rows = [{"name": f"u{n}"} for n in range(4)]
    began = time.monotonic()
    result = ask(proxy.url, rows, connection={"concurrency": 1})
    assert len(result.rows) == 4
    assert len(proxy.requests) == 5
    assert time.monotonic() - began >= 1.0


@pytest.mark.parametrize("fault", [Stall(at_once=True), Stall(after_bytes=10)])
def test_silence_is_no_answer(proxy: FaultProxy, fault: Fault) -> None:
    proxy.fail(fault, times=5)
    with pytest.raises(StepError, match=r"no answer within 0\.2 s") as caught:
        ask(proxy.url, connection={"timeout": "200ms"})
    assert caught.value.transient


@pytest.mark.parametrize("fault", [Stall(at_once=True), Say(429, headers={"Retry-After": "1"})])
def test_the_deadline_ends_the_call(proxy: FaultProxy, fault: Fault) -> None:
    proxy.fail(fault, times=100)
    with pytest.raises(StepError, match=r"no answer within 0\.3 s|asks to wait 1 s") as caught:
        ask(proxy.url, context={"deadline": 0.3})
    assert caught.value.transient


def test_a_cancelled_call_ends_at_once(proxy: FaultProxy) -> None:
    proxy.fail(Stall(at_once=True), times=100)
    with pytest.raises(StepError) as caught:
        ask(proxy.url, context={"cancelled": lambda: len(proxy.requests) > 0})
    assert caught.value.kind == "cancelled"
    assert not [t for t in threading.enumerate() if t.name.startswith("heddle-request")]


def test_so_many_at_a_time(proxy: FaultProxy) -> None:
    proxy.gather(3)
    rows = [{"name": f"user{n}"} for n in range(40)]
    result = ask(proxy.url, rows, connection={"concurrency": 3}, schema={"name": "string"}, records="data")
    assert result.rows == rows
    assert proxy.most_at_once == 3


def test_so_many_a_minute(shop: Shop) -> None:
    rows = [{"name": f"user{n}"} for n in range(5)]
    began = time.monotonic()
    ask(shop.url, rows, connection={"requests_per_minute": 1200.0})
    assert time.monotonic() - began >= 4 * 60 / 1200


def test_nobody_listens() -> None:
    with (
        deaf_port() as port,
        pytest.raises(StepError, match=r"it cannot be reached \(.*refused.*\)") as caught,
    ):
        ask(f"http://{HOST}:{port}/api")
    assert caught.value.transient


def test_who_the_service_is(shop: Shop, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with FaultProxy(shop.url, certificate) as proxy:
        with pytest.raises(StepError, match="its certificate is not trusted") as caught:
            ask(proxy.url)
        assert not caught.value.transient
        trusted = {"ca_file": str(certificate[0])}
        assert ask(proxy.url, connection=trusted).rows[0]["status"] == 200
    with pytest.raises(StepError, match="TLS failed"):
        ask(shop.url.replace("http:", "https:"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/", '`base_url` is an address such as "https://host/path"'),
        ("http://ada:pw@host", "`base_url` ends with its path, and names no user and no password"),
        ("http://host:99999", "`base_url` has a port that is none"),
        ("http://host/a\r\nb", "`base_url` holds a blank or a control character"),
    ],
)
def test_addresses_that_are_none(url: str, message: str) -> None:
    with pytest.raises(StepError) as caught:
        ask(url)
    assert caught.value.message.startswith(message)

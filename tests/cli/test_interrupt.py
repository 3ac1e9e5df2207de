"""^C: the work is asked to stop; what does not stop is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from heddle.cli.interrupt import run_interruptibly

LEAVES_WITHIN_S = 120
"""Far more than it takes: only a process that hangs comes near it."""

OBEDIENT = """\
import threading
from heddle.cli import interrupt
interrupt.CLEANUP_S = 3600
stop = threading.Event()
def work():
    print("working", flush=True)
    stop.wait()
    return "cleaned up"
print(interrupt.run_interruptibly(work, stop.set), flush=True)
"""
STUBBORN = """\
import threading
from heddle.cli import interrupt
interrupt.CLEANUP_S = {cleanup_s}
def work():
    print("working", flush=True)
    threading.Event().wait()
interrupt.run_interruptibly(work, lambda: print("asked", end={end!r}, flush={flush}))
"""
ELSEWHERE = """\
import signal, threading
from heddle.cli import interrupt
interrupt.CLEANUP_S = 3600
stop = threading.Event()
def work():
    print("working", flush=True)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    stop.wait()
    return "cleaned up"
print(interrupt.run_interruptibly(work, stop.set), flush=True)
"""
ENDING = """\
import sys
from heddle.cli import interrupt
interrupt.SAME_SIGNAL_S = 3600
def work():
    print("working", flush=True)
    sys.stdin.readline()
    return "ended"
def end(number):
    print(number, flush=True)
    return True
print(interrupt.run_interruptibly(work, lambda: print("asked"), end=end), flush=True)
"""


@contextmanager
def working(script: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_work_cleans_up(number: signal.Signals) -> None:
    with working(OBEDIENT) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=LEAVES_WITHIN_S)
    assert (out, process.returncode) == ("cleaned up\n", 0)
    assert err.startswith("interrupted: cleaning up")


def test_work_that_does_not_stop_is_left_behind() -> None:
    with working(STUBBORN.format(cleanup_s="interrupt.CLEANUP_S", end="", flush=False)) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LEAVES_WITHIN_S)
    assert process.returncode == 130
    assert out == "asked", "what was printed is flushed"
    assert "Traceback" not in err


def test_the_second_signal_leaves_at_once() -> None:
    with working(STUBBORN.format(cleanup_s=3600, end="\n", flush=True)) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LEAVES_WITHIN_S)
    assert process.returncode == 130


def test_a_signal_that_another_thread_got_counts() -> None:
    with working(ELSEWHERE) as process:
        assert process.stdout is not None
        out = process.stdout.read()  # its first words may have come with the line that was read
        process.wait(LEAVES_WITHIN_S)
    assert (out, process.returncode) == ("cleaned up\n", 0)


def test_work_that_can_end_by_itself_does() -> None:
    """Also when the signal comes twice, as the command `timeout` sends it."""
    with working(ENDING) as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == f"{signal.SIGTERM}\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate("end\n", timeout=LEAVES_WITHIN_S)
    assert out == "ended\n"
    assert err.startswith("ending after the turn under way")


def test_result_and_error_come_through() -> None:
    assert run_interruptibly(lambda: 7, lambda: None) == 7
    with pytest.raises(ZeroDivisionError):
        run_interruptibly(lambda: 1 // 0, lambda: None)


def test_the_handlers_of_before_are_restored() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run_interruptibly(lambda: None, lambda: None)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before

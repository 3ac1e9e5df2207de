"""What the benchmark commands share: interleaving, the table of numbers, environments of peers, memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import peers, processes
from benchmarks.harness import interleaved
from benchmarks.hello import first_row
from benchmarks.peers import NotInstalled, Peer, python_of
from benchmarks.sheet import Goal, Sheet


def test_sides_take_turns_in_random_order() -> None:
    turns: list[str] = []

    def side(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    counted = interleaved({"a": lambda: side("a"), "b": lambda: side("b")}, repeats=20, warm_ups=2)
    rounds = ["".join(turns[i : i + 2]) for i in range(0, len(turns), 2)]
    assert len(rounds) == 22 and set(rounds) == {"ab", "ba"}
    assert len(counted["a"]) == len(counted["b"]) == 20
    assert min(counted["a"] + counted["b"]) == 5


def test_a_sheet_has_both_sides_of_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = Sheet()
    sheet.ratio("slower", "a ratio", [0.004, 0.002, 0.003], [0.001], named="theirs", goal=Goal(1.3))
    sheet.speed_up("faster", "a speed-up", [0.001], [0.1], named="theirs", goal=Goal(80, at_least=True))
    sheet.skip("another", "it does not install")
    sheet.show()
    lines = capsys.readouterr().out.splitlines()
    (ratio,) = (line for line in lines if "`slower`" in line)
    (speed_up,) = (line for line in lines if "`faster`" in line)
    assert "| 3 ms (2 to 4)" in ratio and "| theirs: 1 ms (1 to 1)" in ratio and "≤ 1.3 missed" in ratio
    assert "≥ 80 met" in speed_up
    assert "* Skipped: another: it does not install" in lines
    assert json.loads(lines[-1].removeprefix("RESULT ")) == {"slower": 3.0, "faster": 100.0}


def test_a_peer_that_does_not_install_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path)
    with pytest.raises(NotInstalled, match="it does not install: "):
        python_of(Peer("nothing", (str(tmp_path / "no-such-folder"),)))


def test_a_wrong_row_ends_the_benchmark() -> None:
    right = first_row([sys.executable, "-c", "print('grace barbara')"])
    assert right() > 0
    wrong = first_row([sys.executable, "-c", "print('grace ada barbara')"])
    with pytest.raises(SystemExit, match="printed other rows"):
        wrong()
    nothing = first_row([sys.executable, "-c", "raise SystemExit('out of order')"])
    with pytest.raises(SystemExit, match="out of order"):
        nothing()


def test_the_memory_of_children_counts() -> None:
    size_mb = 150
    held = f"held = b'1' * {size_mb * 1_000_000}; import time; time.sleep(2)"
    below = f'import subprocess, sys; {held}; subprocess.run([sys.executable, \'-c\', """{held}"""])'
    alone = processes.run([sys.executable, "-c", held], 30)
    both = processes.run([sys.executable, "-c", below], 30)
    assert alone.failure is None and both.failure is None
    assert size_mb * 1e6 < alone.peak_bytes < both.peak_bytes - size_mb * 1e6


def test_a_process_that_fails_says_why() -> None:
    failed = processes.run([sys.executable, "-c", "raise SystemExit('no more room')"], 30)
    assert failed.failure == "no more room"
    late = processes.run([sys.executable, "-c", "import time; time.sleep(30)"], 0.2)
    assert late.failure == "not done after 0.2 s"

"""Runs under way at the same time compute once what they have in common, whatever becomes of one of them."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.engine import Engine, RunOptions, RunResult
from heddle.physical.cancel import CancelToken
from heddle.physical.events import Event, StageFinished, StageTaken
from heddle.physical.shared_frames import FRAMES
from heddle.std.sinks import Streams
from tests.waiting import until

DEADLINE_S = 60.0
SPILLING_BYTES = 64 << 20
"""A quarter of it is for frames."""

STEPS = """\
import os
import time
from pathlib import Path

import pyarrow.compute as pc

from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="steps")
HERE = Path(__file__).parent


class Row(Table):
    id: int
    kind: str | None


class Weighed(Table):
    id: int
    kind: str | None
    weight: int


def held(name):
    while (HERE / name).exists():
        time.sleep(0.005)


@plugin.step(name="weigh", deterministic=True)
def weigh(input: Row) -> Weighed:
    with (HERE / "calls").open("a") as calls:
        calls.write("weigh\\n")
    held("hold_weigh")
    for name, act in (("fail", fail), ("die", lambda: os._exit(9))):
        if (HERE / name).exists():
            (HERE / name).unlink()
            act()
    table = input.to_arrow()
    return Weighed(table.append_column("weight", pc.multiply(table["id"], 2)))


def fail():
    raise ValueError("it is broken")


@plugin.step(name="slow", rows="map", deterministic=True)
def slow(input: Weighed) -> Weighed:
    held("hold_slow")
    return Weighed(input.to_arrow())


if __name__ == "__main__":
    plugin.serve()
"""

PROGRAM = """\
import "./steps" steps

step rows = io.csv { path: "rows.csv" }

workflow Heavy {
  (from rows | sort id) | steps.weigh > weighed

  (from weighed | filter weight > 4 | sort id) > found
}

workflow Sums {
  (from rows | sort id) | steps.weigh > weighed

  (from weighed | group kind (aggregate { total = sum weight }) | sort kind) > found
}

workflow Slow {
  (from rows | sort id) | steps.weigh | steps.slow > weighed

  (from weighed | sort id) > found
}
"""

ROWS = "id,kind\n1,a\n2,b\n3,a\n4,b\n"
RIGHT = {
    "Heavy": [{"id": 3, "kind": "a", "weight": 6}, {"id": 4, "kind": "b", "weight": 8}],
    "Sums": [{"kind": "a", "total": 8}, {"kind": "b", "total": 12}],
}


class Started:
    """A run in a thread of its own."""

    def __init__(self, folder: Path, engine: Engine, workflow: str, number: int, **options: object) -> None:
        self.cancel = CancelToken()
        self.events: list[Event] = []
        self.file = folder / f"out-{number}.parquet"
        program = engine.check().program
        assert program is not None
        wanted = RunOptions(workflows=(workflow,), outputs={f"{workflow}.found": str(self.file)}, **options)  # type: ignore[arg-type]
        self.result: Future[RunResult] = Future()

        def run() -> None:
            streams = Streams(io.StringIO(), io.StringIO())
            try:
                self.result.set_result(engine.run(program, wanted, self.events.append, self.cancel, streams))
            except BaseException as error:
                self.result.set_exception(error)

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def rows(self) -> list[dict[str, object]]:
        result = self.result.result(DEADLINE_S)
        assert result.status == "succeeded", result.error
        return pq.read_table(self.file).to_pylist()

    @property
    def taken(self) -> list[StageTaken]:
        return [event for event in self.events if isinstance(event, StageTaken)]


class Place:
    """A program, its steps with their switches, and runs of it."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine
        self.runs: list[Started] = []

    def start(self, workflow: str, **options: object) -> Started:
        run = Started(self.folder, self.engine, workflow, len(self.runs), **options)
        self.runs.append(run)
        return run

    def leader_and_follower(self, **options: object) -> tuple[Started, Started]:
        """Two runs, of which the second waits for what the first is held in."""
        self.switch("hold_weigh")
        leader = self.start("Heavy", **options)
        until(lambda: self.calls == 1)
        follower = self.start("Sums", **options)
        until(self.waiting)
        return leader, follower

    def switch(self, name: str, on: bool = True) -> None:
        (self.folder / name).touch() if on else (self.folder / name).unlink()

    @property
    def calls(self) -> int:
        calls = self.folder / "calls"
        return len(calls.read_text().splitlines()) if calls.exists() else 0

    @staticmethod
    def waiting() -> bool:
        return any(entry.waiting for entry in list(FRAMES._entries.values()))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "program.he").write_text(PROGRAM)
    with Engine.open(tmp_path / "program.he") as engine:
        made = Place(tmp_path, engine)
        yield made
        for name in ("hold_weigh", "hold_slow"):
            (tmp_path / name).unlink(missing_ok=True)
        for run in made.runs:
            run.thread.join(DEADLINE_S)
            assert not run.thread.is_alive()
    assert len(FRAMES) == 0


def test_a_result_is_computed_once(place: Place) -> None:
    leader, follower = place.leader_and_follower()
    place.switch("hold_weigh", on=False)
    assert (leader.rows(), follower.rows()) == (RIGHT["Heavy"], RIGHT["Sums"])
    assert place.calls == 1
    (taken,) = follower.taken
    assert taken.how == f"shared with run {leader.result.result().run_id}"
    assert (taken.rows, leader.taken) == (4, [])
    below = [e.stage for e in follower.events if isinstance(e, StageFinished)]
    assert not any("weigh" in stage or ":io.csv" in stage for stage in below), "nothing below it ran"


def test_it_is_computed_again_for_runs_that_come_later(place: Place) -> None:
    assert place.start("Heavy").rows() == RIGHT["Heavy"]
    assert place.start("Sums").rows() == RIGHT["Sums"]
    assert place.calls == 2


def test_a_cancelled_run_takes_nobody_with_it(place: Place) -> None:
    leader, follower = place.leader_and_follower(inline=True)
    leader.cancel.cancel()
    assert leader.result.result(DEADLINE_S).status == "cancelled"
    until(lambda: place.calls == 2)
    place.switch("hold_weigh", on=False)
    assert follower.rows() == RIGHT["Sums"]
    assert follower.taken == []


def test_who_waits_can_be_cancelled(place: Place) -> None:
    leader, follower = place.leader_and_follower()
    follower.cancel.cancel()
    assert follower.result.result(DEADLINE_S).status == "cancelled"
    place.switch("hold_weigh", on=False)
    assert leader.rows() == RIGHT["Heavy"]


@pytest.mark.parametrize("mishap", ["fail", "die"])
def test_a_failure_is_the_failure_of_its_own_run(place: Place, mishap: str) -> None:
    leader, follower = place.leader_and_follower()
    place.switch(mishap)
    place.switch("hold_weigh", on=False)
    result = leader.result.result(DEADLINE_S)
    assert result.status == "failed" and result.error is not None
    assert follower.rows() == RIGHT["Sums"]
    assert place.calls == 2


def test_a_small_budget_is_the_trouble_of_its_own_run(place: Place) -> None:
    rows = 1_000_000
    table = pa.table({"id": pa.array(range(rows), pa.int64()), "kind": pa.array(["k"] * rows)})
    pq.write_table(table, place.folder / "rows.parquet")
    head = PROGRAM.partition("workflow")[0].replace(
        'io.csv { path: "rows.csv" }', 'io.parquet { path: "rows.parquet" }'
    )
    (place.folder / "program.he").write_text(head + "\n".join(map(_counting_workflow, ("Small", "Large"))))
    place.switch("hold_slow")
    small = place.start("Small", memory_bytes=1 << 20)
    until(lambda: len(FRAMES) == 1)
    large = place.start("Large")
    until(place.waiting)
    place.switch("hold_slow", on=False)
    result = small.result.result(DEADLINE_S)
    assert result.error is not None and "memory" in result.error.message
    assert large.rows() == [{"n": rows}]
    assert large.taken == []


def _counting_workflow(name: str) -> str:
    return (
        f"workflow {name} {{\n  (from rows | derive {{ weight = id }}) | steps.slow > passed\n\n"
        "  (from passed | group {id, weight} (aggregate { times = count this })) > counted\n\n"
        "  (from counted | aggregate { n = count this }) > found\n}\n"
    )


def test_changed_files_are_another_result(place: Place) -> None:
    place.switch("hold_weigh")
    before = place.start("Heavy")
    until(lambda: place.calls == 1)
    (place.folder / "rows.csv").write_text("id,kind\n5,c\n")
    after = place.start("Sums")
    until(lambda: place.calls == 2)
    place.switch("hold_weigh", on=False)
    assert (before.rows(), after.rows()) == (RIGHT["Heavy"], [{"kind": "c", "total": 10}])


@pytest.mark.parametrize("options", [{"optimize": False}, {"alone": True}])
def test_runs_that_share_nothing(place: Place, options: dict[str, object]) -> None:
    place.switch("hold_weigh")
    runs = [place.start("Heavy", **options), place.start("Sums", **options)]
    until(lambda: place.calls == 2)
    place.switch("hold_weigh", on=False)
    assert [run.rows() for run in runs] == [RIGHT["Heavy"], RIGHT["Sums"]]


def test_a_frame_outlives_the_run_that_computed_it(place: Place) -> None:
    """Also one that lies in a file of that run."""
    rows = 1_000_000
    numbers = pa.array(range(rows), pa.int64())
    pq.write_table(pa.table({"id": numbers, "kind": pa.array(["k"] * rows)}), place.folder / "rows.parquet")
    program = place.folder / "program.he"
    program.write_text(PROGRAM.replace('io.csv { path: "rows.csv" }', 'io.parquet { path: "rows.parquet" }'))
    place.switch("hold_weigh")
    place.switch("hold_slow")
    leader = place.start("Heavy", memory_bytes=SPILLING_BYTES)
    until(lambda: place.calls == 1)
    reader = place.start("Slow", memory_bytes=SPILLING_BYTES)
    until(place.waiting)
    place.switch("hold_weigh", on=False)
    assert len(leader.rows()) == rows - 3
    (entry,) = FRAMES._entries.values()
    assert entry.frame is not None and entry.frame.file is not None and not entry.frame.file.exists()
    place.switch("hold_slow", on=False)
    assert [row["weight"] for row in reader.rows()] == list(range(0, 2 * rows, 2))
    assert place.calls == 1 and reader.taken


@pytest.mark.parametrize("seed", range(6))
def test_shared_is_not_shared(place: Place, seed: int) -> None:
    """Runs at a time of random workflows with common beginnings answer as each does without any rule."""
    chance = random.Random(seed)
    rows = [(chance.randrange(20), chance.choice("abc")) for _ in range(200)]
    (place.folder / "rows.csv").write_text("id,kind\n" + "".join(f"{i},{k}\n" for i, k in rows))
    names = [f"W{i}" for i in range(6)]
    workflows = "\n".join(_random_workflow(name, chance) for name in names)
    (place.folder / "program.he").write_text(PROGRAM.partition("workflow")[0] + workflows)
    alone = {name: place.start(name, inline=True, optimize=False).rows() for name in names}
    runs = [(name, place.start(name, inline=True)) for name in names * 2]
    for name, run in runs:
        assert run.rows() == alone[name], workflows


def _random_workflow(name: str, chance: random.Random) -> str:
    beginning = chance.choice(
        [
            "(from rows | sort {id, kind}) | steps.weigh",
            "(from rows | filter id > 5 | sort {id, kind}) | steps.weigh",
            "(from rows | group {id, kind} (aggregate { weight = count this }) | sort {id, kind})",
            "(from rows | derive { weight = id + 1 } | sort {id, kind, weight})",
        ]
    )
    middle = chance.choice(
        ["", "filter weight > 10 | ", "filter kind != 'b' | ", "derive { w = weight + 1 } | "]
    )
    end = chance.choice(
        [
            "sort {id, kind, weight}",
            "group kind (aggregate { n = count this, s = sum weight }) | sort kind",
            "sort {kind, weight} | take 7 | select { kind, weight }",
        ]
    )
    return f"workflow {name} {{\n  {beginning} > some\n\n  (from some | {middle}{end}) > found\n}}\n"


def test_many_runs_at_a_time_leave_nothing(place: Place) -> None:
    workflows = ["Heavy", "Sums"] * 4

    def rounds(count: int) -> None:
        """In the first of them, runs do wait for others."""
        for number in range(count):
            if number == 0:
                place.switch("hold_weigh")
            runs = [place.start(workflow) for workflow in workflows]
            if number == 0:
                until(place.waiting)
                place.switch("hold_weigh", on=False)
            for run, workflow in zip(runs, workflows, strict=True):
                assert run.rows() == RIGHT[workflow]
                run.thread.join()
            assert len(FRAMES) == 0

    rounds(5)
    us = psutil.Process()
    descriptors, threads, memory = us.num_fds(), us.num_threads(), us.memory_info().rss
    rounds(25)
    until(lambda: us.num_fds() <= descriptors + 4, "files stay open")
    until(lambda: us.num_threads() <= threads + 4, "threads stay behind")
    assert us.memory_info().rss < memory + (64 << 20)
    assert place.calls < len(place.runs), "some were shared"

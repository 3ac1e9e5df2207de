"""The memo: a run calls no step whose result is there, and calls every step whose result may be another."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heddle.engine import Engine, RunOptions
from heddle.physical.cancel import CancelToken
from heddle.physical.events import StageFinished, StageTaken
from heddle.physical.memo import Memo
from heddle.physical.run_memo import RunMemo
from heddle.std.sinks import Streams
from tests.engine.harness import Ran, run

STEPS = """\
from pathlib import Path

import pyarrow.compute as pc

from heddle.core.step import StepConfig, StepContext
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="steps")
HERE = Path(__file__).parent


class Row(Table):
    id: int
    kind: str | None


class Plus(StepConfig):
    by: int = 1
    key: str = ""


def called(name):
    with (HERE / "calls").open("a") as calls:
        calls.write(name + "\\n")


def added(input, by):
    table = input.to_arrow()
    return Row(table.set_column(0, "id", pc.add(table["id"], by)))


@plugin.step(name="one", deterministic=True)
def one(input: Row, config: Plus) -> Row:
    called("one")
    return added(input, config.by)


@plugin.step(name="two", deterministic=True)
def two(input: Row, config: Plus) -> Row:
    called("two")
    return added(input, config.by)


@plugin.step(name="each", rows="map", deterministic=True)
def each(input: Row) -> Row:
    called("each")
    return added(input, 1)


@plugin.step(name="odd", rows="map", deterministic=True)
def odd(input: Row, context: StepContext) -> Row:
    called("odd")
    table = input.to_arrow()
    context.reject(pc.equal(pc.bit_wise_and(table["id"], 1), 0), "it is even")
    return Row(table)


@plugin.step(name="loose")
def loose(input: Row) -> Row:
    called("loose")
    return added(input, 1)


@plugin.step(name="told", effect=True)
def told(input: Row) -> Row:
    called("told")
    return Row(input.to_arrow())


if __name__ == "__main__":
    plugin.serve()
"""

ROWS = "id,kind\n1,a\n2,b\n3,a\n"
SIZE = 1 << 30


class Place:
    """A program whose steps write down their calls, and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program("steps.one | steps.two")
        self.write("steps.py", STEPS)
        self.write("rows.csv", ROWS)

    def write(self, name: str, text: str) -> None:
        """And wait until the file system's clock has gone on, so that the next writing shows."""
        path = self.folder / name
        path.write_text(text)
        while time.time() - path.stat().st_ctime < 0.2:
            time.sleep(0.01)

    def program(self, steps: str, head: str = "") -> None:
        (self.folder / "program.he").write_text(
            f'import "./steps" steps\n\nstep rows = io.csv {{ path: "rows.csv" }}\n\n{head}'
            f"workflow W {{\n  (from rows | sort id) | {steps} > done\n\n"
            f"  (from done | sort id) > found\n}}\n"
        )

    def run(self, **options: object) -> tuple[Ran, list[str]]:
        """The run, and the calls of steps in it."""
        calls = self.folder / "calls"
        calls.unlink(missing_ok=True)
        ran = run(self.folder / "program.he", ["found"], **{"memo_bytes": SIZE, **options})  # type: ignore[arg-type]
        assert ran.result.status in ("succeeded", "handled"), ran.result.error
        return ran, calls.read_text().split() if calls.exists() else []

    def ids(self, **options: object) -> tuple[list[object], list[str]]:
        ran, calls = self.run(**options)
        return [row["id"] for row in ran.rows("found")], calls

    @property
    def entries(self) -> list[Path]:
        return list((self.folder / "cache").rglob("*.memo"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield Place(tmp_path)


def test_nothing_runs_twice(place: Place) -> None:
    assert place.ids() == ([3, 4, 5], ["one", "two"])
    ran, calls = place.run()
    assert ([row["id"] for row in ran.rows("found")], calls) == ([3, 4, 5], [])
    (taken,) = [event for event in ran.events if isinstance(event, StageTaken)]
    assert (taken.how, taken.rows) == ("from the memo", 3)
    finished = [event.stage for event in ran.events if isinstance(event, StageFinished)]
    assert not any("1.0" in stage or "steps.one" in stage for stage in finished), "the input is not read"


def test_it_is_off_unless_asked_for(place: Place) -> None:
    for _ in range(2):
        assert place.ids(memo_bytes=None) == ([3, 4, 5], ["one", "two"])
    assert place.entries == []
    place.write("heddle.toml", '[memo]\nsize = "1GB"\n')
    place.ids(memo_bytes=None)
    assert place.ids(memo_bytes=None) == ([3, 4, 5], [])
    assert place.ids(memo_bytes=0) == ([3, 4, 5], ["one", "two"])


def test_only_what_depends_on_a_change_runs(place: Place) -> None:
    place.ids()
    place.program("steps.one | steps.two { by: 10 }")
    assert place.ids() == ([12, 13, 14], ["two"])
    place.program("steps.one { by: 2 } | steps.two")
    assert place.ids() == ([4, 5, 6], ["one", "two"])
    place.program("steps.one | steps.two")
    assert place.ids() == ([3, 4, 5], [])


def test_changed_rows_are_another_input(place: Place) -> None:
    place.ids()
    place.write("rows.csv", "id,kind\n7,a\n")
    assert place.ids() == ([9], ["one", "two"])


def test_changed_code_is_another_step(place: Place) -> None:
    place.ids()
    place.write(
        "steps.py", STEPS.replace("return added(input, config.by)", "return added(input, config.by + 1)")
    )
    assert place.ids() == ([5, 6, 7], ["one", "two"])


def test_what_is_behind_a_kept_result_may_change(place: Place) -> None:
    place.ids()
    text = (place.folder / "program.he").read_text()
    place.write("program.he", text.replace("from done | sort id", "from done | filter id > 3 | sort id"))
    assert place.ids() == ([4, 5], [])


@pytest.mark.parametrize(("age_s", "trusted"), [(0.05, False), (5.0, True)])
def test_a_file_written_just_now_is_not_trusted(place: Place, age_s: float, trusted: bool) -> None:
    """Within a tick of the clock it could be written again without a trace."""
    written_s = (place.folder / "rows.csv").stat().st_mtime
    with Engine.open(place.folder / "program.he") as engine:
        program = engine.check().program
        assert program is not None
        plan = engine.plan(program, RunOptions())
        memo = RunMemo(
            Memo(place.folder, SIZE),
            plan,
            engine._setup.resolved(program, [plan]),
            place.folder,
            lambda: datetime.fromtimestamp(written_s + age_s, UTC),
        )
    assert bool(memo) is trusted


@pytest.mark.parametrize("steps", ["steps.loose", "steps.told"])
def test_what_is_not_deterministic_runs_each_time(place: Place, steps: str) -> None:
    place.program(steps)
    name = steps.removeprefix("steps.")
    for _ in range(2):
        assert place.run()[1] == [name]
    assert place.entries == []


def test_what_is_behind_such_a_step_runs_each_time(place: Place) -> None:
    place.program("steps.one | steps.loose | steps.two")
    assert place.run()[1] == ["one", "loose", "two"]
    assert place.run()[1] == ["loose", "two"]


def test_steps_in_one_call_have_one_entry(place: Place) -> None:
    place.program("steps.each | steps.each | steps.each")
    assert place.ids() == ([4, 5, 6], ["each"] * 3)
    assert len(place.entries) == 1
    assert place.ids() == ([4, 5, 6], [])


def test_rejected_rows_reach_their_handler_each_time(place: Place) -> None:
    handler = "handler kept {\n  *\n    | (from input | select {error_msg})\n    | io.print\n}\n\n"
    place.program("steps.odd ? kept", head=handler)
    for _ in range(2):
        ran, calls = place.run()
        assert calls == ["odd"] and "it is even" in ran.out
    assert place.entries == []


def test_no_secret_is_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "abc")
    place.program('steps.one { key: secret("KEY") } | steps.two')
    for _ in range(2):
        assert place.run()[1] == ["one", "two"]
    assert place.entries == []


@pytest.mark.parametrize("options", [{"optimize": False}, {"check_steps": True}])
def test_runs_that_compare_results_keep_none(place: Place, options: dict[str, object]) -> None:
    place.ids()
    ids, calls = place.ids(**options)
    assert ids == [3, 4, 5] and {"one", "two"} <= set(calls)


def test_a_small_memo_forgets_and_damage_is_harmless(place: Place) -> None:
    assert place.ids(memo_bytes=10) == ([3, 4, 5], ["one", "two"])
    assert place.entries == []
    place.ids()
    for entry in place.entries:
        entry.write_bytes(entry.read_bytes()[:-5])
    assert place.ids() == ([3, 4, 5], ["one", "two"])
    assert place.ids() == ([3, 4, 5], [])


def test_explain_says_what_is_kept(place: Place) -> None:
    place.program("steps.one | steps.loose")
    options = RunOptions(memo_bytes=SIZE)

    def explained() -> str:
        with Engine.open(place.folder / "program.he") as engine:
            program = engine.check().program
            assert program is not None
            return engine.explain(program, options).to_text()

    assert "+ memo: its result goes to the memo" in explained()
    assert "- memo: not kept: it is not declared as deterministic" in explained()
    place.run()
    assert "+ memo: its result is in the memo" in explained()


def test_analyze_says_what_was_taken(place: Place) -> None:
    place.run()
    with Engine.open(place.folder / "program.he") as engine:
        program = engine.check().program
        assert program is not None
        streams = Streams(io.StringIO(), io.StringIO())
        options = RunOptions(memo_bytes=SIZE)
        explanation, _ = engine.analyze(program, options, lambda event: None, CancelToken(), streams)
    assert "B, from the memo" in explanation.to_text(), explanation.to_text()

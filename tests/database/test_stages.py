"""The stages of a run, as front doors tell of them."""

from __future__ import annotations

from heddle.database.stages import STAGES_MAX, StageRuns
from heddle.physical.events import RunWarning, StageFinished, StageStarted, StageTaken


def finished(stage: str, *, rows: int = 1, run: str = "r") -> StageFinished:
    return StageFinished(run, stage, "succeeded", rows, 8 * rows, 0.5, cpu_s=0.25)


def test_stages_that_have_ended() -> None:
    runs = StageRuns()
    runs(StageStarted("r", "Shop/1:query", "query", 1.0))
    runs(StageStarted("r", "Shop/2:step", "step shop.geocode", 1.0))
    runs(RunWarning("r", None, "something"))
    runs(finished("Shop/2:step", rows=3))
    runs(finished("Shop/3:other"))
    runs(StageTaken("r", "Shop/0:step", "step shop.read", "from the result cache", 7, 56))
    step, taken = runs
    assert (step.path, step.label, step.status) == ("Shop/2:step", "step shop.geocode", "succeeded")
    assert (step.rows, step.size_bytes, step.cpu_s, step.duration_s) == (3, 24, 0.25, 0.5)
    assert step.taken is None
    assert (taken.label, taken.rows, taken.taken) == ("step shop.read", 7, "from the result cache")
    assert step.ended_ns <= taken.ended_ns


def test_runs_of_one_statement_do_not_mix() -> None:
    runs = StageRuns()
    runs(StageStarted("a", "query", "first", 1.0))
    runs(StageStarted("b", "query", "second", 1.0))
    runs(finished("query", run="b"))
    assert [run.label for run in runs] == ["second"]


def test_there_are_not_more_than_that() -> None:
    runs = StageRuns()
    for number in range(2 * STAGES_MAX):
        runs(StageStarted("r", str(number), "query", 1.0))
        runs(finished(str(number)))
        runs(StageTaken("r", str(number), "query", "kept", 1, 8))
    assert len(list(runs)) == STAGES_MAX

"""Runs in turns: streams are read a turn at a time, and count as read when the turn's effects are there."""

from __future__ import annotations

import json
import shutil
import textwrap
from pathlib import Path

import pytest

from heddle.errors import ProgramError
from heddle.physical.cancel import EndSwitch
from heddle.physical.events import (
    Event,
    RunFinished,
    RunWarning,
    StageFinished,
    StageStarted,
    TurnFinished,
)
from tests.engine.harness import Ran, check, run

STEPS = Path(__file__).with_name("turn_steps.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "heddle.toml").write_text('[plugins]\n"turns" = "turn_steps.py"\n')
    shutil.copy(STEPS, tmp_path)
    return tmp_path


def run_program(folder: Path, text: str, *, inline: bool = True, **options: object) -> Ran:
    """`inline`: the steps run in this process, which is where most of the time would go."""
    program = folder / "program.he"
    program.write_text('import "turns" turns\n' + textwrap.dedent(text).replace("FOLDER", str(folder)))
    return run(program, inline=inline, **options)  # type: ignore[arg-type]


def turns_of(ran: Ran) -> list[TurnFinished]:
    return [event for event in ran.events if isinstance(event, TurnFinished)]


def position_of(folder: Path, name: str = "in") -> int:
    offset = json.loads((folder / f"{name}.position").read_text())["offset"]
    assert isinstance(offset, int)
    return offset


def write_numbers(folder: Path, *numbers: object, name: str = "in") -> None:
    with (folder / f"{name}.txt").open("a") as file:
        file.writelines(f"{number}\n" for number in numbers)


COUNTED = """
    workflow W {
      turns.lines { path: "FOLDER/in.txt", SETTINGS }
        | (from input | aggregate {count = count this, total = sum number})
        | io.print { format: "csv" }
    }
"""


def test_a_bounded_stream_is_one_turn(folder: Path) -> None:
    write_numbers(folder, *range(10))
    ran = run_program(folder, COUNTED.replace("SETTINGS", 'until: "latest"'))
    assert ran.out == "count,total\n10,45\n"
    assert [turn.rows for turn in turns_of(ran)] == [10]
    assert ran.result.status == "succeeded"
    assert ran.result.turns == 1
    assert position_of(folder) == 20


def test_with_commit_every_a_bounded_stream_has_several_turns(folder: Path) -> None:
    write_numbers(folder, *range(10))
    text = COUNTED.replace("SETTINGS", 'until: "latest", commit_every: "1s"').replace(
        "}\n        | (from", "} ! {batch: {max_rows: 4}}\n        | (from"
    )
    ran = run_program(folder, text)
    assert ran.out == "count,total\n4,6\n4,22\n2,17\n"
    assert [(turn.turn, turn.rows) for turn in turns_of(ran)] == [(1, 4), (2, 4), (3, 2)]
    assert [next(iter(turn.lags.values())) for turn in turns_of(ran)] == [6, 2, 0]
    assert position_of(folder) == 20


def test_a_table_is_printed_for_each_turn_that_has_rows_for_it(folder: Path) -> None:
    write_numbers(folder, 9, 1, 8)
    text = """
        workflow W {
          turns.lines { path: "FOLDER/in.txt", until: "latest", commit_every: "1s" } ! {batch: {max_rows: 1}}
            | (from input | filter number > 5 | select {number})
            | io.print
        }
    """
    assert run_program(folder, text).out == "".join(f"number\n------\n     {n}\n" for n in (9, 8))


def test_a_bounded_stream_without_rows_is_an_empty_table(folder: Path) -> None:
    write_numbers(folder)
    ran = run_program(folder, COUNTED.replace("SETTINGS", 'until: "latest"'))
    assert ran.out == "count,total\n0,0\n"


FOLLOWED = """
    workflow W {
      turns.lines { path: "FOLDER/in.txt", commit_every: "20ms" }
        | turns.check
        | turns.append { path: "FOLDER/out.txt" }
    }
"""


def numbers_out(folder: Path, name: str = "out") -> list[int]:
    path = folder / f"{name}.txt"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_next_run_begins_where_the_last_one_ended(folder: Path) -> None:
    write_numbers(folder, 1, 2, 3)
    first = run_program(folder, FOLLOWED, inline=False, turns_max=1)
    write_numbers(folder, 4, 5)
    second = run_program(folder, FOLLOWED, idle_s=0.05)
    assert (first.result.turns, second.result.turns) == (1, 1)
    assert numbers_out(folder) == [1, 2, 3, 4, 5]
    assert (folder / "in.log").read_text().splitlines() == ["opened", "closed"] * 2


def test_empty_turns_run_nothing(folder: Path) -> None:
    write_numbers(folder)
    ran = run_program(folder, FOLLOWED, idle_s=0.3)
    assert ran.result.turns == 0
    assert not turns_of(ran)
    stages = {event.stage for event in ran.events if isinstance(event, StageStarted)}
    assert stages == {"W/1.0:turns.lines"}


def test_stages_are_told_of_once(folder: Path) -> None:
    write_numbers(folder, *range(6))
    text = FOLLOWED.replace("}\n        | turns.check", "} ! {batch: {max_rows: 2}}\n        | turns.check")
    ran = run_program(folder, text, turns_max=3)
    started = [event.stage for event in ran.events if isinstance(event, StageStarted)]
    finished = {event.stage: event.rows for event in ran.events if isinstance(event, StageFinished)}
    assert len(started) == len(set(started)) == len(finished)
    assert finished["W/1.0:turns.lines"] == 6
    assert [event.turns for event in ran.events if isinstance(event, RunFinished)] == [3]
    assert numbers_out(folder) == list(range(6))


STILL = """
    workflow W {
      turns.names { path: "FOLDER/names.log" }
        > names

      io.csv { path: "FOLDER/words.csv" }
        > words

      names
        | (from input | filter number > 1)
        > some

      turns.lines { path: "FOLDER/in.txt", until: "latest", commit_every: "1s" } ! {batch: {max_rows: 2}}
        | (from input | join some (==number) | join words (==number) | select {number, some.name, words.said})
        | io.print { format: "csv" }
    }
"""


@pytest.mark.parametrize("optimize", [True, False])
def test_what_depends_on_no_stream_is_computed_once(folder: Path, optimize: bool) -> None:
    write_numbers(folder, 1, 2, 3, 2)
    (folder / "words.csv").write_text("number,said,more\n1,eins,x\n2,zwei,x\n3,drei,x\n")
    ran = run_program(folder, STILL, optimize=optimize)
    assert ran.result.turns == 2
    assert ran.out.splitlines()[0] == "number,name,said"
    assert sorted(ran.out.splitlines()[1:]) == ["2,two,zwei", "2,two,zwei", "3,three,drei"]
    assert (folder / "names.log").read_text() == "called\n"
    words = [e.rows for e in ran.events if isinstance(e, StageFinished) and e.stage.endswith(":once")]
    assert words == [3]


def test_a_failing_turn_ends_the_run_and_leaves_nothing(folder: Path) -> None:
    write_numbers(folder, 1, 2, 3, "4 boom", 5)
    text = FOLLOWED.replace("}\n        | turns.check", "} ! {batch: {max_rows: 2}}\n        | turns.check")
    ran = run_program(folder, text)
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert "another run begins with its rows" in (ran.result.error.help or "")
    assert numbers_out(folder) == [1, 2]
    assert position_of(folder) == 4
    (folder / "in.txt").write_text("1\n2\n3\n4 fine\n5\n")
    again = run_program(folder, text, idle_s=0.05)
    assert again.result.status == "succeeded"
    assert numbers_out(folder) == [1, 2, 3, 4, 5]


HANDLED = """
    handler park {
      *
        | (from input | select {error_type, error_msg, payload})
        | io.json { path: "FOLDER/parked-{turn}.jsonl" }
    }
""" + FOLLOWED.replace("workflow W", "workflow W ? park")


def parked(folder: Path) -> list[dict[str, str]]:
    files = sorted(folder.glob("parked-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_rows_on_which_a_turn_fails_go_to_the_handler(folder: Path) -> None:
    write_numbers(folder, 1, 2, 3, "4 boom", 5)
    text = HANDLED.replace("}\n        | turns.check", "} ! {batch: {max_rows: 2}}\n        | turns.check")
    ran = run_program(folder, text, idle_s=0.05)
    assert ran.result.status == "handled"
    assert ran.result.turns == 3
    assert numbers_out(folder) == [1, 2, 5]
    assert [json.loads(row["payload"])["number"] for row in parked(folder)] == [3, 4]
    assert position_of(folder) == len((folder / "in.txt").read_bytes())


def test_records_that_are_no_rows_go_to_the_handler(folder: Path) -> None:
    write_numbers(folder, 1, "one", 2, "two", "three")
    ran = run_program(folder, HANDLED, inline=False, idle_s=0.05)
    assert ran.result.status == "handled"
    assert numbers_out(folder) == [1, 2]
    assert parked(folder) == [
        {"error_type": "BadLine", "error_msg": "this is no number", "payload": f'{{"line":"{line}"}}'}
        for line in ("one", "two", "three")
    ]


def test_records_without_a_handler_fail_the_run(folder: Path) -> None:
    write_numbers(folder, 1, "one")
    ran = run_program(folder, FOLLOWED)
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert "rejected 1 row" in ran.result.error.message
    assert numbers_out(folder) == []
    assert not (folder / "in.position").exists()


TWO = """
    workflow W {
      turns.lines { path: "FOLDER/in.txt", SETTINGS }
        > left

      turns.lines { path: "FOLDER/other.txt", SETTINGS }
        > right

      (from left | join right (==number) | select {number, left.word})
        | io.print { format: "csv" }
    }
"""


def test_two_streams_are_read_in_one_turn(folder: Path) -> None:
    write_numbers(folder, "1 a", "2 b", "3 c")
    write_numbers(folder, 2, 3, 4, name="other")
    text = TWO.replace("SETTINGS", 'until: "latest", commit_every: "1s"')
    ran = run_program(folder, text, inline=False)
    assert sorted(ran.out.splitlines()) == ["2,b", "3,c", "number,word"]
    assert [turn.rows for turn in turns_of(ran)] == [6]
    assert (position_of(folder), position_of(folder, "other")) == (12, 6)


def test_a_stream_that_waits_does_not_keep_another_from_ending(folder: Path) -> None:
    write_numbers(folder, "1 a")
    write_numbers(folder, name="other")
    ran = run_program(folder, TWO.replace("SETTINGS", 'commit_every: "20ms"'), turns_max=1)
    assert ran.out == "number,word\n"
    assert position_of(folder) == 4


def test_a_read_that_fails_is_made_again_from_the_last_commit(folder: Path) -> None:
    write_numbers(folder, 1, 2, 3)
    text = FOLLOWED.replace('"20ms"', '"20ms", fails: 1')
    assert run_program(folder, text).result.status == "failed"
    (folder / "in.failed").unlink()
    retried = text.replace(
        "}\n        | turns.check", '} ! {retry: {attempts: 2, backoff: "fixed 1ms"}}\n        | turns.check'
    )
    ran = run_program(folder, retried, idle_s=0.05)
    assert ran.result.status == "succeeded"
    assert numbers_out(folder) == [1, 2, 3]


def test_a_read_that_fails_for_good_goes_to_the_handler_and_ends_the_run(folder: Path) -> None:
    write_numbers(folder, 1, 2)
    ran = run_program(folder, HANDLED.replace('"20ms"', '"20ms", fails: 1'))
    assert ran.result.status == "handled"
    assert [(row["error_type"], row["payload"]) for row in parked(folder)] == [("ConnectionError", None)]
    assert numbers_out(folder) == []
    assert not (folder / "in.position").exists()


def test_a_position_that_cannot_be_committed_fails_the_run(folder: Path) -> None:
    write_numbers(folder, 1, 2)
    ran = run_program(folder, FOLLOWED.replace('"20ms"', '"20ms", commit_fails: true'))
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert ran.result.error.message == "how far it was read could not be committed: nobody listens"
    assert "process them again" in (ran.result.error.help or "")
    assert numbers_out(folder) == [1, 2]
    assert not turns_of(ran)


STORED = """
    workflow W {
      turns.lines { path: "FOLDER/in.txt", until: "latest", commit_every: "1s" } ! {batch: {max_rows: 2}}
        > numbers

      numbers
        | turns.store { path: "FOLDER/store.txt" }

      numbers
        | turns.check
        | io.print { format: "csv" }
    }
"""


def test_a_writer_commits_in_every_turn(folder: Path) -> None:
    write_numbers(folder, 1, 2, 3)
    ran = run_program(folder, STORED, inline=False)
    assert ran.result.status == "succeeded"
    assert (folder / "store.txt").read_text().splitlines() == ["1 2", "3"]


def test_a_writer_of_a_failing_turn_is_aborted(folder: Path) -> None:
    write_numbers(folder, 1, 2, 3, "4 boom")
    ran = run_program(folder, STORED)
    assert ran.result.status == "failed"
    assert (folder / "store.txt").read_text().splitlines() == ["1 2", "aborted"]
    assert position_of(folder) == 4
    assert ran.out.count("number,word") == 1


def test_rows_that_a_writer_fails_on_are_parked_and_the_turn_counts(folder: Path) -> None:
    write_numbers(folder, 1, 2, "3 full", 4, 5)
    head, _, _ = HANDLED.partition("workflow")
    ran = run_program(folder, head + STORED.strip().replace("workflow W", "workflow W ? park"))
    assert ran.result.status == "handled"
    assert (folder / "store.txt").read_text().splitlines() == ["1 2", "aborted", "5"]
    assert [json.loads(row["payload"])["number"] for row in parked(folder)] == [3, 4]
    assert position_of(folder) == len((folder / "in.txt").read_bytes())


def test_a_handler_gets_all_rows_of_a_turn_that_nothing_has_come_of(folder: Path) -> None:
    """The calls before the one that fails are undone with it, those behind it are not made."""
    write_numbers(folder, 1, 2, "3 boom", 4, 5)
    text = HANDLED.replace("turns.check", "turns.check ! {batch: {max_rows: 2}}")
    ran = run_program(folder, text, turns_max=1)
    assert ran.result.status == "handled"
    assert numbers_out(folder) == []
    assert [json.loads(row["payload"])["number"] for row in parked(folder)] == [1, 2, 3, 4, 5]


def test_a_handler_gets_the_rows_on_which_a_query_fails(folder: Path) -> None:
    write_numbers(folder, "1 7", "2 eight", "3 9")
    text = 'import "std/col" col\n' + HANDLED.replace(
        "turns.check", 'col.cast { word: "int" }\n    | col.cast { word: "string" }'
    )
    ran = run_program(folder, text, turns_max=1)
    assert ran.result.status == "handled"
    assert [json.loads(row["payload"])["word"] for row in parked(folder)] == ["7", "eight", "9"]
    assert position_of(folder) == len((folder / "in.txt").read_bytes())


def test_error_rows_on_which_a_handler_fails_go_to_the_other_one(folder: Path) -> None:
    write_numbers(folder, "1 boom", 2)
    text = HANDLED.replace("turns.check", "turns.check ? convert")
    head = """
        import "std/col" col

        handler convert {
          *
            | col.cast { payload: "int" }
            | (from input | filter payload > 0)
            | io.stderr
        }
    """
    ran = run_program(folder, textwrap.dedent(head) + text, turns_max=1)
    assert ran.result.status == "handled"
    first = [json.loads(json.loads(row["payload"])["payload"])["number"] for row in parked(folder)]
    assert first == [1, 2]


BOUNDED = HANDLED.replace('commit_every: "20ms"', 'until: "latest"')


def test_a_bounded_stream_is_read_again_when_a_stage_has_failed(folder: Path) -> None:
    write_numbers(folder, 1, "2 boom")
    ran = run_program(folder, BOUNDED)
    assert ran.result.status == "handled"
    assert [json.loads(row["payload"])["number"] for row in parked(folder)] == [1, 2]
    assert not (folder / "in.position").exists()
    assert any("does not count as read" in e.message for e in ran.events if isinstance(e, RunWarning))


def test_a_bounded_stream_counts_as_read_when_only_records_were_rejected(folder: Path) -> None:
    write_numbers(folder, 1, "two", 3)
    ran = run_program(folder, BOUNDED)
    assert ran.result.status == "handled"
    assert numbers_out(folder) == [1, 3]
    assert len(parked(folder)) == 1
    assert position_of(folder) == 8


def test_a_bounded_stream_is_read_to_its_end_whatever_is_taken_of_it(folder: Path) -> None:
    write_numbers(folder, *range(10))
    text = FOLLOWED.replace('commit_every: "20ms"', 'until: "latest"').replace(
        "turns.check", "(from input | take 3)"
    )
    ran = run_program(folder, text)
    assert ran.result.status == "succeeded"
    assert numbers_out(folder) == [0, 1, 2]
    assert [turn.rows for turn in turns_of(ran)] == [10]
    assert position_of(folder) == 20


def test_a_bounded_stream_that_fails_is_read_again_where_its_policy_says_so(folder: Path) -> None:
    write_numbers(folder, 1, 2, 3)
    text = FOLLOWED.replace('commit_every: "20ms"', 'until: "latest", fails: 1').replace(
        "}\n        | turns.check", '} ! {retry: {attempts: 2, backoff: "fixed 1ms"}}\n        | turns.check'
    )
    ran = run_program(folder, text)
    assert ran.result.status == "succeeded"
    assert numbers_out(folder) == [1, 2, 3]


def findings(folder: Path, text: str) -> list[tuple[str, str, str]]:
    program = folder / "program.he"
    program.write_text('import "turns" turns\n' + textwrap.dedent(text).replace("FOLDER", str(folder)))
    return [(found.code, found.severity, found.message) for found in check(program)]


def test_check_warns_of_what_is_said_of_one_turns_rows(folder: Path) -> None:
    write_numbers(folder)
    write_numbers(folder, name="other")
    endless = findings(folder, COUNTED.replace("SETTINGS", 'commit_every: "1s"'))
    assert endless == [
        (
            "HD0630",
            "warning",
            "`aggregate` is over the rows of one turn: `turns.lines` is read in turns",
        )
    ]
    assert findings(folder, COUNTED.replace("SETTINGS", 'until: "latest"')) == []
    joined = findings(folder, TWO.replace("SETTINGS", 'commit_every: "1s"'))
    assert [message for _, _, message in joined] == [
        "this join is over the rows of one turn: `turns.lines` is read in turns"
    ]


FILED = """
    workflow W {
      turns.lines { path: "FOLDER/in.txt", SETTINGS }
        | io.csv { path: "FOLDER/OUT" }
    }
"""


def test_a_file_that_turns_would_write_over_is_refused(folder: Path) -> None:
    write_numbers(folder, 1)
    text = FILED.replace("OUT", "out.csv")
    assert [f[:2] for f in findings(folder, text.replace("SETTINGS", 'commit_every: "1s"'))] == [
        ("HD0730", "error")
    ]
    assert findings(folder, text.replace("SETTINGS", 'until: "latest"')) == []
    for cure in ('out-{turn}.csv"', 'out.csv", mode: "append"'):
        cured = FILED.replace('OUT"', cure).replace("SETTINGS", 'commit_every: "1s"')
        assert findings(folder, cured) == []


def test_an_output_that_turns_would_write_over_is_refused(folder: Path) -> None:
    write_numbers(folder, 1)
    text = 'workflow W {\n  turns.lines { path: "FOLDER/in.txt" }\n    > rows\n}\n'
    with pytest.raises(ProgramError, match="writes in every turn"):
        run_program(folder, text, outputs=("rows",))


def test_each_turn_writes_a_file_of_its_own(folder: Path) -> None:
    write_numbers(folder, 1, 2, 3)
    text = FILED.replace("OUT", "out-{turn}.csv").replace("SETTINGS", 'until: "latest", commit_every: "1s"')
    ran = run_program(folder, text.replace("}\n        | io", "} ! {batch: {max_rows: 2}}\n        | io"))
    run_id = ran.result.run_id
    assert (folder / f"out-{run_id}-000001.csv").read_text() == 'number,word\n1,""\n2,""\n'
    assert (folder / f"out-{run_id}-000002.csv").read_text() == 'number,word\n3,""\n'


def test_turns_append_to_a_file(folder: Path) -> None:
    write_numbers(folder, 1, 2, 3)
    text = FILED.replace('OUT"', 'out.csv", mode: "append"').replace(
        "SETTINGS", 'until: "latest", commit_every: "1s"'
    )
    run_program(folder, text.replace("}\n        | io", "} ! {batch: {max_rows: 2}}\n        | io"))
    assert (folder / "out.csv").read_text() == 'number,word\n1,""\n2,""\n3,""\n'


def test_a_stream_is_read_in_one_place(folder: Path) -> None:
    write_numbers(folder)
    read = '  turns.lines { path: "FOLDER/in.txt", until: "latest" }\n    | io.print\n'
    assert [found[:2] for found in findings(folder, f"workflow W {{\n{read}\n{read}}}\n")] == [
        ("HD0732", "error")
    ]


def test_a_handler_reads_no_stream(folder: Path) -> None:
    write_numbers(folder)
    handler = 'handler h {\n  turns.lines { path: "FOLDER/in.txt", until: "latest" }\n    | io.print\n}\n'
    text = handler + "workflow W ? h {\n  [{ a: 1 }]\n    | io.print\n}\n"
    assert [found[:2] for found in findings(folder, text)] == [("HD0731", "error")]


def test_a_run_that_is_asked_to_end_finishes_its_turn(folder: Path) -> None:
    write_numbers(folder, 1, 2)
    ending = EndSwitch()
    assert not ending.ask(), "nobody listens yet"

    def end_after_a_turn(event: Event) -> None:
        if isinstance(event, TurnFinished):
            write_numbers(folder, 3)
            assert ending.ask()

    ran = run_program(folder, FOLLOWED, ending=ending, listener=end_after_a_turn)
    assert ran.result.status == "succeeded"
    assert numbers_out(folder) == [1, 2]
    assert position_of(folder) == 4

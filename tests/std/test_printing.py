"""Rows on the screen, letter by letter."""

from __future__ import annotations

import datetime as dt
import io
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from heddle.std.sinks import SinkError, Streams, WrittenTarget, open_sink

PEOPLE = pa.table(
    {
        "id": [1, 20, 300],
        "name": ["ada", None, "grace\nhopper"],
        "paid": pa.array([Decimal("1.50"), None, Decimal("200.00")], pa.decimal128(10, 2)),
        "share": [0.5, 1.0, None],
        "at": pa.array([dt.datetime(2024, 5, 1, 10), None, None], pa.timestamp("us", "UTC")),
        "tags": [["x", "y"], [], None],
    }
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(table: pa.Table, step: str = "print", stream: io.StringIO | None = None, **config: Any) -> str:
    stream = stream or io.StringIO()
    other = io.StringIO()
    streams = Streams(other, stream) if step == "stderr" else Streams(stream, other)
    sink = open_sink(step, config, Path(), table.schema, streams)
    for batch in table.to_batches(max_chunksize=2):
        sink.write(batch)
    sink.prepare()
    assert stream.getvalue() == ""
    target = sink.commit()
    assert target == WrittenTarget("stderr" if step == "stderr" else "stdout", table.num_rows)
    assert other.getvalue() == ""
    return stream.getvalue()


def page(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


@pytest.mark.parametrize("step", ["print", "stdout", "stderr"])
def test_tables_are_aligned_by_type(step: str) -> None:
    assert shown(PEOPLE, step) == page(
        r"""
         id  name            paid  share  at                    tags
        ---  -------------  ------  -----  --------------------  ---------
          1  ada              1.50    0.5  2024-05-01T10:00:00Z  ["x","y"]
         20  null             null    1.0  null                  []
        300  grace\nhopper  200.00   null  null                  null
        """
    ).replace("name            paid", "name             paid")


def test_only_the_first_rows_are_shown() -> None:
    table = pa.table({"a": range(53)})
    lines = shown(table).splitlines()
    assert len(lines) == 2 + 50 + 1
    assert lines[-2:] == ["49", "… 3 more rows"]
    assert shown(table, limit=52).endswith("51\n… 1 more row\n")
    assert shown(table, limit=0) == "a\n-\n… 53 more rows\n"


def test_titles_and_no_rows() -> None:
    assert shown(pa.table({"abc": pa.array([], pa.int64())}), title="W.out") == "W.out\nabc\n---\n(no rows)\n"


def test_wide_tables_are_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    table = pa.table({"id": [1], "text": ["x" * 100], "more": ["y" * 5]})
    lines = shown(table, stream=Terminal()).splitlines()
    assert max(map(len, lines)) <= 30
    assert lines[2] == "id  text                 more".replace("id", " 1").replace(
        "text                 more", "xxxxxxxxxxxxxxxxxx…  yyyyy"
    )
    assert "x" * 100 in shown(table)
    narrow = shown(pa.table({f"column_{i}": ["abcdefghijkl"] for i in range(6)}), width=30).splitlines()
    assert narrow[-1] == "… 3 more columns: column_3, column_4, column_5"


def test_wide_characters_take_two_places() -> None:
    assert shown(pa.table({"a": ["日本", "x"], "b": ["1", "2"]})) == "a     b\n----  -\n日本  1\nx     2\n"


def test_control_characters_cannot_reach_the_terminal() -> None:
    assert shown(pa.table({"a\x1b[31m": ["\x1b[2J\t"]})) == "a\\x1b[31m\n---------\n\\x1b[2J\\t\n"


def test_csv_json_and_markdown() -> None:
    table = PEOPLE.select(["id", "name", "share"])
    assert shown(table, format="csv") == 'id,name,share\n1,ada,0.5\n20,,1.0\n300,"grace\nhopper",\n'
    assert shown(table, format="json").splitlines()[1] == '{"id":20,"name":null,"share":1.0}'
    assert shown(pa.table({"a": range(60)}), format="csv").count("\n") == 61
    assert shown(pa.table({"a": range(60)}), format="csv", limit=5).count("\n") == 6
    assert shown(pa.table({"a": [1], "b": ["x|y"]}), format="markdown") == page(
        r"""
        | a | b |
        | ---: | --- |
        | 1 | x\|y |
        """
    )


def test_aborted_rows_are_never_shown() -> None:
    stream = io.StringIO()
    sink = open_sink("print", {}, Path(), PEOPLE.schema, Streams(stream, stream))
    sink.write(PEOPLE.to_batches()[0])
    sink.abort()
    assert stream.getvalue() == ""


def test_a_closed_pipe_is_no_traceback() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    sink = open_sink("print", {}, Path(), PEOPLE.schema, Streams(Closed(), io.StringIO()))
    with pytest.raises(SinkError) as caught:
        sink.commit()
    assert caught.value.error_type == "BrokenPipe"

"""What an engine answers to a query: its rows, that it fails, or why it is not given the query."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from heddle.engine import Engine, RunOptions
from heddle.errors import UsageError
from heddle.logical.plan import EngineChoice
from heddle.physical.cancel import CancelToken
from heddle.std.sinks import Streams
from tests.sql_logic.data import TABLES

RELATIVE_MAX = 1e-12
"""How far floats are apart at most that differ by the order of additions."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The run failed; the message is its error's."""

    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The engine does not take the query."""

    reason: str


Answer: TypeAlias = pa.Table | Failed | Refused


def write_tables(folder: Path) -> None:
    for name, table in TABLES.items():
        pq.write_table(table, folder / f"{name}.parquet")


def answer(folder: Path, query: str, engine: EngineChoice) -> Answer:
    """The answer to a query over the tables of a folder."""
    target = folder / f"{engine}.arrow"
    target.unlink(missing_ok=True)
    path = folder / "battery.he"
    path.write_text(_program(query))
    streams = Streams(io.StringIO(), io.StringIO())
    with Engine.open(path, environ={}) as opened:
        checked = opened.check()
        assert checked.program is not None, [d.message for d in checked.diagnostics]
        options = RunOptions(outputs={"answer": str(target)}, engine=engine)
        try:
            result = opened.run(checked.program, options, lambda event: None, CancelToken(), streams)
        except UsageError as refused:
            return Refused(str(refused))
    if result.error is not None:
        return Failed(str(result.error))
    with pa.OSFile(str(target)) as file:
        return pa.ipc.open_file(file).read_all()


def _program(query: str) -> str:
    steps = [
        f'step {name} = io.parquet {{ path: "{name}.parquet" }}\n'
        for name in TABLES
        if re.search(rf"\b(?:from|join|append|intersect|remove)\b[^|]*\b{name}\b", query)
    ]
    return "\n".join([*steps, f"workflow Battery {{\n  ({query})\n    > answer\n}}\n"])


def difference(one: Answer, other: Answer, *, ordered: bool, close: bool) -> str | None:
    """How two answers differ, None when they are the same."""
    if not isinstance(one, pa.Table) or not isinstance(other, pa.Table):
        same = isinstance(one, Failed) and isinstance(other, Failed)
        return None if same else f"{_outcome(one)} / {_outcome(other)}"
    if one.num_columns != other.num_columns:
        return f"{one.num_columns} columns / {other.num_columns} columns"
    if one.schema.names != other.schema.names or one.schema.types != other.schema.types:
        pairs = zip(one.schema, other.schema, strict=True)
        return ", ".join(f"{a.name}: {a.type} / {b.name}: {b.type}" for a, b in pairs if not a.equals(b))
    left, right = _rows(one, ordered=ordered), _rows(other, ordered=ordered)
    if len(left) != len(right):
        return f"{len(left)} rows / {len(right)} rows"
    for mine, yours in zip(left, right, strict=True):
        for name, a, b in zip(one.schema.names, mine, yours, strict=True):
            if a != b and not (close and _is_close(a, b)):
                return f"{name}: {a!r} / {b!r} in {mine!r}"
    return None


def _outcome(answer: Answer) -> str:
    return f"{answer.num_rows} rows" if isinstance(answer, pa.Table) else str(answer)


def _rows(table: pa.Table, *, ordered: bool) -> list[tuple[object, ...]]:
    rows = list(zip(*(_values(column) for column in table.columns), strict=True))
    return rows if ordered else sorted(rows, key=repr)


def _values(column: pa.ChunkedArray) -> list[object]:
    """Values that compare: NaN equals itself, the zeros are two, times are numbers (they may be far away)."""
    if pa.types.is_temporal(column.type) and not pa.types.is_interval(column.type):
        column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
    return [_comparable(value) for value in column.to_pylist()]


def _comparable(value: object) -> object:
    if isinstance(value, float) and (math.isnan(value) or value == 0):
        return repr(value)
    return value


def _is_close(a: object, b: object) -> bool:
    numbers = (int, float, Decimal)
    if not isinstance(a, numbers) or not isinstance(b, numbers):
        return False
    return math.isclose(a, b, rel_tol=RELATIVE_MAX)


def describe(answers: Mapping[str, Answer]) -> str:
    """Answers for a test's message."""
    return "\n".join(f"{engine}: {_outcome(answer)}" for engine, answer in answers.items())

"""Holding a step to what it declares, on some of its calls: `heddle run --check-steps`.

The optimizer believes declarations, and a wrong one gives wrong answers without a word. Here a sampled call
is compared with its input, and a step that is pure is called again with the same rows and with halves of
them. What differs is told as the declaration that does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import TypeAlias

import pyarrow as pa

from heddle.logical.plan import Step
from heddle.udf_bridge.transport import CallResult, StepContractError

Again: TypeAlias = Callable[[pa.Table], CallResult]
"""Calls the step once more. Raises `FailedCall`."""


def is_sampled(number: int) -> bool:
    """The first calls of a run and ever fewer of the later ones: 0, 1, 2, 4, 8, …"""
    return number & (number - 1) == 0


def check_call(op: Step, rows: pa.Table, result: CallResult, again: Again) -> None:
    """Raises `StepContractError` for the first declaration that this call shows to be wrong."""
    if result.output is None:
        return
    signature = op.call.signature
    _check_rows_kept(op, rows, result)
    if signature.step_class != "pure":
        return
    _compare(op, "deterministic=True", "called twice with the same rows, it gave", result, again(rows))
    if signature.rows in {"map", "filter"} and rows.num_rows > 1:
        half = rows.num_rows // 2
        first, second = again(rows.slice(0, half)), again(rows.slice(half))
        if first.output is not None and second.output is not None:
            together = pa.concat_tables([first.output, second.output], promote_options="permissive")
            how = "called with the same rows in two parts, it gave"
            _compare(op, f'rows="{signature.rows}"', how, result, CallResult(together))


def _check_rows_kept(op: Step, rows: pa.Table, result: CallResult) -> None:
    signature, output = op.call.signature, result.output
    assert output is not None, "only what gives rows is compared"
    names = _untouched(op, rows, output)
    if not names:
        return
    before = _row_texts(rows, names)
    behind = _row_texts(output, names)
    if signature.rows == "map":
        given = list(before)
        kept = result.kept.to_pylist() if result.kept is not None else range(len(given))
        for number, (was, became) in enumerate(zip_longest((given[i] for i in kept), behind)):
            if was != became:
                raise _lie(op, "passthrough=True", f"row {number} went in as {was} and came back as {became}")
    elif signature.rows == "filter":
        waiting = iter(before)
        for number, row in enumerate(behind):
            if not any(row == other for other in waiting):
                what = (
                    f"row {number} of what it returned, {row}, is no row of its input behind the one before"
                )
                raise _lie(op, 'rows="filter"', what)
    else:
        known = set(before)
        for number, row in enumerate(behind):
            if row not in known:
                what = f"row {number} of what it returned, {row}, is in no row of its input"
                raise _lie(op, "passthrough=True", what)


def _untouched(op: Step, rows: pa.Table, output: pa.Table) -> list[str]:
    """The columns that must hold behind the step what they held before it."""
    signature = op.call.signature
    shared = [n for n in rows.column_names if n in output.column_names]
    if signature.rows == "filter":
        return [n for n in shared if rows.schema.field(n).type == output.schema.field(n).type]
    if not signature.passthrough or signature.output is None:
        return []
    return [n for n in shared if n not in signature.output.names]


def _compare(op: Step, declared: str, how: str, one: CallResult, other: CallResult) -> None:
    first, second = one.output, other.output
    assert first is not None, "only what gives rows is compared"
    if second is None or first.num_rows != second.num_rows:
        found = 0 if second is None else second.num_rows
        raise _lie(op, declared, f"{how} {first.num_rows} rows and then {found}")
    for name in first.column_names:
        if name not in second.column_names:
            raise _lie(op, declared, f"{how} the column `{name}` and then none of that name")
        if first.column(name).equals(second.column(name)):
            continue
        for number, (was, became) in enumerate(
            zip(_values(first.column(name)), _values(second.column(name)), strict=True)
        ):
            if was != became:
                raise _lie(op, declared, f"{how} {was} for `{name}` of row {number} and then {became}")


def _values(column: pa.ChunkedArray) -> Iterator[str]:
    """As texts, in which NaN is equal to NaN."""
    return map(repr, column.to_pylist())


def _row_texts(table: pa.Table, names: Sequence[str]) -> Iterator[str]:
    columns = [list(_values(table.column(name))) for name in names]
    for values in zip(*columns, strict=True):
        yield "{" + ", ".join(f"{n}: {v}" for n, v in zip(names, values, strict=True)) + "}"


def _lie(op: Step, declared: str, found: str) -> StepContractError:
    return StepContractError(
        f"`{op.call.callee}` is declared with {declared}, but {found}; correct the function, or drop the "
        "declaration, on which the optimizer relies"
    )

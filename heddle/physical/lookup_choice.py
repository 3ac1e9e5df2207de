"""Looking rows up or reading all of them, by the number of tuples and what a service says of its rows."""

from __future__ import annotations

from functools import partial
from typing import Final

import pyarrow as pa

from heddle.logical.lookups import ROWS_A_KEY
from heddle.logical.plan import LookupScan, Step
from heddle.physical.batches import Batches
from heddle.physical.calls import call_context
from heddle.physical.cancel import CancelToken
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import StageLogged
from heddle.physical.metering import Work
from heddle.physical.steps import RejectedRows, binding_of, stream_step, tell
from heddle.udf_bridge.transport import StepFailure

FEW_KEYS: Final = 4_096
"""So few are looked up without asking how many rows there are."""


def tuples_to_look_up(
    op: Step, scan: LookupScan, tuples: Batches, env: RunEnvironment, stop: CancelToken
) -> Batches | None:
    """The tuples again, where they are few; None, and `tuples` closed, where all rows are to be read."""
    taken = [next(tuples)]
    count = taken[0].num_rows
    limit: float = 0 if scan.usual else FEW_KEYS
    asked = False
    while True:
        if count > limit and not asked:
            asked = True
            rows = _estimate(scan.step, env, stop)
            limit = _keys_worth(rows, usual=scan.usual)
        if count > limit:
            tuples.close()
            _say(op, env, f"more than {limit:,.0f} distinct keys, so all rows are read")
            return None
        batch = next(tuples, None)
        if batch is None:
            break
        taken.append(batch)
        count += batch.num_rows
    if asked:
        _say(op, env, f"{count:,} distinct keys are looked up; from {limit:,.0f} on all rows are read")
    return _again(taken, tuples)


def scanned(
    op: Step, scan: LookupScan, env: RunEnvironment, stop: CancelToken, reject: RejectedRows, work: Work
) -> Batches:
    """The rows of all values, with these beside them where the join compares columns of its own. Raises
    `StageFailed`, `Cancelled`."""
    assert op.lookup is not None, "a lookup"
    added = {
        holder: scan.columns[name]
        for name, holder in op.lookup.holders.items()
        if op.lookup.row.column(holder) is None
    }
    for batch in stream_step(scan.step, None, env, stop, reject, work):
        table = pa.Table.from_batches([batch])
        for holder, column in added.items():
            assert op.row is not None, "a lookup gives rows"
            wanted = op.row.column(holder)
            values = table.column(column)
            cast = values if wanted is None or wanted.type is None else values.cast(wanted.type)
            table = table.append_column(holder, cast)
        yield from table.to_batches() or [_empty(table)]


def _empty(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=table.schema)


def _estimate(step: Step, env: RunEnvironment, stop: CancelToken) -> int | None:
    """About how many rows the step gives; None when it cannot be told, which a run does not fail of."""
    if not step.call.signature.estimates:
        return None
    try:
        session = env.transport.open(binding_of(step, env), partial(tell, env, step.path))
        try:
            answer = session.ask("estimate", None, call_context(step, 0, 1, env, stop))
        finally:
            session.close()
    except StepFailure as failure:
        _say(step, env, f"how many rows there are cannot be told: {failure.message}")
        return None
    return int(answer) if isinstance(answer, int | float) else None


def _keys_worth(rows: int | None, *, usual: bool) -> float:
    """How many keys are looked up rather than to read that many rows."""
    if rows is None:
        return 0 if usual else float("inf")
    return rows // ROWS_A_KEY


def _say(op: Step, env: RunEnvironment, message: str) -> None:
    env.listener(StageLogged(env.run_id, op.path, "info", env.masked(message), {}))


def _again(taken: list[pa.RecordBatch], rest: Batches) -> Batches:
    try:
        yield from taken
    finally:
        rest.close()

"""Materialize what turns read and do not change, once for all of them.

    before: stream -> [join] <- scan            after: stream => frame -> [join] <- frame <= [select] <- scan

A stream's rows are read into a frame before the plan runs over them. What does not depend on a stream is
computed once a run, so it is cut off where an operator that depends on one reads it; of a scan, the columns
that are read. A run of one turn is as any other: there the rule does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from heddle.core.planning import quoted
from heddle.core.streams import takes_turns
from heddle.core.types import RowType
from heddle.frontend.typed import NO_POLICY
from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Query, Scan, Step
from heddle.logical.sql import fragment_sql, names_read
from heddle.logical.streams import fed_by, read_live, streams_of

RULE: Final = "hold_still"


def hold_still(plan: LogicalPlan) -> LogicalPlan:
    streams = streams_of(plan)
    fed = fed_by(plan, streams)
    ops: dict[OpId, Op] = dict(plan.ops)
    spooled = set(plan.spooled)
    notes: list[Note] = []
    if read_live(streams):
        return plan.noting(Note(RULE, stream.id, "read in one turn", fired=False) for stream in streams)
    for stream in streams:
        many = takes_turns(stream.call.config)
        notes.append(Note(RULE, stream.id, "read in turns" if many else "read in one turn"))
        spooled.add(stream.id)
    mixed = [op for op in plan.in_order() if isinstance(op, Fragment) and op.id in fed]
    for scan_id in dict.fromkeys(i for op in mixed for i in op.inputs.values() if i not in fed):
        still = ops[scan_id]
        if isinstance(still, Scan):
            readers = [op for op in mixed if scan_id in op.inputs.values()]
            still = _selected(still, readers, ops)
            ops[still.id] = still
            for reader in readers:
                _read_instead(reader.id, scan_id, still.id, ops)
        if isinstance(still, Fragment | Step):
            spooled.add(still.id)
            notes.append(Note(RULE, still.id, "computed once for all turns"))
    return replace(plan, ops=ops, spooled=frozenset(spooled)).noting(notes)


def _selected(scan: Scan, readers: Sequence[Fragment], ops: dict[OpId, Op]) -> Fragment:
    """A fragment that gives the columns of a scan that its readers read."""
    names = _names_read(scan, readers)
    row = scan.row if names is None else RowType(tuple(c for c in scan.row if c.name in names))
    own_id, source = max(ops) + 1, f"r{scan.id}"
    columns = "*" if names is None else ", ".join(quoted(name) for name in row.names)
    query = Query(
        relation=f"s{own_id}",
        sql=f"SELECT {columns} FROM {quoted(source)}",
        tables=(source,),
        row=row,
        path=f"{scan.path}:once",
        span=scan.span,
        reduces=False,
        late=not scan.row.complete,
    )
    return Fragment(
        own_id,
        (query,),
        {source: scan.id},
        row,
        query.path,
        scan.span,
        readers[0].workflow,
        readers[0].trap,
        NO_POLICY,
    )


def _names_read(scan: Scan, readers: Sequence[Fragment]) -> frozenset[str] | None:
    """The columns of a scan that the text of its readers may mean, at least one; None for all."""
    found: set[str] = set()
    for reader in readers:
        names = names_read(fragment_sql(reader))
        if names is None:
            return None
        found |= names
    return frozenset(name for name in scan.row.names if name in found) or frozenset(scan.row.names[:1])


def _read_instead(reader_id: OpId, old: OpId, new: OpId, ops: dict[OpId, Op]) -> None:
    reader = ops[reader_id]
    assert isinstance(reader, Fragment), "scans are read by fragments"
    inputs = {relation: new if op_id == old else op_id for relation, op_id in reader.inputs.items()}
    ops[reader_id] = replace(reader, inputs=inputs)

"""Let the statement of a lookup give only the columns that are read behind it.

    before: customer: SELECT id, name, country, … ─ [join, select country]
    after:  customer: SELECT id, country ─ [join, select country]

The statement is cut, not wrapped, so that what a service makes of its conditions stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from heddle.core.types import RowType
from heddle.frontend.typed import ConfigData, StepCall
from heddle.logical.lookup_statements import narrowed
from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Sink, Step

RULE: Final = "narrow_lookups"
_TYPES: Final = "schema"
"""The setting in which a program says the columns of a statement."""


def narrow_lookups(plan: LogicalPlan) -> LogicalPlan:
    ops: dict[OpId, Op] = dict(plan.ops)
    notes: list[Note] = []
    readers = plan.readers()
    for op in plan.ops.values():
        if isinstance(op, Step) and op.lookup is not None and op.lookup.numbered and op.call.signature.sql:
            made = _narrowed(op, ops, {i for i in readers[op.id]}, plan)
            if isinstance(made, Step):
                ops[op.id] = made
                gone = set(op.lookup.row.names) - set(made.lookup.row.names if made.lookup else ())
                notes.append(Note(RULE, op.id, f"it is not asked for {', '.join(sorted(gone))}"))
            elif made:
                notes.append(Note(RULE, op.id, f"all columns are asked for: {made}", fired=False))
    return replace(plan, ops=ops).noting(notes)


def _narrowed(op: Step, ops: Mapping[OpId, Op], readers: set[OpId], plan: LogicalPlan) -> Step | str:
    """The step with a shorter statement, or why it keeps its own; empty where nothing is to be said."""
    use, setting = op.lookup, statement_setting(op.call)
    assert use is not None, "it is a lookup"
    text = op.call.config.get(setting) if setting else None
    if setting is None or not isinstance(text, str) or not use.row.complete or op.row is None:
        return "its columns are known only when the program runs"
    read = None if op.id in plan.roots else _read_of(op.id, ops, readers)
    if read is None:
        return ""
    below = ops[op.input] if op.input is not None else op
    if not use.joined and not isinstance(below, Sink) and below.row is not None:
        read |= set(below.row.names)
    wanted = [name for name in use.row.names if name in read]
    if len(wanted) == len(use.row.names):
        return ""
    cut = narrowed(text, op.call.signature.sql, use.row.names, wanted)
    if cut is None:
        return "its statement is not a plain list of columns"
    text, kept = cut
    gone = set(use.row.names) - set(kept)
    row = RowType(tuple(c for c in use.row if c.name in kept))
    whole = RowType(tuple(c for c in op.row if c.name not in gone), op.row.open)
    config: dict[str, ConfigData] = {**op.call.config, setting: text}
    types = config.get(_TYPES)
    if isinstance(types, dict):
        config[_TYPES] = {name: type_ for name, type_ in types.items() if name in kept}
    return replace(op, call=replace(op.call, config=config), row=whole, lookup=replace(use, row=row))


def _read_of(op_id: OpId, ops: Mapping[OpId, Op], readers: set[OpId]) -> set[str] | None:
    """The columns of an operator that fragments read, or name: a query that names a column needs it to be
    planned, also when none behind it reads it. None when all are."""
    from heddle.logical.reads import reads_of
    from heddle.logical.sql import names_read

    read: set[str] = set()
    for reader in readers:
        fragment = ops[reader]
        reads = reads_of(fragment, ops) if isinstance(fragment, Fragment) else None
        if not isinstance(fragment, Fragment) or reads is None:
            return None
        for relation, input_id in fragment.inputs.items():
            if input_id == op_id:
                found = reads.get(relation)
                if found is None or found.columns is None:
                    return None
                read |= set(found.columns)
                for query in fragment.queries:
                    if relation in query.tables:
                        named = names_read(query.sql)
                        if named is None:
                            return None
                        read |= named
    return read


def statement_setting(call: StepCall) -> str | None:
    """The setting of a step that is a statement."""
    return next((field.name for field in call.signature.config if field.type.kind == "statement"), None)

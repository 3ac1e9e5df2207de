"""Give a step only the columns that it names and those that something behind it reads.

    before: [a, b, c, d] -> step(a) -> [select a, b]      after: [a, b] -> step(a) -> [select a, b]

The projection is part of the plan below the step, so it reaches the scan. A step with a closed input gets
its own columns; one that passes others through carries only those that are read behind it, the rest are
null there. Where a handler gets the rows on which the step fails it gets them whole, so nothing is left
out. Of what is carried a `map` step sees only the columns that it names: the others wait beside the call
and are put back by position (udf_bridge/contract.py). In other steps they travel through the function.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias

from heddle.logical.motion import is_handled, streams_to_one
from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Sink, Step, inputs_of

RULE: Final = "narrow_steps"
WHOLE_ROWS: Final = "a handler gets the rows on which it fails, whole"

Names: TypeAlias = frozenset[str] | None
"""Columns that are read; None for all."""


def narrow_steps(plan: LogicalPlan) -> LogicalPlan:
    narrowing = _Narrowing(plan)
    for op in reversed(plan.in_order()):
        narrowing.visit(narrowing.ops[op.id])
    return replace(plan, ops=narrowing.ops).noting(narrowing.notes)


class _Narrowing:
    """The plan while it is rewritten, from its roots down; `_read` is what the readers so far need."""

    def __init__(self, plan: LogicalPlan) -> None:
        self.plan = plan
        self.ops: dict[OpId, Op] = dict(plan.ops)
        self.notes: list[Note] = []
        self._readers = plan.readers()
        self._read: dict[OpId, Names] = {}

    def visit(self, op: Op) -> None:
        match op:
            case Fragment():
                self._visit_fragment(op)
            case Step(input=int()):
                self._visit_step(op)
            case _:
                for input_id in inputs_of(op):
                    self._reads(input_id, None)

    def _visit_fragment(self, fragment: Fragment) -> None:
        below = [self.ops[i] for i in fragment.inputs.values()]
        reads = None
        if any(isinstance(op, Step) and self._carries_less(op) for op in below):
            from heddle.logical.reads import reads_of

            reads = reads_of(fragment, self.ops)
        for relation, input_id in fragment.inputs.items():
            found = reads.get(relation) if reads is not None else None
            columns = found.columns if found is not None else None
            self._reads(input_id, None if columns is None else frozenset(columns))

    def _visit_step(self, step: Step) -> None:
        assert step.input is not None, "it has an input"
        signature = step.call.signature
        if step.lookup is not None or signature.input.open or not signature.input.columns:
            self._reads(step.input, None)
        elif not signature.passthrough and is_handled(step, self.plan):
            self._stays_whole(step, WHOLE_ROWS)
        elif not signature.passthrough:
            self._give_only(step, signature.input.names, f"reads only {', '.join(signature.input.names)}")
            self._reads(step.input, frozenset(signature.input.names))
        else:
            self._visit_passing(step, self._read.get(step.id))

    def _visit_passing(self, step: Step, read: Names) -> None:
        """A step with a closed input that passes other columns through."""
        assert step.input is not None, "it has an input"
        below = self.ops[step.input]
        reason = self._why_carried(step)
        if reason is None and read is None:
            reason = "all are read behind it"
        if reason is not None or read is None:
            self._stays_whole(step, reason or "")
            return
        assert step.row is not None and not isinstance(below, Sink) and below.row is not None
        own = self._own(step)
        carried = tuple(name for name in below.row.names if name in own | read)
        absent = tuple(n for n in below.row.names if n not in own | read and self._passes(step, n))
        self._reads(step.input, frozenset(carried))
        if not absent:
            return
        self.ops[step.id] = replace(step, absent=absent)
        self._give_only(step, carried, None)
        self.notes.append(
            Note(RULE, step.id, f"leaves out {', '.join(absent)}: nothing behind it reads them")
        )

    def _why_carried(self, step: Step) -> str | None:
        """Why a step gets columns that nothing reads."""
        signature = step.call.signature
        if step.row is None or not step.row.complete:
            return "the columns are known only when the program runs"
        if is_handled(step, self.plan):
            return WHOLE_ROWS
        if not streams_to_one(step.id, self.plan, self._readers):
            return "its result is kept"
        if signature.rows != "map" and signature.step_class not in {"pure", "recorded"}:
            return "it declares neither deterministic=True nor effect=False"
        return None

    def _carries_less(self, step: Step) -> bool:
        """Whether it matters what is read behind the step."""
        row = step.call.signature.input
        closed = not row.open and bool(row.columns)
        return (
            step.input is not None
            and closed
            and step.call.signature.passthrough
            and (self._why_carried(step) is None)
        )

    def _stays_whole(self, step: Step, reason: str) -> None:
        assert step.input is not None, "it has an input"
        if self._names_less(step, self.ops[step.input]):
            self.notes.append(Note(RULE, step.id, f"all columns go in: {reason}", fired=False))
        self._reads(step.input, None)

    def _own(self, step: Step) -> frozenset[str]:
        """The columns that it names. What is not a `map` may overwrite a column that it is given."""
        signature = step.call.signature
        written = signature.output.names if signature.output is not None and signature.rows != "map" else ()
        return frozenset((*signature.input.names, *written))

    def _names_less(self, step: Step, below: Op) -> bool:
        row = None if isinstance(below, Sink) else below.row
        return row is None or not set(row.names) <= set(step.call.signature.input.names)

    def _passes(self, step: Step, name: str) -> bool:
        """Whether a column of the input is also one of the output, and not written by the step."""
        output = step.call.signature.output
        assert step.row is not None, "it gives rows"
        return step.row.column(name) is not None and (output is None or name not in output.names)

    def _give_only(self, step: Step, names: tuple[str, ...], note: str | None) -> None:
        """Let the fragment below give these columns only, when nothing else reads it."""
        assert step.input is not None, "it has an input"
        below = self.ops[step.input]
        if not isinstance(below, Fragment) or not streams_to_one(below.id, self.plan, self._readers):
            return
        self.ops[below.id] = replace(below, columns=names)
        if note is not None:
            self.notes.append(Note(RULE, step.id, note))

    def _reads(self, op_id: OpId, names: Names) -> None:
        known = self._read.get(op_id, frozenset())
        self._read[op_id] = None if names is None or known is None else known | names

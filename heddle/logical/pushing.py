"""Moving what stands above steps below them: the part that the rules `push_…` have in common.

A rule says what moves, past which steps it may go, and how it is put between two operators. It starts at the
fragments, goes down through each step that lets it pass, and ends above the first that does not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final, Generic, TypeVar

from heddle.logical.motion import streams_to_one, unchanged_columns, why_rows_stay
from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Sink, Step

if TYPE_CHECKING:
    from heddle.logical.reads import Reads

M = TypeVar("M")
"""What moves."""

_UNKNOWN_COLUMNS: Final = "the columns are known only when the program runs"


class Pushing(ABC, Generic[M]):
    """The plan while a rule rewrites it, from its roots down. `what` names what moves, for people."""

    rule: ClassVar[str]
    what: ClassVar[str]

    def __init__(self, plan: LogicalPlan) -> None:
        self.plan = plan
        self.ops: dict[OpId, Op] = dict(plan.ops)
        self.notes: list[Note] = []
        self.readers = plan.readers()
        self._next_id = max(plan.ops, default=0) + 1

    def pushed(self) -> LogicalPlan:
        for op in reversed(self.plan.in_order()):
            fragment = self.ops[op.id]
            if isinstance(fragment, Fragment) and self.concerns(fragment):
                self._push_below(fragment)
        return replace(self.plan, ops=self.ops).noting(self.notes)

    @abstractmethod
    def concerns(self, fragment: Fragment) -> bool:
        """Whether the fragment may have something to move; told from its text, so that few are planned."""

    @abstractmethod
    def why_closed(self, step: Step) -> str | None:
        """Why nothing may pass a step, as far as can be told without knowing what moves."""

    @abstractmethod
    def movable(self, step: Step, relation: str, fragment: Fragment, reads: Reads) -> Sequence[M]:
        """What may go before `step`, of what a fragment does with `relation`, which the step gives."""

    @abstractmethod
    def passes(self, moving: M, step: Step) -> bool:
        """Whether it may go before this step too."""

    @abstractmethod
    def insert(self, step: Step, relation: str, moving: Sequence[M]) -> None:
        """Put it between a step and what that reads."""

    @abstractmethod
    def told(self, moving: Sequence[M]) -> str:
        """What a step is given by it, for people."""

    def seen(self, fragment: Fragment) -> Fragment:
        """The fragment as it is planned, to learn what it does with its inputs."""
        return fragment

    def new_id(self) -> OpId:
        self._next_id += 1
        return self._next_id - 1

    def stays(self, step: Step, reason: str, what: str | None = None) -> None:
        text = f"{what or self.what} stays behind the step: {reason}"
        self.notes.append(Note(self.rule, step.id, text, fired=False))

    def below(self, step: Step) -> Op:
        assert step.input is not None, "nothing goes before a step without input"
        return self.ops[step.input]

    def written(self, columns: frozenset[str], step: Step) -> tuple[str, ...]:
        """Those of the columns that may not be behind the step what they are before it."""
        below = self.below(step)
        assert not isinstance(below, Sink) and below.row is not None, "a step reads a table"
        return tuple(sorted(columns - unchanged_columns(step, below.row)))

    def travel(self, step: Step, relation: str, moving: Sequence[M]) -> None:
        """Take what may go before `step` through it and the steps below."""
        above: Step | None = None
        while moving:
            passing = [m for m in moving if above is None or self.passes(m, step)]
            stuck = [m for m in moving if m not in passing]
            if above is not None and stuck:
                self.insert(above, relation, stuck)
            if not passing:
                return
            self.notes.append(Note(self.rule, step.id, self.told(passing)))
            below = self.below(step)
            deeper = self.open_step(below.id) if isinstance(below, Step) else None
            if deeper is None:
                self.insert(step, relation, passing)
                return
            above, step, moving = step, deeper, passing

    def open_step(self, op_id: OpId) -> Step | None:
        """The step with this id if something may pass it."""
        step = self.ops[op_id]
        if not isinstance(step, Step) or step.input is None or step.lookup is not None:
            return None
        if not streams_to_one(op_id, self.plan, self.readers):
            return None
        reason = self.why_closed(step)
        if reason is not None:
            self.stays(step, reason)
        return step if reason is None else None

    def _push_below(self, fragment: Fragment) -> None:
        steps = {
            relation: step
            for relation, i in fragment.inputs.items()
            if (step := self.open_step(i)) is not None
        }
        if not steps:
            return
        from heddle.logical.reads import reads_of

        fragment = self.seen(fragment)
        reads = reads_of(fragment, self.ops)
        for relation, step in steps.items():
            if reads is None:
                self.stays(step, _UNKNOWN_COLUMNS)
            elif relation in reads:
                self.travel(step, relation, self.movable(step, relation, fragment, reads[relation]))


def why_rows_cannot_pass(step: Step, plan: LogicalPlan) -> str | None:
    """Why a step must get rows of which something behind it needs none: for what chooses rows by columns."""
    signature = step.call.signature
    if signature.rows not in {"map", "filter"}:
        return f'it is declared with rows="{signature.rows}"'
    if not signature.passthrough:
        return "it is not declared with passthrough=True"
    return why_rows_stay(step, plan)

"""Sessions that outlive a turn: a step that is opened in the next turn as before gets its old session.

A session in which a call failed is closed for good, since its resources may be what failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.step import RejectedRows
from heddle.core.types import RowType
from heddle.udf_bridge.transport import (
    CallContext,
    CallResult,
    ChainEnd,
    ChainSession,
    Reporter,
    StepBinding,
    StepFailure,
    StepSession,
    StepTransport,
)

Opened: TypeAlias = tuple[StepBinding, ...]
"""What a session was opened for: a step, or those of a chain."""


class HeldSessions:
    """Implements `StepTransport` over the transport of a run. Thread-safe."""

    def __init__(self, transport: StepTransport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, ...], list[tuple[Opened, _Held]]] = {}

    def open(self, binding: StepBinding, report: Reporter) -> StepSession:
        """Raises `StepFailure`."""
        opened = (binding,)
        held = self._take(opened)
        if isinstance(held, _HeldSession):
            return held
        return _HeldSession(self._transport.open(binding, report), lambda s: self._give_back(opened, s))

    def open_chain(self, bindings: Sequence[StepBinding], report: Reporter) -> ChainSession | None:
        """Raises `ChainRefused`."""
        opened = tuple(bindings)
        held = self._take(opened)
        if isinstance(held, _HeldChain):
            return held
        chain = self._transport.open_chain(bindings, report)
        return _HeldChain(chain, lambda s: self._give_back(opened, s)) if chain is not None else None

    def close(self) -> None:
        """Close what is held; the transport itself stays open."""
        with self._lock:
            idle = [held for sessions in self._idle.values() for _, held in sessions]
            self._idle.clear()
        for held in idle:
            held.end()

    def _take(self, opened: Opened) -> _Held | None:
        with self._lock:
            sessions = self._idle.get(_paths(opened), [])
            for number, (before, held) in enumerate(sessions):
                if before == opened:
                    del sessions[number]
                    return held
        return None

    def _give_back(self, opened: Opened, held: _Held) -> None:
        with self._lock:
            self._idle.setdefault(_paths(opened), []).append((opened, held))


class _HeldSession:
    """Implements `StepSession`."""

    def __init__(self, session: StepSession, give_back: Callable[[_HeldSession], None]) -> None:
        self._session = session
        self._give_back = give_back
        self._failed = False

    @property
    def keeps_deadlines(self) -> bool:
        return self._session.keeps_deadlines

    def invoke(self, input: pa.Table | None, context: CallContext) -> CallResult:
        with self._watched():
            return self._session.invoke(input, context)

    def batches(
        self, context: CallContext, refused: list[RejectedRows] | None = None
    ) -> Iterator[pa.RecordBatch]:
        with self._watched():
            yield from self._session.batches(context, refused)

    def ask(self, operation: str, argument: ConfigValue, context: CallContext) -> ConfigValue:
        with self._watched():
            return self._session.ask(operation, argument, context)

    def infer(self, input: RowType | None) -> RowType:
        return self._session.infer(input)

    def close(self) -> None:
        if self._failed:
            self.end()
        else:
            self._give_back(self)

    def end(self) -> None:
        self._session.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except StepFailure:
            self._failed = True
            raise


class _HeldChain:
    """Implements `ChainSession`."""

    def __init__(self, chain: ChainSession, give_back: Callable[[_HeldChain], None]) -> None:
        self._chain = chain
        self._give_back = give_back
        self._failed = False

    def run(self, input: pa.Table, contexts: Sequence[CallContext], reports: Sequence[Reporter]) -> ChainEnd:
        try:
            return self._chain.run(input, contexts, reports)
        except StepFailure:
            self._failed = True
            raise

    def close(self) -> None:
        if self._failed:
            self.end()
        else:
            self._give_back(self)

    def end(self) -> None:
        self._chain.close()


_Held: TypeAlias = _HeldSession | _HeldChain


def _paths(opened: Opened) -> tuple[str, ...]:
    return tuple(binding.path for binding in opened)

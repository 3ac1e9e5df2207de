"""Writers and streams behind the calls of a run: one object for each run of a step, from its first call
until it has ended."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.failure import StepError, contract_error
from heddle.core.step import StepContext
from heddle.sdk.binding import StepFunction
from heddle.sdk.flows import Stream, Writer
from heddle.sdk.runtime import BoundStep, user_code

Flow = TypeVar("Flow", Writer, Stream)


class BoundFlow(BoundStep, ABC, Generic[Flow]):
    """What a step's function gave, by run and step."""

    def __init__(self, name: str, function: StepFunction, config: object) -> None:
        super().__init__(name, function, config)
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], Flow] = {}

    @property
    def busy(self) -> bool:
        return bool(self._open)

    def _opened(self, context: StepContext) -> Flow:
        with self._lock:
            found = self._open.get(_key(context))
        if found is not None:
            return found
        made = self._made(context)
        with self._lock:
            self._open[_key(context)] = made
        return made

    @abstractmethod
    def _made(self, context: StepContext) -> Flow:
        """What the step's function gives for a run."""

    def _taken(self, context: StepContext) -> Flow | None:
        with self._lock:
            return self._open.pop(_key(context), None)

    def _take_all(self) -> list[Flow]:
        with self._lock:
            flows = list(self._open.values())
            self._open.clear()
        return flows


class BoundWriter(BoundFlow[Writer]):
    def _made(self, context: StepContext) -> Writer:
        made = self._entered(None, context)
        if not isinstance(made, Writer):
            raise contract_error(f"`{self.name}` gave {type(made).__name__}; it gives a `Writer`")
        return made

    def call(self, input: pa.Table | None, context: StepContext) -> Iterator[pa.Table]:
        if input is None:
            raise contract_error(f"`{self.name}` writes rows, and was given none")
        writer = self._opened(context)
        table = self._function.input_class.from_arrow(input)
        user_code(lambda: writer.write(table, context))
        yield from ()

    def ask(self, operation: str, argument: ConfigValue, context: StepContext) -> ConfigValue:
        """A commit of what nobody wrote to is none. One that fails leaves the writer to be aborted."""
        match operation:
            case "commit":
                with self._lock:
                    writer = self._open.get(_key(context))
                if writer is not None:
                    user_code(writer.commit)
                    self._taken(context)
                return None
            case "abort":
                aborted = self._taken(context)
                if aborted is not None:
                    user_code(aborted.abort)
                return None
            case _:
                return super().ask(operation, argument, context)

    def close(self) -> None:
        _end_all(writer.abort for writer in self._take_all())


class BoundStream(BoundFlow[Stream]):
    def _made(self, context: StepContext) -> Stream:
        made = self._entered(None, context)
        if not isinstance(made, Stream):
            raise contract_error(f"`{self.name}` gave {type(made).__name__}; it gives a `Stream`")
        return made

    def call(self, input: pa.Table | None, context: StepContext) -> Iterator[pa.Table]:
        yield from self._tables_of(self._opened(context).read(context), None)

    def ask(self, operation: str, argument: ConfigValue, context: StepContext) -> ConfigValue:
        match operation:
            case "position":
                stream = self._opened(context)
                return user_code(lambda: _standing(stream))
            case "commit" if isinstance(argument, dict):
                stream, position = self._opened(context), argument
                user_code(lambda: stream.commit(position))
                return None
            case "close":
                closed = self._taken(context)
                if closed is not None:
                    user_code(closed.close)
                return None
            case _:
                return super().ask(operation, argument, context)

    def close(self) -> None:
        _end_all(stream.close for stream in self._take_all())


def _standing(stream: Stream) -> ConfigValue:
    return {"position": stream.position(), "ended": stream.ended, "lag": stream.lag()}


def _key(context: StepContext) -> tuple[str, str]:
    """The run and the stage in it. Stages of one name are told apart by what idempotency keys of a stage have
    in common."""
    stage, _, _ = (context.idempotency_key or "").rpartition("/")
    return context.run_id, stage or context.step


def _end_all(ends: Iterator[Callable[[], None]]) -> None:
    """All of them, also when one fails; raises what the first raised."""
    failed: StepError | None = None
    for end in ends:
        try:
            user_code(end)
        except StepError as error:
            failed = failed or error
    if failed is not None:
        raise failed

"""A step of a run over an endpoint: what goes in and what comes out are held to the step's contract.

The same for every endpoint, so that a step does not behave otherwise in another process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from heddle.core.casting import plain_table
from heddle.core.config import ConfigValue
from heddle.core.step import RejectedRows
from heddle.core.types import RowType
from heddle.udf_bridge.contract import Contract, PinnedSchema
from heddle.udf_bridge.transport import (
    CallContext,
    CallResult,
    Endpoint,
    StepBinding,
    StepContractError,
)


class ContractedSession:
    """Implements `StepSession`."""

    def __init__(self, binding: StepBinding, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._name = step_name(binding)
        self._contract = Contract(self._name, binding.signature, binding.output)
        self._views = frozenset(f.name for f in binding.output or () if pa.types.is_string_view(f.type))
        self._pinned = PinnedSchema() if binding.output is None else None
        self._pin_lock = threading.Lock()

    @property
    def keeps_deadlines(self) -> bool:
        return self.endpoint.keeps_deadlines

    def invoke(self, input: pa.Table | None, context: CallContext) -> CallResult:
        if input is None:
            return self._invoke_without_input(context)
        prepared = self._contract.prepare(plain_table(input, self._views))
        empty = self._contract.empty_result(prepared)
        if empty is not None:
            return empty
        refused: list[RejectedRows] = []
        parts = list(self.endpoint.call(prepared.table, context, refused))
        returned = parts[0] if len(parts) == 1 else None
        if len(parts) > 1:
            returned = pa.concat_tables(parts, promote_options="permissive")
        result = self._contract.finish(prepared, returned, refused)
        return CallResult(self._pin(result.output), result.rejections, result.kept)

    def batches(
        self, context: CallContext, refused: list[RejectedRows] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a step without input, as they are made; a stream's turn may have none at all."""
        output: pa.Table | None = None
        for table in self.endpoint.call(None, context, refused if refused is not None else []):
            output = self._pin(self._contract.source_rows(table))
            yield from output.to_batches() if output is not None else ()
        if output is None:
            if not self._contract.signature.stream:
                yield self._contract.no_rows()
        elif not output.num_rows and not output.to_batches():
            yield pa.RecordBatch.from_pylist([], schema=output.schema)

    def ask(self, operation: str, argument: ConfigValue, context: CallContext) -> ConfigValue:
        return self.endpoint.ask(replace(context, operation=operation, argument=argument))

    def infer(self, input: RowType | None) -> RowType:
        return self.endpoint.infer(input)

    def close(self) -> None:
        self.endpoint.close()

    def _invoke_without_input(self, context: CallContext) -> CallResult:
        if self._contract.signature.output is None:
            if any(True for _ in self.endpoint.call(None, context, [])):
                raise StepContractError(f"`{self._name}` returned a table, but is declared without output")
            return CallResult(None)
        batches = list(self.batches(context))
        schema = batches[0].schema if batches else self._contract.output
        return CallResult(pa.Table.from_batches(batches, schema=schema))

    def _pin(self, output: pa.Table | None) -> pa.Table | None:
        if self._pinned is None or output is None:
            return output
        with self._pin_lock:
            return self._pinned.conform(self._name, output)


def step_name(binding: StepBinding) -> str:
    """The step's name in messages: `steps.score`, `security.hash`."""
    return f"{binding.module.namespace.removeprefix('./')}.{binding.signature.name}"

"""What a step takes of a known row and what row it leaves, as the `Link` by which it can stand in a chain."""

from __future__ import annotations

import pyarrow as pa

from heddle.core.link import Link
from heddle.core.types import RowType, type_name
from heddle.logical.plan import Step


def link_of(step: Step, before: RowType) -> Link | str:
    """The link of a step whose input has the complete row `before`, or why there is none."""
    signature = step.call.signature
    assert step.row is not None and signature.output is not None, "a sink stands in no chain"
    takes = _taken(step, before)
    if isinstance(takes, str):
        return takes
    gives = pa.schema([field for field in step.row.arrow() if field.name not in step.absent])
    beside = signature.rows == "map" and signature.passthrough
    returns = set(signature.output.names) if beside else set(gives.names)
    return Link(takes, gives, frozenset(returns & set(gives.names)), signature.output.open, signature.rows)


def _taken(step: Step, before: RowType) -> pa.Schema | str:
    signature = step.call.signature
    row = signature.input
    fields: dict[str, pa.Field] = {}
    for wanted in row.columns:
        found = before.column(wanted.name)
        if found is None or wanted.name in step.absent:
            return f"nothing gives `{wanted.name}`, which `{step.call.callee}` takes"
        if wanted.type is not None and wanted.type != found.type:
            return (
                f"`{step.call.callee}` takes `{wanted.name}` as {type_name(wanted.type)}, and is given "
                f"{type_name(found.type)}"
            )
        fields[wanted.name] = pa.field(wanted.name, found.type, wanted.nullable)
    if row.open or (signature.passthrough and signature.rows != "map"):
        for column in before.columns:
            if column.name not in fields and column.name not in step.absent:
                fields[column.name] = pa.field(column.name, column.type)
    return pa.schema(list(fields.values()))

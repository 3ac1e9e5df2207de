"""Signatures on the wire: what a plugin offers, as `DescribeResponse`, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa

from heddle.core.config import ConfigField, ConfigType
from heddle.core.signature import ModuleSignature, ResourceSignature, Slot, StepSignature
from heddle.core.types import Column, RowType
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.payload import PayloadError, decode_schema, encode_schema

UNKNOWN: Final = {b"heddle.type": b"unknown"}
"""Metadata of a column whose type a step does not fix."""

ROWS: Final = ("map", "filter", "flat", "table")
INPUT_MODES: Final = ("none", "required", "optional")
CONFIG_KINDS: Final = (
    *("any", "bool", "int", "float", "string", "statement", "choice", "list", "map", "struct", "row"),
)


class DescriptionError(Exception):
    """A description that is not what the protocol says; the message names the step and the field."""


def encode_module(signature: ModuleSignature, version: str = "") -> wire.DescribeResponse:
    return wire.DescribeResponse(
        namespace=signature.namespace,
        version=version,
        doc=signature.doc,
        steps=[_encode_step(s) for s in (*signature.readers.values(), *signature.steps.values())],
        resources=[
            wire.Resource(name=r.name, doc=r.doc, config=_encode_fields(r.config), config_open=r.config_open)
            for r in signature.resources.values()
        ],
    )


def decode_module(
    description: wire.DescribeResponse, path: str, code_hash: str, origin: str
) -> ModuleSignature:
    """Raises `DescriptionError`."""
    steps = {s.name: _decode_step(s) for s in description.steps}
    resources = {
        r.name: ResourceSignature(
            r.name, _decode_fields(r.config, f"resource `{r.name}`"), r.config_open, r.doc
        )
        for r in description.resources
    }
    for step in steps.values():
        for slot in step.slots:
            if slot.resource not in resources:
                raise DescriptionError(
                    f"step `{step.name}` uses the resource `{slot.resource}`, which is not described"
                )
    return ModuleSignature(
        path, description.namespace, steps, {}, resources, code_hash, origin, description.doc
    )


def encode_row(row: RowType) -> wire.Row:
    fields = [
        pa.field(c.name, c.type, c.nullable)
        if c.type is not None
        else pa.field(c.name, pa.null(), True, UNKNOWN)
        for c in row.columns
    ]
    return wire.Row(schema=encode_schema(pa.schema(fields)), open=row.open)


def decode_row(row: wire.Row) -> RowType:
    """Raises `PayloadError`."""
    columns = []
    for field in decode_schema(row.schema):
        unknown = (field.metadata or {}).items() >= UNKNOWN.items()
        columns.append(Column(field.name, None if unknown else field.type, field.nullable))
    return RowType(tuple(columns), row.open)


def _encode_step(step: StepSignature) -> wire.Step:
    return wire.Step(
        name=step.name,
        doc=step.doc,
        input_mode=step.input_mode,
        input=encode_row(step.input),
        output=encode_row(step.output) if step.output is not None else None,
        output_from_config=step.output_from_config,
        rows=step.rows,
        passthrough=step.passthrough,
        deterministic=step.deterministic,
        idempotent=step.idempotent,
        effect=step.effect,
        config=_encode_fields(step.config),
        config_open=step.config_open,
        slots=[wire.Slot(name=s.name, resource=s.resource, required=s.required) for s in step.slots],
        runnable=step.runnable,
        sql=step.sql,
        lookup=step.lookup,
        writer=step.writer,
        stream=step.stream,
        estimates=step.estimates,
    )


def _decode_step(step: wire.Step) -> StepSignature:
    where = f"step `{step.name}`"
    input_mode = next((m for m in INPUT_MODES if m == step.input_mode), None)
    rows = next((r for r in ROWS if r == step.rows), None)
    if input_mode is None:
        raise DescriptionError(f'{where}: input_mode "{step.input_mode}" is none of {", ".join(INPUT_MODES)}')
    if rows is None:
        raise DescriptionError(f'{where}: rows "{step.rows}" is none of {", ".join(ROWS)}')
    try:
        input = decode_row(step.input) if step.HasField("input") else RowType((), open=True)
        output = decode_row(step.output) if step.HasField("output") else None
    except PayloadError as error:
        raise DescriptionError(f"{where}: {error}") from error
    return StepSignature(
        name=step.name,
        input_mode=input_mode,
        input=input,
        output=output,
        output_from_config=step.output_from_config,
        rows=rows,
        passthrough=step.passthrough,
        deterministic=step.deterministic if step.HasField("deterministic") else None,
        idempotent=step.idempotent if step.HasField("idempotent") else None,
        effect=step.effect if step.HasField("effect") else None,
        config=_decode_fields(step.config, where),
        config_open=step.config_open,
        slots=tuple(Slot(s.name, s.resource, s.required) for s in step.slots),
        runnable=step.runnable,
        sql=step.sql,
        lookup=step.lookup,
        writer=step.writer,
        stream=step.stream,
        estimates=step.estimates,
        doc=step.doc,
    )


def _encode_fields(fields: Iterable[ConfigField]) -> list[wire.ConfigField]:
    return [
        wire.ConfigField(
            name=f.name,
            type=_encode_type(f.type),
            required=f.required,
            default_json="" if f.required else json.dumps(f.default),
            secret=f.secret,
            doc=f.doc,
        )
        for f in fields
    ]


def _encode_type(type_: ConfigType) -> wire.ConfigType:
    return wire.ConfigType(
        kind=type_.kind,
        items=_encode_type(type_.items) if type_.items is not None else None,
        fields=_encode_fields(type_.fields),
        choices_json=[json.dumps(c) for c in type_.choices],
        nullable=type_.nullable,
    )


def _decode_fields(fields: Iterable[wire.ConfigField], where: str) -> tuple[ConfigField, ...]:
    return tuple(
        ConfigField(
            f.name,
            _decode_type(f.type, f"{where}, setting `{f.name}`"),
            f.required,
            _json(f.default_json, where) if not f.required and f.default_json else None,
            f.secret,
            f.doc,
        )
        for f in fields
    )


def _decode_type(type_: wire.ConfigType, where: str) -> ConfigType:
    kind = next((k for k in CONFIG_KINDS if k == type_.kind), None)
    if kind is None:
        raise DescriptionError(f'{where}: the kind "{type_.kind}" is none of {", ".join(CONFIG_KINDS)}')
    return ConfigType(
        kind,
        _decode_type(type_.items, where) if type_.HasField("items") else None,
        _decode_fields(type_.fields, where),
        tuple(_json(c, where) for c in type_.choices_json),
        type_.nullable,
    )


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DescriptionError(f"{where}: `{text}` is not JSON") from error

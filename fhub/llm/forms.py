"""Structured answers: what the model is told of their form, and how they are read.

A `Form` is a row type as a JSON schema; `read` takes a text apart and raises `Misfit` for one that does not
keep to it, with the words in which the model is told so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from fhub.cells import Misfit, check_row, is_json, load_json
from fhub.llm.settings import ResponseFormat
from heddle.core.record import record
from heddle.core.types import parse_type

_t = pa.types
LABEL: Final = "label"
_SCALARS: Final[tuple[tuple[Any, Mapping[str, Any]], ...]] = (
    (_t.is_boolean, {"type": "boolean"}),
    (_t.is_integer, {"type": "integer"}),
    (_t.is_floating, {"type": "number"}),
    (_t.is_decimal, {"type": "number"}),
    (_t.is_timestamp, {"type": "string", "format": "date-time"}),
    (_t.is_date, {"type": "string", "format": "date"}),
    (_t.is_time, {"type": "string", "format": "time"}),
    (_t.is_duration, {"type": "string", "format": "duration"}),
    (_t.is_binary, {"type": "string", "description": "base64"}),
)


@record(frozen=True, slots=True)
class Form:
    """`columns` is the row type. With `labels` it is the column `label`, whose values these are."""

    columns: Mapping[str, str]
    mode: ResponseFormat
    labels: tuple[str, ...] = ()

    @property
    def json_schema(self) -> dict[str, Any]:
        if self.labels:
            return _object({LABEL: {"type": "string", "enum": list(self.labels)}})
        return _object({name: _column_schema(text) for name, text in self.columns.items()})

    @property
    def response_format(self) -> dict[str, Any] | None:
        match self.mode:
            case "none":
                return None
            case "json_object":
                return {"type": "json_object"}
            case "json_schema":
                strict = not any(is_json(text) for text in self.columns.values())
                schema = {"name": "row", "strict": strict, "schema": self.json_schema}
                return {"type": "json_schema", "json_schema": schema}

    @property
    def instruction(self) -> str:
        """What stands in the system's message, where the server is not told the form by itself."""
        if self.mode == "json_schema":
            return ""
        schema = json.dumps(self.json_schema)
        return f"\n\nAnswer with nothing but one JSON object that keeps to this JSON schema: {schema}"

    def read(self, text: str) -> Mapping[str, Any]:
        """The row that a text is. Raises `Misfit`."""
        if self.labels:
            return {LABEL: self._label(text)}
        try:
            value = load_json(_without_fence(text))
        except ValueError as error:
            raise Misfit(f"the answer is no JSON: {error}") from None
        return check_row(value, self.columns)

    def _label(self, text: str) -> str:
        try:
            value = load_json(_without_fence(text))
        except ValueError:
            value = text
        found = value.get(LABEL) if isinstance(value, dict) else value
        by_text = {label.strip().casefold(): label for label in self.labels}
        if isinstance(found, str):
            if found in self.labels:
                return found
            label = by_text.get(found.strip().strip(".\"'`").casefold())
            if label is not None and len(by_text) == len(self.labels):
                return label
        raise Misfit(f"the answer is none of the labels {', '.join(self.labels)}")


def _without_fence(text: str) -> str:
    """The inside of a Markdown block, in which models like to put JSON."""
    found = re.fullmatch(r"\s*```[a-z]*\s*(.*?)\s*```\s*", text, re.DOTALL)
    return found[1] if found else text


def _column_schema(text: str) -> dict[str, Any]:
    type_, nullable = parse_type(text)
    return _nullable({}, nullable) if is_json(text) else _schema(type_, nullable)


def _schema(type_: pa.DataType, nullable: bool) -> dict[str, Any]:
    if _t.is_list(type_):
        field = type_.value_field
        return _nullable({"type": "array", "items": _schema(field.type, field.nullable)}, nullable)
    if _t.is_struct(type_):
        return _nullable(_object({f.name: _schema(f.type, f.nullable) for f in type_}), nullable)
    found = next((schema for is_it, schema in _SCALARS if is_it(type_)), {"type": "string"})
    return _nullable(dict(found), nullable)


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _nullable(schema: dict[str, Any], nullable: bool) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]} if nullable and schema else schema

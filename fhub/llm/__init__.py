"""Language models by the OpenAI-compatible protocol: `prompt`, `embed`, `classify` and `extract`.

Each adds columns beside the input's own. The settings of a connection may stand on the step itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from fhub.llm.settings import (
    USAGE_COLUMNS,
    ChatConfig,
    ClassifyConfig,
    ConnectionConfig,
    EmbedConfig,
    ExtractConfig,
    PromptConfig,
)
from fhub.templates import check_columns
from heddle.core.resource import Resource
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.core.types import RowType
from heddle.sdk import Plugin

plugin = Plugin(namespace="fhub/llm", doc="Language models", environment=["XDG_CACHE_HOME"])


class Answer(Table, open=True):
    answer: str


class Label(Table, open=True):
    label: str


class Embedding(Table):
    embedding: list[float]


@plugin.resource(name="connection")
def connection(config: ConnectionConfig) -> Resource:
    """A server and the model it runs."""
    from fhub.llm.connection import Connection

    return Connection(config)


def prompt_row(config: PromptConfig, input: RowType) -> dict[str, str]:
    return _row({"answer": "string"}, config, input)


@plugin.step(
    name="prompt",
    resource="connection",
    resource_required=False,
    rows="map",
    passthrough=True,
    effect=False,
    idempotent=True,
    infer=prompt_row,
)
def prompt(config: PromptConfig, input: Table, context: StepContext) -> Answer:
    """Adds the model's text as the column `answer`."""
    from fhub.llm.asking import Asking

    asked = Asking(config, context).ask(
        input.to_arrow(), config.system, temperature=config.temperature, tells=config.stream
    )
    answers = pa.array(asked.values, pa.string())
    return Answer.from_arrow(pa.table({"answer": answers, **asked.usage_columns(config)}))


def embed_row(config: EmbedConfig, input: RowType) -> type[Table]:
    _check(("text", (config.text,)), input)
    return Embedding


@plugin.step(
    name="embed",
    resource="connection",
    resource_required=False,
    rows="map",
    passthrough=True,
    effect=False,
    idempotent=True,
    infer=embed_row,
)
def embed(config: EmbedConfig, input: Table, context: StepContext) -> Embedding:
    """Adds the vector of a text column as the column `embedding`."""
    from fhub.llm.embedding import vectors_of

    return Embedding.from_arrow(pa.table({"embedding": vectors_of(config, input.to_arrow(), context)}))


def classify_row(config: ClassifyConfig, input: RowType) -> dict[str, str]:
    return _row({"label": "string"}, config, input)


@plugin.step(
    name="classify",
    resource="connection",
    resource_required=False,
    rows="map",
    passthrough=True,
    effect=False,
    idempotent=True,
    infer=classify_row,
)
def classify(config: ClassifyConfig, input: Table, context: StepContext) -> Label:
    """Adds one of `labels` as the column `label`."""
    from fhub.llm.asking import Asking
    from fhub.llm.forms import LABEL, Form

    form = Form({LABEL: "string"}, config.response_format, tuple(config.labels))
    system = config.system or f"Say which of these labels fits the text: {', '.join(config.labels)}."
    asked = Asking(config, context, form).ask(input.to_arrow(), system, temperature=0.0)
    labels = pa.array([value[LABEL] for value in asked.values], pa.string())
    return Label.from_arrow(pa.table({"label": labels, **asked.usage_columns(config)}))


def extract_row(config: ExtractConfig, input: RowType) -> dict[str, str]:
    return _row(config.schema, config, input)


@plugin.step(
    name="extract",
    resource="connection",
    resource_required=False,
    rows="map",
    passthrough=True,
    effect=False,
    idempotent=True,
    infer=extract_row,
)
def extract(config: ExtractConfig, input: Table, context: StepContext) -> Table:
    """Adds the columns of `schema`, as the model reads them from the row."""
    from fhub.cells import read_rows
    from fhub.llm.asking import Asking
    from fhub.llm.forms import Form

    form = Form(config.schema, config.response_format)
    system = config.system or "Extract the fields from the text, as JSON."
    asked = Asking(config, context, form).ask(input.to_arrow(), system, temperature=0.0)
    rows = read_rows(asked.values, config.schema)
    for name, column in asked.usage_columns(config).items():
        rows = rows.append_column(name, column)
    return Table.from_arrow(rows)


def _row(columns: Mapping[str, str], config: ChatConfig, input: RowType) -> dict[str, str]:
    """The columns that a step adds. Raises `UnknownColumn` for a template that names none of the input's."""
    for named in config.columns_named().items():
        _check(named, input)
    return {**columns, **(USAGE_COLUMNS if config.usage else {})}


def _check(named: tuple[str, Iterable[str]], input: RowType) -> None:
    setting, columns = named
    if not input.open:
        check_columns(columns, input.names, setting)

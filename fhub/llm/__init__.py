"""Language models by the OpenAI-compatible protocol: `prompt`, `embed`, `classify` and `extract`.

Each adds columns beside the input's own. The settings of a connection may stand on the step itself.
"""

from __future__ import annotations

from heddle.core.resource import ResourceConfig
from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk import Plugin, RowText, Secret

plugin = Plugin(namespace="fhub/llm", doc="Language models")


class ConnectionConfig(ResourceConfig):
    base_url: str = "https://api.openai.com/v1"
    api_key: Secret[str] | None = None
    model: str | None = None
    timeout: str = "60s"
    concurrency: int = 4


class ModelConfig(StepConfig[ConnectionConfig]):
    """What is said here wins over the connection."""

    base_url: str | None = None
    api_key: Secret[str] | None = None
    model: str | None = None
    timeout: str | None = None
    concurrency: int | None = None


class PromptConfig(ModelConfig):
    """`prompt` is a template: `{name}` stands for the column `name`. Without it the row is sent as JSON."""

    system: str | None = None
    prompt: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


class EmbedConfig(ModelConfig):
    """`text` names the column to embed."""

    text: str
    dimensions: int | None = None


class ClassifyConfig(ModelConfig):
    labels: list[str]
    system: str | None = None
    prompt: str | None = None


class ExtractConfig(ModelConfig):
    """`schema` is the row to extract; the model is held to it."""

    schema: RowText
    system: str | None = None
    prompt: str | None = None


class Answer(Table):
    answer: str


class Embedding(Table):
    embedding: list[float]


class Label(Table):
    label: str


plugin.declare_resource("connection", config=ConnectionConfig, doc="A server and the model it runs.")
plugin.declare(
    "prompt",
    config=PromptConfig,
    output=Answer,
    resource="connection",
    resource_required=False,
    rows="map",
    passthrough=True,
    effect=False,
    idempotent=True,
    doc="Adds the model's text as the column `answer`.",
)
plugin.declare(
    "embed",
    config=EmbedConfig,
    output=Embedding,
    resource="connection",
    resource_required=False,
    rows="map",
    passthrough=True,
    effect=False,
    idempotent=True,
    doc="Adds the vector of a text column as the column `embedding`.",
)
plugin.declare(
    "classify",
    config=ClassifyConfig,
    output=Label,
    resource="connection",
    resource_required=False,
    rows="map",
    passthrough=True,
    effect=False,
    idempotent=True,
    doc="Adds one of `labels` as the column `label`.",
)
plugin.declare(
    "extract",
    config=ExtractConfig,
    output_from_config=True,
    resource="connection",
    resource_required=False,
    rows="map",
    passthrough=True,
    effect=False,
    idempotent=True,
    doc="Adds the columns of `schema`, as the model reads them from the row.",
)

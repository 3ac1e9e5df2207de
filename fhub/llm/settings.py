"""The settings of connections to language models and of the steps that ask them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, Literal, NotRequired, TypedDict

from fhub.llm.unfinished import Unfinished
from fhub.step_connection import StepConnection
from fhub.templates import Template
from heddle.core.durations import DURATION_HELP, duration_s
from heddle.core.resource import ResourceConfig
from heddle.core.step import StepConfig, StepContext
from heddle.sdk import RowText, Secret

if TYPE_CHECKING:
    from fhub.llm.cache import AnswerCache
    from fhub.llm.connection import Connection

ResponseFormat = Literal["json_schema", "json_object", "none"]
OWN_FIELDS: Final = frozenset({"model", "messages", "input", "stream", "stream_options", "response_format"})
"""Fields of a request that are not for `options`."""


USAGE_COLUMNS: Final = {"prompt_tokens": "int?", "completion_tokens": "int?", "cost": "float?"}


class Price(TypedDict):
    """What a million tokens cost, in whatever currency."""

    prompt: float
    completion: NotRequired[float]


class ConnectionConfig(ResourceConfig):
    """`base_url` is where `/chat/completions` stands below, or `"embedded:stand-in"` or
    `"embedded:FILE.gguf"`. `timeout` is that of one request."""

    base_url: str = "https://api.openai.com/v1"
    api_key: Secret[str] | None = None
    model: str | None = None
    timeout: str = "5m"
    concurrency: int = 4
    requests_per_minute: float | None = None
    price: Price | None = None
    ca_file: str | None = None


class ModelConfig(StepConfig[ConnectionConfig]):
    """What is said here wins over the connection. `options` are further fields of a request; null leaves a
    field out."""

    base_url: str | None = None
    api_key: Secret[str] | None = None
    model: str | None = None
    timeout: str | None = None
    concurrency: int | None = None
    requests_per_minute: float | None = None
    price: Price | None = None
    ca_file: str | None = None
    options: dict[str, Any] = {}  # noqa: RUF012 - a default; every instance gets its own copy
    cache: str | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._lock = threading.Lock()
        self._connection = StepConnection(self, ConnectionConfig, _opened)
        self._answers: AnswerCache | None = None
        self._uncached = self.cache is None
        self.unfinished = Unfinished()
        taken = OWN_FIELDS.intersection(self.options)
        if taken:
            raise ValueError(f"`options` cannot say `{min(taken)}`, which is the step's own")
        if self.cache is not None:
            from fhub.llm.cache import cache_bytes

            self._cache_bytes = cache_bytes(self.cache)

    @property
    def connection(self) -> Connection:
        """The resource, or one of the step's own where its settings say something else."""
        return self._connection.get()

    def answers(self, context: StepContext) -> AnswerCache | None:
        """The cache, if there is to be one. One that cannot be used is said once, and is none."""
        with self._lock:
            if self._answers is None and not self._uncached:
                from fhub.llm.cache import AnswerCache, cache_folder

                try:
                    self._answers = AnswerCache(cache_folder(), self._cache_bytes)
                except OSError as error:
                    self._uncached = True
                    context.log.warning("answers are not kept: %s", error)
            return self._answers


class ChatConfig(ModelConfig):
    """`prompt` is a template: `{name}` stands for the column `name`. Without it the row is sent as JSON."""

    system: str | None = None
    prompt: str | None = None
    max_tokens: int | None = None
    usage: bool = False

    def columns_named(self) -> dict[str, tuple[str, ...]]:
        """The columns that the templates name, by setting."""
        texts = {"system": self.system, "prompt": self.prompt}
        return {name: Template(text).columns for name, text in texts.items() if text is not None}


class PromptConfig(ChatConfig):
    """`stream` tells the text to the run's log while it comes."""

    temperature: float | None = None
    stream: bool = False

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.cache is not None and self.temperature:
            raise ValueError(
                "a `cache` gives one answer again and again, and a `temperature` above 0 asks for others; "
                "drop one of them"
            )


class EmbedConfig(ModelConfig):
    """`text` names the column to embed; `batch_size` texts go in one request."""

    text: str
    dimensions: int | None = None
    batch_size: int = 64

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.batch_size < 1:
            raise ValueError("`batch_size` is the number of texts in a request, at least 1")


class ClassifyConfig(ChatConfig):
    labels: list[str]
    response_format: ResponseFormat = "json_schema"

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError("`labels` are different texts, one at least")


class ExtractConfig(ChatConfig):
    """`schema` is the row to extract; the model is held to it."""

    schema: RowText
    response_format: ResponseFormat = "json_schema"

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if not self.schema:
            raise ValueError("`schema` names the columns to extract, one at least")


def _opened(config: ConnectionConfig) -> Connection:
    from fhub.llm.connection import Connection

    return Connection(config)


def timeout_s(text: str) -> float:
    """Raises `ValueError`."""
    found = duration_s(text)
    if not found:
        raise ValueError(f"`timeout` is {text!r}; {DURATION_HELP}")
    return found

"""The texts of one call as vectors, many in a request."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from fhub.calls import Call
from fhub.cells import cell_texts
from fhub.llm.asking import Counts, Crashes, reject_rows
from fhub.llm.cache import answer_key
from fhub.llm.connection import Crashed, RowError
from fhub.llm.settings import EmbedConfig
from fhub.templates import check_columns
from heddle.core.step import StepContext

REQUEST_CHARS_MAX: Final = 200_000
"""Texts of one request, in all; a longer text goes alone."""

Vector = list[float]


def vectors_of(config: EmbedConfig, input: pa.Table, context: StepContext) -> pa.Array:
    """The vectors of the rows that have one; the others are rejected."""
    vectors = _Embedding(config, context).vectors(input)
    return pa.array(vectors, pa.list_(pa.field("item", pa.float64(), nullable=False)))


class _Embedding:
    """The texts of one call, each asked for once."""

    def __init__(self, config: EmbedConfig, context: StepContext) -> None:
        self._config = config
        self._context = context
        self._connection = config.connection
        self._call = Call(context)
        self._counts = Counts()
        self._crashes = Crashes()
        self._vectors: dict[str, Vector] = {}
        self._problems: dict[str, tuple[str, str]] = {}

    def vectors(self, input: pa.Table) -> list[Vector]:
        config = self._config
        check_columns((config.text,), input.column_names, "text")
        texts = cell_texts(input.column(config.text))
        distinct = [text for text in dict.fromkeys(texts) if text is not None]
        asked = [text for text in distinct if not self._stored(text)]
        try:
            requests = list(self._requests(asked))
            self._call.each(requests, self._ask, self._connection.config.concurrency)
            self._crashes.check()
        finally:
            self._counts.tell(self._context, self._connection.config.price, self._call)
        null = (f"`{config.text}` is null", "NullValue")
        reject_rows(self._context, [null if t is None else self._problems.get(t) for t in texts])
        return [self._vectors[text] for text in texts if text is not None and text in self._vectors]

    def _requests(self, texts: list[str]) -> Iterator[list[str]]:
        request: list[str] = []
        size = 0
        for text in texts:
            if request and (len(request) == self._config.batch_size or size + len(text) > REQUEST_CHARS_MAX):
                yield request
                request, size = [], 0
            request.append(text)
            size += len(text)
        if request:
            yield request

    def _ask(self, texts: list[str]) -> None:
        """A request that the server refuses is halved, until the text is found that it refuses."""
        try:
            vectors, usage = self._connection.embed(self._call, self._body(texts))
        except (RowError, Crashed) as error:
            if len(texts) == 1:
                self._problems[texts[0]] = self._problem(error)
                return
            middle = len(texts) // 2
            self._ask(texts[:middle])
            self._ask(texts[middle:])
            return
        self._crashes.answered = True
        self._counts.add(usage)
        cache = self._config.answers(self._context)
        for text, vector in zip(texts, vectors, strict=True):
            self._vectors[text] = vector
            if cache is not None:
                cache.put(self._key(text), array("d", vector).tobytes())

    def _problem(self, error: RowError | Crashed) -> tuple[str, str]:
        return self._crashes.problem(error) if isinstance(error, Crashed) else (str(error), "BadRequest")

    def _stored(self, text: str) -> bool:
        cache = self._config.answers(self._context)
        stored = cache.get(self._key(text)) if cache is not None else None
        if stored is None:
            return False
        self._counts.cached += 1
        self._vectors[text] = array("d", stored).tolist()
        return True

    def _key(self, text: str) -> bytes:
        return answer_key(self._connection.service.base_url, self._body([text]))

    def _body(self, texts: list[str]) -> dict[str, Any]:
        fields = {"dimensions": self._config.dimensions, **self._config.options}
        said = {name: value for name, value in fields.items() if value is not None}
        return {"model": self._connection.model, "input": texts, **said}

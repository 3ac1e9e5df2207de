"""A table of a query in DuckDB's dialect: the rows that its viewer sees, asked anew for each time that DuckDB
reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pyarrow as pa

from heddle.database.answers import Answer
from heddle.database.errors import QueryError


class Scan:
    """What DuckDB takes for an Arrow stream that can be read more than once, also side by side. `ask` begins
    to read the rows. Thread-safe."""

    def __init__(self, schema: pa.Schema, ask: Callable[[], Answer]) -> None:
        self.schema = schema
        self.failure: QueryError | None = None
        """What the reading failed of; DuckDB tells it in words of its own."""
        self._ask = ask
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._why: QueryError | None = None

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        rows = self._rows()
        return pa.RecordBatchReader.from_batches(self.schema, rows).__arrow_c_stream__()

    def cancel(self, why: QueryError) -> None:
        """What reads the rows ends; nothing begins to any more."""
        with self._lock:
            self._why = self._why or why
            answers = list(self._answers)
        for answer in answers:
            answer.cancel(why)

    def close(self) -> None:
        """Free what it reads; DuckDB does so no more."""
        with self._lock:
            answers, self._answers = self._answers, []
        for answer in answers:
            answer.close()

    def _rows(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._begun().batches()
        except QueryError as error:
            self.failure = self.failure or error
            raise

    def _begun(self) -> Answer:
        answer = self._ask()
        with self._lock:
            self._answers.append(answer)
            why = self._why
        if why is not None:
            raise why
        return answer

"""The requests of one call: for the rows of an input, or page after page without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import pyarrow as pa

from fhub.calls import Call
from fhub.cells import Misfit
from fhub.http.answers import checked, next_page, row_objects, table_of
from fhub.http.requests import Request, headers_of, requests_of, target_of
from fhub.http.settings import IDEMPOTENT, SAFE, RequestConfig
from fhub.templates import check_columns
from fhub.web import Answer, WebError
from heddle.core.step import StepContext

Rows = Sequence[Mapping[str, Any]] | tuple[str, str]
"""The rows of an answer, or what is wrong with it: the reason and its kind."""


class Exchange:
    """One call of the step `request`."""

    def __init__(self, config: RequestConfig, context: StepContext) -> None:
        self._config = config
        self._context = context
        self._connection = config.connection
        self._service = self._connection.service
        self._call = Call(context)
        self._sent = 0
        self._key = context.idempotency_key or uuid4().hex

    def for_rows(self, input: pa.Table) -> pa.Table:
        """A row for each of the input that is not rejected. Equal requests that only read are sent once."""
        requests = list(requests_of(self._config, input))
        first: dict[object, Request] = {}
        keys = [_key(each) if self._config.method in SAFE else each for each in requests]
        for key, request in zip(keys, requests, strict=True):
            first.setdefault(key, request)
        try:
            answers = self._call.each(list(first.values()), self._rows, self._connection.config.concurrency)
        finally:
            self._tell()
        by_key = dict(zip(first, answers, strict=True))
        objects: list[Mapping[str, Any]] = []
        rejected: dict[tuple[str, str], list[int]] = {}
        for key, request in zip(keys, requests, strict=True):
            found = by_key[key]
            if isinstance(found, tuple):
                rejected.setdefault(found, []).extend(request.rows)
            else:
                objects += found
        for (reason, error_type), numbers in rejected.items():
            self._context.reject(numbers, reason, error_type=error_type)
        return table_of(objects, self._config)

    def pages(self) -> Iterator[pa.Table]:
        """The rows of one answer after the other. Raises `WebError` for one that is no row."""
        config = self._config
        for setting, names in config.columns_named().items():
            check_columns(names, (), setting)
        target = target_of(config, {})
        seen = set()
        headers = tuple(headers_of(config, {}).items())
        try:
            for number in range(config.pages_max):
                seen.add(target)
                answers = self._call.each([Request((), target, headers)], self._answer, 1)
                page = answers[0]
                problem = checked(page, config, self._service)
                if problem is not None:
                    raise WebError(f"{config.method} {self._service.base_url}{config.path}: {problem}")
                try:
                    yield table_of(row_objects(page, config, None), config)
                    following = next_page(page, config, self._service.base_url + target)
                except Misfit as misfit:
                    raise WebError(
                        f"{self._service.base_url}{config.path}, page {number + 1}: {misfit}"
                    ) from None
                if following is None:
                    return
                target = self._following(following)
                if target in seen:
                    raise WebError(f"page {number + 1} names a page before it as the next one")
            raise WebError(f"there are more than {config.pages_max} pages; raise `pages_max`")
        finally:
            self._tell()

    def _following(self, page: str) -> str:
        """Credentials go to no other place than the connection's address."""
        if self._config.cursor is not None:
            return target_of(self._config, {}, {self._config.cursor: page})
        base = self._service.base_url
        if not page.startswith((f"{base}/", f"{base}?")):
            raise WebError("the next page lies outside of `base_url`")
        return page.removeprefix(base).partition("#")[0]

    def _rows(self, request: Request) -> Rows:
        if request.problem is not None:
            return (request.problem, "BadRequest")
        answer = self._answer(request)
        problem = checked(answer, self._config, self._service)
        if problem is not None:
            return (problem, f"Status{answer.status}")
        try:
            return row_objects(answer, self._config, len(request.rows))
        except Misfit as misfit:
            return (str(misfit), "InvalidAnswer")

    def _answer(self, request: Request) -> Answer:
        config = self._config
        headers = dict(request.headers)
        if config.idempotency_header is not None:
            text = f"{self._key}/{request.rows[0] if request.rows else 0}"
            headers[config.idempotency_header] = blake2b(text.encode(), digest_size=16).hexdigest()
        self._sent += 1
        return self._service.send(
            self._call,
            config.method,
            request.target,
            body=request.body,
            headers=headers,
            repeatable=config.method in IDEMPOTENT or config.idempotency_header is not None,
        )

    def _tell(self) -> None:
        self._context.metric("requests", self._sent)
        self._context.metric("retries", self._call.retries)


def _key(request: Request) -> object:
    return (request.target, request.headers, request.problem)

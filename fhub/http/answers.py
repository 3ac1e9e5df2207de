"""Answers as rows: JSON to columns, and the way to the next page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urljoin

import pyarrow as pa

from fhub.cells import Misfit, check_row, load_json, read_rows
from fhub.http.settings import LINK, RequestConfig
from fhub.web import LATER, Answer, Service, Unreachable, WebError

SAID_CHARS_MAX: Final = 200
PLAIN_SCHEMA: Final = {"status": "int", "body": "string?"}
"""The columns of answers that no `schema` describes."""

OF_THE_REQUEST: Final = 500
"""The one status of those that may pass by which may also be about the request alone."""


def schema_of(config: RequestConfig) -> Mapping[str, str]:
    return config.schema if config.schema is not None else PLAIN_SCHEMA


def checked(answer: Answer, config: RequestConfig, service: Service) -> str | None:
    """What is wrong with the rows that it is for. Raises `Unreachable` and `WebError` when it is the service,
    or when the settings want that."""
    if answer.status < 300:
        return None
    said = service.scrubbed(answer.body.decode(errors="replace")[:SAID_CHARS_MAX]).strip()
    wait_s = answer.retry_after_s
    told = f"status {answer.status}" + (f", {said}" if said else "")
    if answer.status in LATER and answer.status != OF_THE_REQUEST:
        wait = f"; it asks to wait {wait_s:g} s" if wait_s is not None else ""
        raise Unreachable(f"{service.base_url} answers with {told}{wait}")
    if answer.status == 401:
        raise WebError(f"{service.base_url} refuses the credentials (status 401)")
    if config.errors == "fail":
        raise WebError(f"{service.base_url} answers with {told}")
    return f"the service answers with {told}"


def row_objects(answer: Answer, config: RequestConfig, count: int | None) -> Sequence[Mapping[str, Any]]:
    """The rows in an answer: `count` of them, or None for as many as there are. Raises `Misfit`."""
    if config.schema is None:
        return [{"status": answer.status, "body": _text(answer)}] * (1 if count is None else count)
    found = _records(loaded(answer), config)
    many = count is None or config.batch_rows > 1
    objects = found if isinstance(found, list) and many else [found]
    if count is not None and len(objects) != count:
        raise Misfit(f"the answer has {len(objects)} rows for {count}")
    return [_row(each, config.schema, number, len(objects)) for number, each in enumerate(objects)]


def table_of(objects: Sequence[Mapping[str, Any]], config: RequestConfig) -> pa.Table:
    return read_rows(objects, schema_of(config))


def loaded(answer: Answer) -> Any:
    """Raises `Misfit`."""
    if not answer.body:
        raise Misfit("the answer is empty")
    try:
        return load_json(answer.body)
    except ValueError as error:
        raise Misfit(f"the answer is no JSON: {error}") from None


def next_page(answer: Answer, config: RequestConfig, here: str) -> str | None:
    """The address of the next page, or its cursor; None at the last. `here` is this page's address."""
    if config.next is None:
        return None
    if config.next == LINK:
        found = _linked(answer.headers.get("Link", ""))
        return None if found is None else urljoin(here, found)
    value = _at(loaded(answer), config.next)
    if value is None or value == "" or value is False:
        return None
    if isinstance(value, bool | list | dict):
        raise Misfit(f"`{config.next}` is no page's address")
    return str(value) if config.cursor is not None else urljoin(here, str(value))


def _linked(header: str) -> str | None:
    for target, parameters in re.findall(r"<([^<>]*)>([^<]*)", header):
        if re.search(
            r';\s*rel\s*=\s*"?(?:[^";]*\s)?next(?:\s[^";]*)?"?\s*(?:[;,]|$)', parameters, re.IGNORECASE
        ):
            return str(target)
    return None


def _records(value: Any, config: RequestConfig) -> Any:
    if config.records is None:
        return value
    found = _at(value, config.records)
    if found is None:
        raise Misfit(f"the answer has no `{config.records}`")
    return found


def _at(value: Any, way: str) -> Any:
    for part in way.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _row(value: Any, schema: Mapping[str, str], number: int, count: int) -> Mapping[str, Any]:
    try:
        return check_row(value, schema)
    except Misfit as misfit:
        where = f" of row {number + 1}" if count > 1 else ""
        raise Misfit(f"the answer does not fit{where}: {misfit}") from None


def _text(answer: Answer) -> str | None:
    """Raises `Misfit`."""
    try:
        return answer.body.decode() or None
    except UnicodeDecodeError:
        raise Misfit("the answer is no text in UTF-8") from None

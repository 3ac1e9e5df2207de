"""Rows as requests: what each setting's template makes of a row, encoded for its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

import pyarrow as pa

from fhub.cells import cell_texts
from fhub.http.settings import WITH_BODY, RequestConfig
from fhub.templates import Template, check_columns
from fhub.web import WebError, check_headers
from heddle.core.json_text import to_json
from heddle.core.record import record

LITERAL: Final = "/:@!$&'()*+,;=~%"
"""What a path may hold beside letters, digits and `-._`."""

Cells = Mapping[str, str | None]


@record(frozen=True, slots=True)
class Request:
    """`rows` are the numbers of the rows that it is for. Without a `target` it cannot be sent, and `problem`
    says why."""

    rows: tuple[int, ...]
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    problem: str | None = None


def requests_of(config: RequestConfig, input: pa.Table) -> Iterator[Request]:
    """Raises `UnknownColumn`."""
    named = config.columns_named()
    for setting, names in {**named, "body": tuple(config.body or ())}.items():
        check_columns(names, input.column_names, setting)
    bodies = _bodies(config, input)
    if config.batch_rows > 1:
        for start in range(0, input.num_rows, config.batch_rows):
            rows = tuple(range(start, min(start + config.batch_rows, input.num_rows)))
            body = "[" + ",".join(bodies[number] or "" for number in rows) + "]"
            yield _request(config, rows, {}, body)
        return
    columns = {name: cell_texts(input.column(name)) for names in named.values() for name in names}
    for number in range(input.num_rows):
        cells = {name: texts[number] for name, texts in columns.items()}
        yield _request(config, (number,), cells, bodies[number])


def target_of(config: RequestConfig, cells: Cells, more: Mapping[str, str] | None = None) -> str:
    """The path below the address, with its query. Raises `ValueError` for a value that a path cannot have."""
    path = _path(config.path, cells)
    query = {**_filled(config.query, cells), **(more or {})}
    return path + ("?" + urlencode(query, quote_via=quote) if query else "")


def headers_of(config: RequestConfig, cells: Cells) -> dict[str, str]:
    """Raises `WebError` for a value that a header cannot have."""
    headers = _filled(config.headers, cells)
    check_headers(headers)
    if config.schema is not None:
        headers = {"Accept": "application/json", **headers}
    return headers


def _request(config: RequestConfig, rows: tuple[int, ...], cells: Cells, body: str | None) -> Request:
    try:
        target, headers = target_of(config, cells), headers_of(config, cells)
    except (ValueError, WebError) as error:
        return Request(rows, "", problem=str(error))
    if body is not None:
        headers = {"Content-Type": "application/json", **headers}
    return Request(rows, target, tuple(headers.items()), None if body is None else body.encode())


def _bodies(config: RequestConfig, input: pa.Table) -> Sequence[str | None]:
    if config.method not in WITH_BODY:
        return [None] * input.num_rows
    texts: list[str | None] = to_json(input if config.body is None else input.select(config.body)).to_pylist()
    return texts


def _path(template: str, cells: Cells) -> str:
    filled = Template(template)
    for name in filled.columns:
        if not cells[name]:
            what = "null" if cells[name] is None else "empty"
            raise ValueError(f"`{name}` is {what}, and the path needs it")
    path = Template(quote(template, safe=LITERAL + "{}")).fill(
        {name: cells[name] or "" for name in filled.columns}, lambda value: quote(value, safe="")
    )
    if any(part in (".", "..") for part in path.split("/")):
        raise ValueError("the path would have a part `.` or `..`, which means another path")
    return path


def _filled(templates: Mapping[str, str], cells: Cells) -> dict[str, str]:
    """Without those that name a column which is null."""
    result: dict[str, str] = {}
    for name, text in templates.items():
        template = Template(text)
        values = {column: cells[column] for column in template.columns}
        known = {column: value for column, value in values.items() if value is not None}
        if len(known) == len(values):
            result[name] = template.fill(known)
    return result

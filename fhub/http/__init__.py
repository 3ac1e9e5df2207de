"""HTTP services: `http.request` asks one about each row, or reads its pages as rows; `http.send` writes.

Answers in JSON become the columns of `schema`, beside those of the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fhub.http.settings import ConnectionConfig, RequestConfig, SendConfig
from fhub.templates import check_columns
from heddle.core.resource import Resource
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.core.types import RowType
from heddle.sdk import Plugin

plugin = Plugin(namespace="fhub/http", doc="HTTP services")


@plugin.resource(name="connection")
def connection(config: ConnectionConfig) -> Resource:
    """A service: its address, and who asks it."""
    from fhub.http.connection import Connection

    return Connection(config)


def request_row(config: RequestConfig, input: RowType) -> Mapping[str, str]:
    """Raises `UnknownColumn` for a template that names none of the input's columns."""
    from fhub.http.answers import schema_of

    if not input.open:
        for setting, names in {**config.columns_named(), "body": tuple(config.body or ())}.items():
            check_columns(names, input.names, setting)
    return schema_of(config)


@plugin.step(
    name="request",
    resource="connection",
    resource_required=False,
    rows="map",
    passthrough=True,
    infer=request_row,
)
def request(config: RequestConfig, input: Table | None, context: StepContext) -> Iterator[Table]:
    """Adds the columns of the service's answer to each row; without an input, the rows of its answers."""
    from fhub.http.exchange import Exchange

    exchange = Exchange(config, context)
    if input is None:
        for page in exchange.pages():
            yield Table.from_arrow(page)
    else:
        yield Table.from_arrow(exchange.for_rows(input.to_arrow()))


@plugin.step(name="send", resource="connection", resource_required=False, rows="map", effect=True)
def send(config: SendConfig, input: Table, context: StepContext) -> None:
    """Sends each row; of the answers only the status counts."""
    from fhub.http.exchange import Exchange

    Exchange(config.request, context).for_rows(input.to_arrow())

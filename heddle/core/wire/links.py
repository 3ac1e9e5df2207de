"""The links of chains on the wire."""

from __future__ import annotations

from heddle.core.link import Link
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.description import ROWS
from heddle.core.wire.payload import PayloadError, decode_schema, encode_schema


def encode_link(link: Link) -> wire.Link:
    return wire.Link(
        takes=encode_schema(link.takes),
        gives=encode_schema(link.gives),
        returns=sorted(link.returns),
        open=link.open,
        rows=link.rows,
    )


def decode_link(link: wire.Link) -> Link:
    """Raises `PayloadError`."""
    rows = next((r for r in ROWS if r == link.rows), None)
    if rows is None:
        raise PayloadError(f'a link with rows "{link.rows}"')
    takes, gives = decode_schema(link.takes), decode_schema(link.gives)
    return Link(takes, gives, frozenset(link.returns), link.open, rows)

"""Reading where a server's metrics and spans go: `metrics` of `[serve]`, and `[serve.telemetry]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from heddle.serve_settings import SPAN_PROTOCOLS, MetricsAddress, SpanProtocol, TelemetrySettings
from heddle.toml_places import KeyPath
from heddle.toml_reader import TomlReader

if TYPE_CHECKING:
    from heddle.frontend.typed import ConfigData

ADDRESS_HELP: Final = "write a port, such as 9464, or a host with one, such as `0.0.0.0:9464`"
PORT_MAX: Final = 65535
_PORT: Final = r"[0-9]{1,5}"
_HEADER: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"


def address_of(text: str) -> MetricsAddress | None:
    """Of `PORT`, `HOST:PORT` or `[IPV6]:PORT`; None for anything else."""
    host, colon, port = text.strip().rpartition(":")
    if not re.fullmatch(_PORT, port) or int(port) > PORT_MAX:
        return None
    if not colon:
        return MetricsAddress(int(port))
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or (":" in bare) != (host != bare):
        return None
    return MetricsAddress(int(port), bare)


def metrics_address(reader: TomlReader, table: Mapping[str, object], at: KeyPath) -> MetricsAddress | None:
    value = table.get(at[-1])
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        reader.wrong_kind(at, value, "a port or an address", ADDRESS_HELP)
        return None
    address = address_of(str(value))
    if address is None:
        reader.report("HD0723", f"`{value}` is no address to listen on", at, ADDRESS_HELP)
    return address


def telemetry(reader: TomlReader, value: object, at: KeyPath) -> TelemetrySettings:
    known = ("endpoint", "protocol", "headers", "service", "sample", "statements")
    table = reader.table(value, at, known)
    return TelemetrySettings(
        endpoint=_endpoint(reader, table, (*at, "endpoint")),
        protocol=_protocol(reader, table, (*at, "protocol")),
        headers=_headers(reader, table.get("headers", {}), (*at, "headers")),
        service=reader.text(table, (*at, "service"), lambda text, _: text or None, None),
        sample=_share(reader, table, (*at, "sample")),
        statements=reader.flag(table, (*at, "statements")),
    )


def _endpoint(reader: TomlReader, table: Mapping[str, object], at: KeyPath) -> str | None:
    def read(text: str, at: KeyPath) -> str | None:
        if "@" in text:
            help = "put what it asks for into `headers`, as a secret"
            reader.report("HD0723", f"`{at[-1]}` holds a user or a password", at, help)
            return None
        try:
            url = urlsplit(text)
            right = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
        except ValueError:
            right = False
        if not right:
            help = "write it like `http://127.0.0.1:4318`"
            reader.report("HD0723", f"`{text}` is no address of a collector", at, help)
            return None
        return text

    return reader.text(table, at, read, None)


def _protocol(reader: TomlReader, table: Mapping[str, object], at: KeyPath) -> SpanProtocol | None:
    return reader.text(table, at, lambda text, at: reader.one_of(text, at, SPAN_PROTOCOLS), None)


def _share(reader: TomlReader, table: Mapping[str, object], at: KeyPath) -> float | None:
    value = table.get(at[-1])
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        help = "write it like `sample = 0.1` for one trace of ten"
        reader.wrong_kind(at, value, "a number from 0 to 1", help)
        return None
    return float(value)


def _headers(reader: TomlReader, value: object, at: KeyPath) -> dict[str, ConfigData]:
    headers: dict[str, ConfigData] = {}
    for name, content in reader.table(value, at).items():
        here = (*at, name)
        if not re.fullmatch(_HEADER, name):
            help = "letters, digits and `-` are allowed"
            reader.report("HD0723", f"`{name}` is no name of a header", here, help, on_key=True)
            continue
        given = _header(content)
        if given is None:
            help = f'write `{name} = {{ secret = "NAME" }}` or `{name} = {{ env = "NAME" }}`, or a text'
            reader.wrong_kind(here, content, "a text or a reference to a secret", help)
        else:
            headers[name.lower()] = given
    return headers


def _header(content: object) -> ConfigData:
    """The typed program's nodes import pyarrow, which commands that only read text do without."""
    match content:
        case str():
            return content
        case {"env": str(name), **rest} if not rest:
            from heddle.frontend.typed import EnvRef

            return EnvRef(name)
        case {"secret": str(name), **rest} if not rest:
            from heddle.frontend.typed import SecretRef

            return SecretRef(name)
        case _:
            return None

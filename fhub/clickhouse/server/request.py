"""What a client asks of ClickHouse's HTTP interface, taken out of address, headers and body."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# A word outside of quotes is what the head of an INSERT ends with; its data may hold any bytes.
_INSERT_HEAD = re.compile(
    rb"""\s*(?P<head>INSERT\s+INTO\s+(?:`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^`"'])*?)
    \s+FORMAT\s+(?P<format>\w+)[ \t;]*(?:\r?\n|\Z|(?<=\s))""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_FORMAT = re.compile(r"\s+FORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
_EXTERNAL = ("_format", "_types", "_structure")
# What the server itself acts on. The other parameters of an address are settings of the query.
_OWN = frozenset(
    {
        "query", "database", "default_format", "user", "password", "query_id", "session_id", "session_check",
        "session_timeout", "compress", "decompress", "quota_key", "wait_end_of_query", "buffer_size",
        "client_protocol_version", "role", "stacktrace", "close_session",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """Rows sent along with a query. `columns` as in CREATE TABLE."""

    name: str
    columns: str
    format: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One query. `inserted` is the data of an INSERT, in `format`; otherwise `format` is the answer's."""

    sql: str
    format: str
    inserted: bytes | None
    database: str
    query_id: str
    session_id: str
    parameters: dict[str, str]
    settings: dict[str, str]
    external: list[ExternalTable]
    wait_end: bool
    read_only: bool = field(default=False)

    def setting(self, name: str) -> bool:
        return self.settings.get(name, "0") not in {"0", "false", ""}


def parse_request(
    arguments: dict[str, str],
    body: bytes,
    files: dict[str, bytes],
    *,
    default_format: str,
    query_id: str,
    read_only: bool,
) -> Request:
    """`arguments` are those of the address, and the fields of a form that came with `files`."""
    text = arguments.get("query", "").encode()
    text = b"\n".join(part for part in (text, body) if part)
    inserting = _INSERT_HEAD.match(text)
    if inserting is not None:
        sql, form = inserting["head"].decode(), inserting["format"].decode()
        inserted: bytes | None = text[inserting.end() :]
    else:
        sql, form, inserted = text.decode(errors="replace"), default_format, None
        if asked := _FORMAT.search(sql):
            sql, form = sql[: asked.start()], asked[1]
    tables = [_external(name, data, arguments) for name, data in files.items()]
    described = {f"{name}{suffix}" for name in files for suffix in _EXTERNAL}
    return Request(
        sql=sql,
        format=form,
        inserted=inserted,
        database=arguments.get("database", ""),
        query_id=query_id,
        session_id=arguments.get("session_id", ""),
        parameters={
            name.removeprefix("param_"): value
            for name, value in arguments.items()
            if name.startswith("param_")
        },
        settings={
            name: value
            for name, value in arguments.items()
            if name not in _OWN and name not in described and not name.startswith("param_")
        },
        external=tables,
        wait_end=arguments.get("wait_end_of_query", "0") == "1",
        read_only=read_only,
    )


def _external(name: str, data: bytes, arguments: dict[str, str]) -> ExternalTable:
    columns = arguments.get(f"{name}_structure", "")
    if not columns:
        types = arguments.get(f"{name}_types", "").split(",")
        columns = ", ".join(f"_{number} {type_}" for number, type_ in enumerate(types, 1))
    return ExternalTable(name, columns, arguments.get(f"{name}_format", "TabSeparated"), data)

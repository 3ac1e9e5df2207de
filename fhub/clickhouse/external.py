"""Rows on their way to the server: as an Arrow stream, or as a table sent along with a statement."""

from __future__ import annotations

import secrets

import pyarrow as pa


def multipart(sql: str, name: str, table: pa.Table) -> tuple[bytes, str]:
    """A form with the statement and a table, and its content type."""
    boundary = secrets.token_hex(16)
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="query"\r\n\r\n{sql}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = b"".join([head.encode(), stream.getvalue().to_pybytes(), f"\r\n--{boundary}--\r\n".encode()])
    return body, f"multipart/form-data; boundary={boundary}"

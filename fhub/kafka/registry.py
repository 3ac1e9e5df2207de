"""A client of a schema registry by Confluent's protocol, and the frame that stands before registered values.

A schema that has an id never changes, so those are asked for once. `framed` and `unframed` are the five bytes
before a value: a zero and the schema's id.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from fhub.cells import Misfit
from fhub.kafka.config import ConnectionConfig, seconds
from fhub.kafka.failures import KafkaProblem, KafkaUnavailable, install_hint
from heddle.core.record import record

if TYPE_CHECKING:
    from urllib3 import PoolManager

TRIES_MAX: Final = 4
ANSWER_BYTES_MAX: Final = 16 << 20
_MAGIC: Final = 0
_CONTENT: Final = "application/vnd.schemaregistry.v1+json"
_NOT_FOUND: Final = 404


@record(frozen=True, slots=True)
class Registered:
    """`references` are the schemas that this one names, by the name it uses: subject and version."""

    id: int
    kind: str
    text: str
    references: Mapping[str, tuple[str, int]]


class SchemaRegistry:
    """Several threads may use it. Raises `KafkaProblem` and `KafkaUnavailable`."""

    def __init__(self, config: ConnectionConfig) -> None:
        if config.schema_registry is None:
            raise KafkaProblem(
                '`format: "avro"` and "protobuf" need the registry that holds the schemas: '
                "`schema_registry` of the connection"
            )
        self.url = config.schema_registry.rstrip("/")
        self._timeout_s = seconds(config.connect_timeout, "connect_timeout")
        self._http, self._headers = _opened(config)
        self._lock = threading.Lock()
        self._by_id: dict[tuple[int, bool], Registered] = {}

    def close(self) -> None:
        self._http.clear()

    def by_id(self, id: int, *, serialized: bool = False) -> Registered:
        """`serialized`: Protobuf's schema as a base64 descriptor instead of its text."""
        with self._lock:
            found = self._by_id.get((id, serialized))
        if found is None:
            answer = self._get(f"/schemas/ids/{id}", serialized)
            if answer is None:
                raise KafkaProblem(f"the schema registry at {self.url} has no schema {id}")
            found = _registered({**answer, "id": id})
            with self._lock:
                self._by_id[id, serialized] = found
        return found

    def latest(self, subject: str, *, serialized: bool = False) -> Registered | None:
        """The subject's newest schema; None when it has none."""
        answer = self._get(f"/subjects/{quote(subject, safe='')}/versions/latest", serialized)
        return None if answer is None else _registered(answer)

    def version(self, subject: str, version: int, *, serialized: bool = False) -> Registered:
        answer = self._get(f"/subjects/{quote(subject, safe='')}/versions/{version}", serialized)
        if answer is None:
            raise KafkaProblem(
                f"the schema registry at {self.url} has no version {version} of `{subject}`, to which a "
                "schema refers"
            )
        return _registered(answer)

    def register(self, subject: str, text: str, kind: str) -> int:
        """The schema's id, which is that of an equal one where the subject has it."""
        body = json.dumps({"schema": text, "schemaType": kind})
        answer = self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", body)
        assert answer is not None
        return int(answer["id"])

    def _get(self, path: str, serialized: bool) -> dict[str, Any] | None:
        return self._ask("GET", path + ("?format=serialized" if serialized else ""), None)

    def _ask(self, method: str, path: str, body: str | None) -> dict[str, Any] | None:
        """The answer's object; None where there is no such thing."""
        from urllib3.exceptions import HTTPError

        what = f"{method} {self.url}{path}"
        try:
            answer = self._http.request(method, self.url + path, body=body, headers=self._headers)
        except HTTPError as error:
            raise KafkaUnavailable(f"the schema registry does not answer: {what}: {_why(error)}") from error
        if answer.status == _NOT_FOUND and method == "GET":
            return None
        if answer.status in (401, 403):
            raise KafkaProblem(
                f"the schema registry refuses: {what}: HTTP {answer.status}; check "
                "`schema_registry_username` and `schema_registry_password` of the connection"
            )
        try:
            found = json.loads(answer.data)
        except ValueError:
            found = None
        if answer.status >= 500 or answer.status == 429:
            raise KafkaUnavailable(f"the schema registry fails: {what}: HTTP {answer.status}{_said(found)}")
        if answer.status >= 300 or not isinstance(found, dict):
            raise KafkaProblem(f"the schema registry refuses: {what}: HTTP {answer.status}{_said(found)}")
        return found


def framed(id: int, value: bytes) -> bytes:
    return struct.pack(">bI", _MAGIC, id) + value


def unframed(value: bytes | None) -> tuple[int, bytes]:
    """A value's schema id and the rest. Raises `Misfit`."""
    if value is None:
        raise Misfit("it has no value (a tombstone)")
    if len(value) < 5 or value[0] != _MAGIC:
        raise Misfit("it does not begin with the id of a registered schema")
    return int.from_bytes(value[1:5], "big"), value[5:]


def subject_of(topic: str) -> str:
    """The name under which the schema of a topic's values is registered."""
    return f"{topic}-value"


def _opened(config: ConnectionConfig) -> tuple[PoolManager, dict[str, str]]:
    try:
        from urllib3 import PoolManager, Retry, Timeout, make_headers
    except ImportError as error:
        raise install_hint("urllib3") from error
    headers = {"Accept": _CONTENT, "Content-Type": _CONTENT}
    if config.schema_registry_username is not None:
        password = config.schema_registry_password or ""
        headers |= make_headers(basic_auth=f"{config.schema_registry_username}:{password}")
    retries = Retry(
        TRIES_MAX - 1,
        redirect=0,
        backoff_factor=0.1,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,  # registering the same schema again gives the same id
        raise_on_status=False,
    )
    timeout_s = seconds(config.connect_timeout, "connect_timeout")
    settings: dict[str, Any] = {"retries": retries, "timeout": Timeout(timeout_s), "maxsize": 4}
    if config.schema_registry_ca is not None:
        settings["ca_certs"] = str(config.base / config.schema_registry_ca)
    return PoolManager(**settings), headers


def _registered(answer: Mapping[str, Any]) -> Registered:
    references = {each["name"]: (each["subject"], each["version"]) for each in answer.get("references") or []}
    return Registered(answer["id"], answer.get("schemaType") or "AVRO", answer["schema"], references)


def _said(answer: Any) -> str:
    message = answer.get("message") if isinstance(answer, dict) else None
    return f", {message}" if message else ""


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error)

"""A stand-in for a language model, for trying out a program on a machine that has none: `base_url:
"embedded:stand-in"`. It understands nothing. The same request has the same answer, each says that it is a
stand-in's, and JSON schemas are filled with the first values that they allow.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

NAME: Final = "stand-in"
LABEL: Final = "[stand-in for a model]"
SAID_CHARS_MAX: Final = 200
DIMENSIONS: Final = 16
LOOPBACK: Final = "127.0.0.1"


class StandIn:
    """Serves OpenAI's protocol in this process, at `url`, until it is closed."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer((LOOPBACK, 0), _Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="stand-in", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._say(200, {"object": "list", "data": [{"id": NAME, "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.path.endswith("/embeddings"):
            self._say(200, _embeddings(asked))
        elif self.path.endswith("/chat/completions"):
            self._say(200, _completion(asked))
        else:
            self._say(404, {"error": {"message": f"the stand-in has no {self.path}"}})

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is logged."""

    def _say(self, status: int, answer: Mapping[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _completion(asked: Mapping[str, Any]) -> dict[str, Any]:
    said = [str(message.get("content", "")) for message in asked.get("messages", ())]
    schema = asked.get("response_format", {}).get("json_schema", {}).get("schema")
    if schema is not None:
        text = json.dumps(_filled(schema))
    else:
        text = f"{LABEL} {said[-1][:SAID_CHARS_MAX] if said else ''}".rstrip()
    prompt, completion = sum(len(each.split()) for each in said), len(text.split())
    return {
        "object": "chat.completion",
        "model": NAME,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }


def _filled(schema: Mapping[str, Any]) -> Any:
    """The first value that a JSON schema allows, more or less."""
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            return _filled(schema[choice][0])
    kind = schema.get("type", "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            return {name: _filled(each) for name, each in schema.get("properties", {}).items()}
        case "array":
            return []
        case "integer" | "number":
            return 0
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return LABEL


def _embeddings(asked: Mapping[str, Any]) -> dict[str, Any]:
    given = asked["input"]
    texts = [given] if isinstance(given, str) else given
    dimensions = asked.get("dimensions") or DIMENSIONS
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(text, dimensions)}
        for index, text in enumerate(texts)
    ]
    count = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "model": NAME, "data": data, "usage": usage}


def _vector(text: str, dimensions: int) -> list[float]:
    """Numbers between -1 and 1 that depend on the text alone."""
    digest = hashlib.shake_128(text.encode()).digest(dimensions)
    return [byte / 127.5 - 1.0 for byte in digest]

"""A connection to a server of language models, by OpenAI's protocol, and what its answers mean.

`chat` and `embed` send one request. What goes wrong is told by its kind: `Unreachable` for what another
attempt may cure, `ModelError` for what no request can get past (a key, a model's name), `RowError` for what
is wrong with these rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fhub.calls import Call, OutOfTime
from fhub.llm.embedded import served
from fhub.llm.settings import ConnectionConfig, timeout_s
from fhub.llm.stream import StreamText
from fhub.web import LATER, Answer, Service, Unreachable, WebError
from heddle.core.record import record
from heddle.core.resource import Resource
from heddle.core.step import StepContext

MALFORMED_TRIES: Final = 3
"""How often a request is sent whose answers are none."""
HEALTH_WAIT_S: Final = 5.0
SAID_CHARS_MAX: Final = 500
OF_THE_ROW: Final = frozenset({"messages", "input", "prompt"})
"""What `param` of a 400 names when the rows are at fault."""


class ModelError(WebError):
    """No row can be asked about: the key, the model's name or another setting is wrong."""


class RowError(Exception):
    """The server refuses these rows, such as a text that is too long."""


class Crashed(Unreachable):
    """Status 500, again and again: the server's fault, or that of rows that it cannot bear."""


@record(frozen=True, slots=True)
class Usage:
    """Tokens; None where the server does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


NOTHING: Final = Usage(0, 0)


@record(frozen=True, slots=True)
class Reply:
    """`finish` is why the text ends: "stop", "length" for a limit, "content_filter"."""

    text: str
    finish: str = "stop"
    usage: Usage = NOTHING


class Connection(Resource):
    def __init__(self, config: ConnectionConfig) -> None:
        self.config = config
        key = config.api_key
        self._served = served(config.base_url, config.base)
        self.service = Service(
            config.base_url if self._served is None else self._served.url,
            "llm",
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {key}"} if key is not None else {}),
            secrets=(key,) if key else (),
            timeout_s=timeout_s(config.timeout),
            concurrency=config.concurrency,
            requests_per_minute=config.requests_per_minute,
            ca_file=config.ca_file,
        )

    def close(self) -> None:
        self.service.close()
        if self._served is not None:
            self._served.close()

    def health(self) -> str | None:
        call = Call(StepContext(deadline=HEALTH_WAIT_S))
        try:
            answers = call.each([()], lambda _: self.service.send(call, "GET", "/models"), 1)
        except (WebError, Unreachable, OutOfTime) as error:
            return str(error)
        status = answers[0].status
        if status in (401, 403):
            return f"{self.service.base_url} refuses the API key (status {status})"
        return f"{self.service.base_url} answers with status {status}" if status >= 500 else None

    @property
    def model(self) -> str:
        """Raises `ModelError`."""
        if self.config.model is None:
            raise ModelError("no model is named: set `model` on the connection or on the step")
        return self.config.model

    def chat(self, call: Call, body: Mapping[str, Any], tell: Callable[[str], None] | None = None) -> Reply:
        """The answer to a conversation. With `tell` it comes in pieces, which are told as they come."""
        if tell is None:
            return _reply(self._asked(call, "/chat/completions", body, _chat_answer))
        streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
        return _reply(self._asked(call, "/chat/completions", streamed, _stream_answer, tell))

    def embed(self, call: Call, body: Mapping[str, Any]) -> tuple[list[list[float]], Usage]:
        """A vector for each text of `input`."""
        count = len(body["input"])
        answer = self._asked(call, "/embeddings", body, lambda answer: _vectors(answer, count))
        return answer["vectors"], _usage(answer)

    def _asked(
        self,
        call: Call,
        target: str,
        body: Mapping[str, Any],
        read: Callable[[Answer], dict[str, Any]],
        tell: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        text = json.dumps(body).encode()
        for _ in range(MALFORMED_TRIES):
            answer = self.service.send(
                call,
                "POST",
                target,
                body=text,
                on_try=None if tell is None else lambda: StreamText(tell).take,
            )
            if answer.status != 200:
                raise self._refused(answer, target, str(body.get("model")))
            try:
                return read(answer)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                call.again(0)
                problem = (
                    str(error) if isinstance(error, _Malformed) else "its answer is not of OpenAI's form"
                )
        raise Unreachable(f"{self.service.base_url}{target}: {self.service.scrubbed(problem)}")

    def _refused(self, answer: Answer, target: str, model: str) -> Exception:
        place = f"{self.service.base_url}{target}"
        said, code, param = _error_of(answer)
        said = self.service.scrubbed(said)
        if answer.status in (401, 403):
            # Servers repeat parts of the key here.
            return ModelError(f"{place} refuses the API key (status {answer.status}); set `api_key`")
        if code == "insufficient_quota":
            return ModelError(f"{place}: the account has no credit left: {said}")
        if answer.status == 404 or code == "model_not_found":
            return ModelError(f"{place} knows no model `{model}`, or is no such address: {said}")
        if answer.status in LATER:
            asked_s = answer.retry_after_s
            wait = f", and asks to wait {asked_s:g} s" if asked_s is not None else ""
            kind = Crashed if answer.status == 500 else Unreachable
            return kind(f"{place} answers with status {answer.status}{wait}: {said}")
        if answer.status in (400, 413, 422) and (param is None or param.partition(".")[0] in OF_THE_ROW):
            return RowError(f"the model's server refuses it (status {answer.status}): {said}")
        return ModelError(f"{place} answers with status {answer.status}: {said}")


class _Malformed(ValueError):
    """An answer that is none, with the reason."""


def _error_of(answer: Answer) -> tuple[str, str | None, str | None]:
    """The message of an error, its code and the field of the request that it names."""
    try:
        error = json.loads(answer.body)["error"]
        found = (error["message"], error.get("code"), error.get("param"))
    except (ValueError, LookupError, TypeError, AttributeError):
        found = (answer.body.decode(errors="replace"), None, None)
    message, code, param = (None if part is None else str(part) for part in found)
    return (message or "")[:SAID_CHARS_MAX], code, param


def _chat_answer(answer: Answer) -> dict[str, Any]:
    loaded = _loaded(answer.body)
    choice = loaded["choices"][0]
    message = choice["message"]
    text = message.get("content")
    refusal = message.get("refusal")
    return {
        "text": text if refusal is None else refusal,
        "finish": "refusal" if refusal is not None else choice.get("finish_reason"),
        "usage": loaded.get("usage"),
    }


def _stream_answer(answer: Answer) -> dict[str, Any]:
    if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
        return _chat_answer(answer)
    stream = StreamText()
    stream.take(answer.body)
    if stream.error is not None:
        raise _Malformed(f"its answer broke off: {stream.error[:SAID_CHARS_MAX]}")
    if stream.finish is None and not stream.ended:
        raise _Malformed("its answer broke off")
    return {"text": stream.text, "finish": stream.finish, "usage": stream.usage}


def _vectors(answer: Answer, count: int) -> dict[str, Any]:
    loaded = _loaded(answer.body)
    data = sorted(loaded["data"], key=lambda each: each["index"])
    if [each["index"] for each in data] != list(range(count)):
        raise _Malformed(f"it gives {len(data)} vectors for {count} texts")
    vectors = [[float(number) for number in each["embedding"]] for each in data]
    return {"vectors": vectors, "usage": loaded.get("usage")}


def _loaded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _Malformed("its answer is no JSON") from None


def _reply(answer: Mapping[str, Any]) -> Reply:
    text = answer["text"] or ""
    # Half a surrogate pair, which JSON can hold, is no text.
    whole = str(text).encode(errors="replace").decode()
    return Reply(whole, str(answer["finish"] or "stop"), _usage(answer))


def _usage(answer: Mapping[str, Any]) -> Usage:
    usage = answer["usage"]
    if not isinstance(usage, dict):
        return Usage()
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def usage_of(parts: Sequence[Usage]) -> Usage:
    """The tokens of several requests, as far as the server says."""
    prompt = [part.prompt_tokens for part in parts if part.prompt_tokens is not None]
    completion = [part.completion_tokens for part in parts if part.completion_tokens is not None]
    return Usage(sum(prompt), sum(completion))

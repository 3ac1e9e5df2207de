"""What a language model's server does wrong, as faults for a FaultProxy in front of the real one."""

from __future__ import annotations

import json

from tests.services.fault_proxy import Cut, Fault, Say, Seen, Stall

# In the second event of a stream.
TRUNCATED_STREAM = Cut(after_bytes=400)
RESET = Cut(at_once=True, reset=True)
STALL = Stall(at_once=True)
STALL_IN_STREAM = Stall(after_bytes=400)
SERVER_ERROR = Say(500, b'{"error": {"message": "the model has crashed", "type": "server_error"}}')
NO_JSON = Say(200, b'{"choices": [{"message": {"content": "po')


def too_many_requests(retry_after: str = "1") -> Say:
    """`retry_after`: seconds, or a date."""
    body = b'{"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}'
    return Say(429, body, {"Retry-After": retry_after})


def completion(content: str, *, usage: bool = True, finish_reason: str = "stop") -> Fault:
    """A well-formed answer with this content, which may be no JSON, or not keep to the schema asked for."""

    def answer(seen: Seen) -> Say:
        counts = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
        common = {
            "id": "chatcmpl-1",
            "created": 1,
            "model": "smollm2",
            **({"usage": counts} if usage else {}),
        }
        if not json.loads(seen.body).get("stream"):
            message = {"role": "assistant", "content": content}
            choice = {"index": 0, "message": message, "finish_reason": finish_reason}
            return Say(200, json.dumps({**common, "object": "chat.completion", "choices": [choice]}).encode())
        choices = [
            {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": finish_reason},
        ]
        events = [
            json.dumps({**common, "object": "chat.completion.chunk", "choices": [choice]})
            for choice in choices
        ]
        body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
        return Say(200, body.encode(), {"Content-Type": "text/event-stream"})

    return answer

"""A connection to an HTTP service, with what it wants to know of who asks."""

from __future__ import annotations

from base64 import b64encode
from typing import Final

from fhub.calls import Call, OutOfTime
from fhub.http.settings import ConnectionConfig, timeout_s
from fhub.web import Service, Unreachable, WebError
from heddle.core.resource import Resource
from heddle.core.step import StepContext

HEALTH_WAIT_S: Final = 5.0


class Connection(Resource):
    def __init__(self, config: ConnectionConfig) -> None:
        self.config = config
        authorization = _authorization(config)
        secrets = (config.password, config.token, authorization, *config.headers.values())
        self.service = Service(
            config.base_url,
            "http",
            headers={**config.headers, **({"Authorization": authorization} if authorization else {})},
            secrets=tuple(secret for secret in secrets if secret),
            timeout_s=timeout_s(config.timeout),
            concurrency=config.concurrency,
            requests_per_minute=config.requests_per_minute,
            ca_file=config.ca_file,
        )

    def close(self) -> None:
        self.service.close()

    def health(self) -> str | None:
        """Any answer but that of a broken service will do: what stands at the address itself is not known."""
        call = Call(StepContext(deadline=HEALTH_WAIT_S))
        try:
            answers = call.each([()], lambda _: self.service.send(call, "HEAD", "/"), 1)
        except (WebError, Unreachable, OutOfTime) as error:
            return str(error)
        status = answers[0].status
        if status == 401:
            return f"{self.service.base_url} refuses the credentials (status 401)"
        return f"{self.service.base_url} answers with status {status}" if status >= 500 else None


def _authorization(config: ConnectionConfig) -> str | None:
    """Raises `WebError`."""
    basic = config.username is not None or config.password is not None
    if config.token is not None and basic:
        raise WebError("`token` and `username` exclude each other; drop one")
    if config.token is not None:
        return f"Bearer {config.token}"
    if not basic:
        return None
    if config.username is None or ":" in config.username:
        raise WebError("`username` goes with `password`, and holds no `:`")
    return "Basic " + b64encode(f"{config.username}:{config.password or ''}".encode()).decode()

"""The native server: its port, its certificate, and its end."""

from __future__ import annotations

from typing import Final, Self

import pyarrow as pa

from heddle.errors import UsageError
from heddle.flightsql.native_transport import NativeFlight
from heddle.flightsql.requests import Requests
from heddle.flightsql.security import Security
from heddle.flightsql.service import Service

STOPPED_S: Final = 3.0
"""How long calls may take that have been cancelled; then the process ends with them."""


class NativeServer:
    """Listens from its construction to the end of its `with`. Port 0 takes a free one; `url` says where."""

    def __init__(
        self,
        service: Service,
        security: Security,
        host: str,
        port: int,
        requests: Requests | None,
        login_url: str,
    ) -> None:
        """Clients log in at `login_url`. Raises `UsageError` when it cannot listen there."""
        self.service = service
        shown = f"[{host}]" if ":" in host else host
        scheme = "grpc" if security.files is None else "grpc+tls"
        tls: dict[str, object] = {}
        if security.files is not None:
            files = security.files()
            tls["tls_certificates"] = [(files.certificate, files.key)]
            if files.client_authority is not None:
                tls |= {"verify_client": True, "root_certificates": files.client_authority}
        try:
            self._flight = NativeFlight(service, requests, f"{scheme}://{shown}:{port}", login_url, **tls)
        except (pa.ArrowException, OSError) as error:
            raise UsageError(
                f"the native server cannot listen on {shown}:{port}",
                help="the port may be in use, or the host may not be one of this machine; "
                "`--native 0` takes a free port",
            ) from error
        self.port: int = self._flight.port
        self.url = f"{scheme}://{shown}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def refuse(self) -> None:
        """Let no more calls in."""
        self._flight.arrivals.refuse()

    def __exit__(self, *_: object) -> None:
        """The service is closed with it, so that its calls end."""
        self.refuse()
        self.service.close()
        self._flight.stop(STOPPED_S)

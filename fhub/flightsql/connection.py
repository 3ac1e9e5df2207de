"""A Flight SQL server by ADBC's driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fhub.dbapi import Database, DatabaseError, Dialect, Paramstyle
from heddle.core.resource import LookupCacheConfig
from heddle.sdk import Secret

_OPTION = "adbc.flight.sql."


class ConnectionConfig(LookupCacheConfig):
    """`uri` is `grpc://host:port`, or `grpc+tls://host:port`. `token` is a bearer token in place of a
    password; `headers` go along with every call. `timeout` is in seconds."""

    uri: str
    username: str | None = None
    password: Secret[str] | None = None
    token: Secret[str] | None = None
    headers: Secret[dict[str, str]] = {}  # noqa: RUF012 - a default; every instance gets its own copy
    tls_root_certs: str | None = None
    tls_skip_verify: bool = False
    timeout: float = 300.0
    paramstyle: Paramstyle = "qmark"
    lookup_tuples: int = 100


class Connection(Database):
    """`transactions`: whether the server has them; None until it was asked."""

    def __init__(self, config: ConnectionConfig) -> None:
        try:
            import adbc_driver_flightsql  # noqa: F401 - whether it is there
            import adbc_driver_manager  # noqa: F401
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "fhub/flightsql needs ADBC's driver: pip install 'heddle[flightsql]'"
            ) from error
        address = urlsplit(config.uri)
        if not address.scheme.startswith("grpc") or address.hostname is None:
            raise ValueError("`uri` is such as grpc://host:port or grpc+tls://host:port")
        if address.username or address.password:
            raise ValueError("`uri` holds a user or a password; say them by `username` and `password`")
        if config.lookup_tuples < 1:
            raise ValueError("`lookup_tuples` is at least 1")
        secrets = [config.password or "", config.token or "", *config.headers.values()]
        super().__init__(f"Flight SQL at {address.netloc}", Dialect(config.paramstyle), secrets)
        self.config = config
        self.transactions: bool | None = None
        self._options = _options(config)

    def connect(self, *, writing: bool) -> Any:
        import adbc_driver_flightsql.dbapi

        return adbc_driver_flightsql.dbapi.connect(
            self.config.uri, db_kwargs=self._options, autocommit=not writing or self.holds()
        )

    def holds(self) -> bool:
        """Whether rows have to wait for the commit, since the server has no transactions."""
        if self.transactions is None:
            with self.told():
                self.transactions = self._has_transactions()
        return not self.transactions

    def _has_transactions(self) -> bool:
        import adbc_driver_flightsql.dbapi
        import adbc_driver_manager

        with adbc_driver_flightsql.dbapi.connect(
            self.config.uri, db_kwargs=self._options, autocommit=True
        ) as connection:
            try:
                connection.adbc_connection.set_autocommit(False)
                connection.adbc_connection.rollback()
                connection.adbc_connection.set_autocommit(True)
            except adbc_driver_manager.NotSupportedError:
                return False
            return True


def _options(config: ConnectionConfig) -> dict[str, str]:
    options = {
        f"{_OPTION}rpc.timeout_seconds.{call}": str(config.timeout) for call in ("query", "update", "fetch")
    }
    if config.username is not None:
        options["username"] = config.username
    if config.password is not None:
        options["password"] = config.password
    if config.token is not None:
        options[f"{_OPTION}authorization_header"] = f"Bearer {config.token}"
    for name, value in config.headers.items():
        options[f"{_OPTION}rpc.call_header.{name.lower()}"] = value
    if config.tls_skip_verify:
        options[f"{_OPTION}client_option.tls_skip_verify"] = "true"
    if config.tls_root_certs is not None:
        try:
            certificates = Path(config.base, config.tls_root_certs).read_text()
        except OSError as error:
            raise DatabaseError(f"`tls_root_certs` cannot be read ({error.strerror})") from error
        options[f"{_OPTION}client_option.tls_root_certs"] = certificates
    return options

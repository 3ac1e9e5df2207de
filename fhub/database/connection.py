"""Any database that has an ADBC driver or a DB-API module."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from fhub.dbapi import Database, Dialect, Paramstyle
from heddle.core.resource import LookupCacheConfig
from heddle.sdk import Secret


class ConnectionConfig(LookupCacheConfig):
    """`driver` is the name of an ADBC driver (`"snowflake"`, or a path or manifest of the driver manager), or
    that of a Python module with a DB-API (`"pymysql"`). `uri` goes to it first, `db_kwargs` beside it."""

    driver: str
    uri: Secret[str] | None = None
    db_kwargs: Secret[dict[str, str]] = {}  # noqa: RUF012 - a default; every instance gets its own copy
    paramstyle: Paramstyle | None = None
    quote: Literal['"', "`", "[]"] = '"'
    lookup_tuples: int = 100


class Connection(Database):
    def __init__(self, config: ConnectionConfig) -> None:
        if config.lookup_tuples < 1:
            raise ValueError("`lookup_tuples` is at least 1")
        self.config = config
        self._module = _module(config.driver)
        own: Paramstyle = "qmark" if self._module is None else self._module.paramstyle
        super().__init__(
            f"the database ({config.driver})",
            Dialect(config.paramstyle or own, config.quote, arrow=self._module is None),
            [config.uri or "", *config.db_kwargs.values()],
        )

    def connect(self, *, writing: bool) -> Any:
        uri, options = self.config.uri, dict(self.config.db_kwargs)
        if self._module is not None:
            return self._module.connect(*([uri] if uri is not None else []), **options)
        from adbc_driver_manager import dbapi

        return dbapi.connect(
            driver=_driver(self.config.driver), uri=uri, db_kwargs=options, autocommit=not writing
        )


def _module(name: str) -> Any:
    """A DB-API module; None where the name is that of an ADBC driver. Raises `ModuleNotFoundError`."""
    if not name.startswith("adbc_driver_") and name.isidentifier() and find_spec(name) is not None:
        module = import_module(name)
        if hasattr(module, "connect") and hasattr(module, "paramstyle"):
            return module
    if find_spec("adbc_driver_manager") is None:
        raise ModuleNotFoundError(
            f"there is no module `{name}`, and ADBC's driver manager is not installed: "
            "pip install 'heddle[database]'"
        )
    return None


def _driver(name: str) -> str:
    """What ADBC's driver manager takes: the library in a Python package of the driver, or the name itself."""
    package = name if name.startswith("adbc_driver_") else f"adbc_driver_{name}"
    if package.isidentifier() and find_spec(package) is not None:
        path: str = import_module(package)._driver_path()
        return path
    return name

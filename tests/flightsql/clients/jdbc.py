"""Arrow's JDBC driver, as BI tools use it: each version in a JVM of its own.

`driver.ask(function, …)` calls a module's function in the JVM's process, and gives what it returns: plain
values, which can travel between processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from typing import Any, ParamSpec, Self, TypeVar

from tests.services.service import CACHE, ServiceMissing

JARS = CACHE / "flightsql" / "jdbc"
VERSIONS = ("17.0.0", "18.3.0")
"""Of which there is a jar that holds all."""
NEWEST = "18.3.0 with Arrow 19.0.0"
"""The driver's own code, with the libraries of an Arrow of which there is no driver."""
OPTIONS = (
    *("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
    "--add-opens=java.base/java.nio=ALL-UNNAMED",  # Arrow's memory
)
ANSWER_S = 120.0

P = ParamSpec("P")
T = TypeVar("T")


class JdbcDriver:
    def __init__(self, version: str) -> None:
        driver = "flight-sql-jdbc-driver-"
        if version == NEWEST:
            jars = [jar for jar in JARS.glob("*.jar") if not jar.name.startswith(driver)]
        else:
            jars = list(JARS.glob(f"{driver}{version}.jar"))
        if not jars:
            raise ServiceMissing("Arrow's JDBC driver")
        self._process = ProcessPoolExecutor(1, get_context("spawn"), _start, ([str(jar) for jar in jars],))

    def ask(self, function: Callable[P, T], *arguments: P.args, **settings: P.kwargs) -> T:
        return self._process.submit(function, *arguments, **settings).result(ANSWER_S)

    def close(self) -> None:
        self._process.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


class JdbcError(Exception):
    """What an SQLException says."""


def _start(jars: list[str]) -> None:
    import jpype
    import jpype.config

    jpype.config.destroy_jvm = False  # it would wait for threads that the driver never ends
    jpype.startJVM(*OPTIONS, classpath=jars, convertStrings=True)
    jpype.java.util.logging.LogManager.getLogManager().reset()


@contextmanager
def connected(url: str, settings: Mapping[str, str]) -> Iterator[Any]:
    """A java.sql.Connection, in the JVM's process. A failure comes out as a JdbcError."""
    import jpype

    properties = jpype.java.util.Properties()
    for name, value in settings.items():
        properties.setProperty(name, value)
    try:
        connection = jpype.java.sql.DriverManager.getConnection(url, properties)
        try:
            yield connection
        except BaseException:
            with suppress(jpype.JException):  # that memory was left behind would hide why
                connection.close()
            raise
        _close(connection)
    except jpype.JException as error:
        raise JdbcError(str(error)) from None


def _close(connection: Any) -> None:
    """With a catalog in its address the driver ends the session twice, the second time when it is closed."""
    import jpype

    try:
        connection.close()
    except jpype.JException as error:
        if "Channel shutdown invoked" not in str(error):
            raise


def rows_of(result: Any) -> list[dict[str, str | None]]:
    """All rows of a java.sql.ResultSet, each value as text."""
    described = result.getMetaData()
    places = range(1, described.getColumnCount() + 1)
    columns = [(place, described.getColumnLabel(place), described.getColumnType(place)) for place in places]
    rows = []
    while result.next():
        rows.append({name: _text(result, place, type_) for place, name, type_ in columns})
    result.close()
    return rows


def _text(result: Any, place: int, type_: int) -> str | None:
    import jpype

    if type_ == jpype.java.sql.Types.TIMESTAMP_WITH_TIMEZONE:  # the driver has no object for it
        shown: str | None = result.getString(place)
        return shown
    value = result.getObject(place)
    if isinstance(value, jpype.JArray):
        return bytes(value).hex()
    return None if value is None else str(value)

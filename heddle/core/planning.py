"""DataFusion asked what it makes of a query: over tables without rows, planned and never run.

It raises bare `Exception` with a text; `planning` is the door that all who ask go through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pyarrow as pa

if TYPE_CHECKING:
    from datafusion import LogicalPlan, SessionContext


FOOTER_BYTES: Final = 64 << 10
"""What is read of a Parquet file at first, from its end. DataFusion keeps that for each file; by default it
is half a megabyte."""

FOOTER_SETTING: Final = ("datafusion.execution.parquet.metadata_size_hint", str(FOOTER_BYTES))


class PlanFailure(Exception):
    """DataFusion does not plan a query; the message is its own text."""


@contextmanager
def planning() -> Iterator[None]:
    """Raises `PlanFailure` for what DataFusion raises."""
    try:
        yield
    except Exception as error:  # DataFusion raises no narrower type
        raise PlanFailure(str(error)) from error


def define(context: SessionContext, table: str, schema: pa.Schema) -> None:
    """Make a table without rows."""
    nothing = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
    context.register_record_batches(quoted(table), [[nothing]])


def quoted(name: str) -> str:
    """An identifier in SQL, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


class TypePlanner:
    """Types of SQL over tables of which only the schemas are known."""

    def __init__(self) -> None:
        from datafusion import SessionConfig, SessionContext

        # Without optimizer passes a plan is only analysed: operands are checked and get their final types.
        config = SessionConfig().with_information_schema(False).set("datafusion.optimizer.max_passes", "0")
        self._context = SessionContext(config)
        self._known: set[str] = set()
        self._schemas: dict[str, pa.Schema] = {}

    def has(self, table: str) -> bool:
        return table in self._known

    def forget(self, table: str) -> None:
        if table in self._known:
            self._known.remove(table)
            self._schemas.pop(table, None)
            self._context.deregister_table(quoted(table))

    def forget_all(self) -> None:
        """All tables that were defined."""
        for table in tuple(self._known):
            self.forget(table)

    def known_as(self, tables: Mapping[str, pa.Schema]) -> None:
        """Tables that stay, until there are others of their names."""
        for table, schema in tables.items():
            if self._schemas.get(table) is not schema:
                self.define(table, schema)
                self._schemas[table] = schema

    def define(self, table: str, schema: pa.Schema) -> None:
        self.forget(table)
        define(self._context, table, schema)
        self._known.add(table)

    @contextmanager
    def defined(self, tables: Mapping[str, pa.Schema]) -> Iterator[None]:
        """Tables that are there for a moment only."""
        for table, schema in tables.items():
            self.define(table, schema)
        try:
            yield
        finally:
            for table in tables:
                self.forget(table)

    def schema(self, sql: str) -> pa.Schema:
        """Raises `PlanFailure`."""
        return self.analysed(sql)[2]

    def analysed(self, sql: str) -> tuple[LogicalPlan, LogicalPlan, pa.Schema]:
        """The plan as it is read, as it is analysed, and the columns that it gives. Raises `PlanFailure`."""
        with planning():
            read = self._context.sql(sql)
            analysed = read.optimized_logical_plan()
            schema = self._context.create_dataframe_from_logical_plan(analysed).schema()
            return read.logical_plan(), analysed, schema


_IDLE: Final[list[TypePlanner]] = []


@contextmanager
def idle_planner() -> Iterator[TypePlanner]:
    """A planner without tables, which nobody else uses meanwhile. The process keeps one for the next."""
    try:
        planner = _IDLE.pop()
    except IndexError:
        planner = TypePlanner()
    yield planner
    planner.forget_all()
    if not _IDLE:
        _IDLE.append(planner)

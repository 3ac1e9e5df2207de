"""Types of SQL, asked of DataFusion: tables without rows are registered, the SQL is planned, never run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa
from datafusion import SessionConfig, SessionContext

from heddle.core.deep_stack import on_deep_stack
from heddle.frontend.prql.native import STACK_BYTES


class PlanFailure(Exception):
    """DataFusion does not plan a query; the message is its own text."""


class TypePlanner:
    """Plans SQL over tables of which only the schemas are known."""

    def __init__(self) -> None:
        # Without optimizer passes a plan is only analysed: operands are checked and get their final types.
        config = SessionConfig().with_information_schema(False).set("datafusion.optimizer.max_passes", "0")
        self._context = SessionContext(config)
        self._known: set[str] = set()

    def has(self, table: str) -> bool:
        return table in self._known

    def forget(self, table: str) -> None:
        if table in self._known:
            self._known.remove(table)
            self._context.deregister_table(_quoted(table))

    def define(self, table: str, schema: pa.Schema) -> None:
        self.forget(table)
        columns = [pa.array([], field.type) for field in schema]
        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        self._context.register_record_batches(_quoted(table), [[batch]])
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
        try:
            analysed = self._context.sql(sql).optimized_logical_plan()
            return self._context.create_dataframe_from_logical_plan(analysed).schema()
        except Exception as error:  # DataFusion raises no narrower type
            raise PlanFailure(str(error)) from error


def schema_of(sql: str, inputs: Mapping[str, pa.Schema]) -> pa.Schema:
    """The schema of a query whose inputs have become known. Raises `PlanFailure`."""

    def plan() -> pa.Schema:
        planner = TypePlanner()
        for table, schema in inputs.items():
            planner.define(table, schema)
        return planner.schema(sql)

    return on_deep_stack(plan, STACK_BYTES)


def _quoted(table: str) -> str:
    return '"' + table.replace('"', '""') + '"'

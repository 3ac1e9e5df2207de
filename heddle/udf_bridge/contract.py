"""The contract of a step call: what a step's signature promises, checked on every batch.

`prepare` turns the rows that arrive into those that the function gets: exactly its columns, cast, without
nulls where it wants none. `Contract.finish` turns what the function returned into the call's result. All
messages name the step, the column, what was found and what was wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.core.casting import CastError, cast_column, plain_table
from heddle.core.record import record
from heddle.core.signature import StepSignature
from heddle.core.step import RejectedRows
from heddle.core.types import Column, type_name
from heddle.udf_bridge.transport import CallResult, Rejection, StepContractError

NULL_ERROR_TYPE = "NullValue"


@record(frozen=True, slots=True)
class PreparedInput:
    """`table` is what the function gets; its row i is row `numbers[i]` of `input` (None: row i)."""

    input: pa.Table
    table: pa.Table
    numbers: pa.Int64Array | None = None
    rejections: tuple[Rejection, ...] = ()

    def input_rows(self, rows: pa.Int64Array) -> pa.Int64Array:
        return rows if self.numbers is None else self.numbers.take(rows)


@record(frozen=True, slots=True)
class Contract:
    """`output` is the schema that the program expects, None when only the data can tell."""

    step: str
    signature: StepSignature
    output: pa.Schema | None

    @property
    def is_map(self) -> bool:
        return self.signature.rows == "map"

    def prepare(self, table: pa.Table) -> PreparedInput:
        row = self.signature.input
        if not row.columns and row.open:
            return PreparedInput(table, table)
        columns: dict[str, pa.ChunkedArray] = {}
        for wanted in row.columns:
            columns[wanted.name] = self._input_column(table, wanted)
        if row.open or (self.signature.passthrough and not self.is_map):
            columns |= {n: table.column(n) for n in table.column_names if n not in columns}
        given = table_of(columns, table.num_rows)
        prepared = PreparedInput(table, given)
        for wanted in row.columns:
            if not wanted.nullable and given.column(wanted.name).null_count:
                prepared = self._without_nulls(prepared, wanted)
        return prepared

    def empty_result(self, prepared: PreparedInput) -> CallResult | None:
        """The result of a call with no rows that can be told without calling; None when it cannot."""
        output = self.signature.output
        if prepared.table.num_rows or self.signature.rows == "table" or output is None or not output.complete:
            return None
        columns: dict[str, pa.ChunkedArray] = {
            c.name: pa.chunked_array([], type=c.type) for c in output.columns
        }
        if self.signature.passthrough:
            others = prepared.input.slice(0, 0)
            columns = {n: others.column(n) for n in others.column_names} | columns
        kept = pa.array([], pa.int64()) if self.is_map and prepared.input.num_rows else None
        return CallResult(self._arranged(table_of(columns, 0)), prepared.rejections, kept)

    def finish(
        self, prepared: PreparedInput, returned: pa.Table | None, refused: Sequence[RejectedRows]
    ) -> CallResult:
        """The call's result, or `StepContractError`."""
        if refused and not (self.is_map or self.signature.writer):
            raise StepContractError(
                f'`{self.step}` rejected rows, which only a step with rows="map" may do; it has '
                f'rows="{self.signature.rows}"'
            )
        rejected = _once(refused)
        rejections = (*prepared.rejections, *(self._rejection(r, prepared) for r in rejected))
        if self.signature.output is None:
            if returned is not None:
                raise StepContractError(
                    f"`{self.step}` returned a table, but is annotated with `-> None`; say what it returns"
                )
            return CallResult(None, rejections, self._kept(prepared, rejected))
        if returned is None:
            raise StepContractError(
                f"`{self.step}` returned None where a table is wanted; end it with `return`, "
                "or annotate it with `-> None` if it only writes"
            )
        if self.is_map:
            return self._finish_map(prepared, returned, rejected, rejections)
        if self.signature.rows == "filter" and returned.num_rows > prepared.table.num_rows:
            raise StepContractError(
                f'`{self.step}` has rows="filter" and was given {prepared.table.num_rows} rows, so it cannot '
                f'return {returned.num_rows}; declare rows="flat" if it makes rows'
            )
        output = self._with_travelled(prepared, self._declared(returned), returned)
        return CallResult(self._arranged(self._null_checked(output)), rejections)

    def source_rows(self, returned: pa.Table) -> pa.Table:
        """Rows of a step without input."""
        declared = self._declared(returned)
        self._no_undeclared(returned, ())
        rows = self._arranged(self._null_checked(declared))
        for wanted in self.output or ():
            if not wanted.nullable and rows.column(wanted.name).null_count:
                raise StepContractError(f"`{self.step}` returned a null in `{wanted.name}`, which has none")
        return rows

    def no_rows(self) -> pa.RecordBatch:
        """What a step without input gives when it yielded nothing."""
        output = self.signature.output
        known = self.output or (output.arrow() if output is not None and output.complete else None)
        if known is None:
            raise StepContractError(
                f"`{self.step}` yielded no table, so its columns are not known; name them in a Table class, "
                "or yield an empty table"
            )
        return pa.RecordBatch.from_pylist([], schema=known)

    def _finish_map(
        self,
        prepared: PreparedInput,
        returned: pa.Table,
        rejected: Sequence[RejectedRows],
        rejections: tuple[Rejection, ...],
    ) -> CallResult:
        given = prepared.table.num_rows
        passed = _others(given, [r.rows for r in rejected])
        if returned.num_rows == given and passed is not None:
            returned = returned.take(passed)
        if returned.num_rows != (given if passed is None else len(passed)):
            raise StepContractError(self._wrong_count(given, passed, returned.num_rows))
        numbers = _compose(prepared.numbers, passed)
        declared = self._declared(returned)
        for wanted in self._columns_wanted():
            if not wanted.nullable and declared.column(wanted.name).null_count:
                column = declared.column(wanted.name)
                good = pc.indices_nonzero(column.is_valid()).cast(pa.int64())
                bad = pc.indices_nonzero(column.is_null()).cast(pa.int64())
                reason = f"`{self.step}` returned no `{wanted.name}`, which is {type_name(wanted.type)}"
                rows = bad if numbers is None else numbers.take(bad)
                rejections = (*rejections, Rejection(rows, reason, NULL_ERROR_TYPE))
                declared, returned = declared.take(good), returned.take(good)
                numbers = good if numbers is None else numbers.take(good)
        # Arrow's kernels do not take rows of views.
        source = prepared.input if numbers is None else plain_table(prepared.input).take(numbers)
        output = self._with_bypassed(source, declared, returned)
        return CallResult(self._arranged(output), rejections, numbers)

    def _wrong_count(self, given: int, passed: pa.Int64Array | None, found: int) -> str:
        allowed = str(given) if passed is None else f"{given} or {len(passed)}"
        refused = "" if passed is None else f" and rejected {given - len(passed)}"
        return (
            f'`{self.step}` has rows="map" and was given {given} rows{refused}, so it returns {allowed} '
            f'rows, not {found}; declare rows="filter", "flat" or "table" if that is what it does'
        )

    def _columns_wanted(self) -> tuple[Column, ...]:
        output = self.signature.output
        assert output is not None, "a sink has no columns"
        return output.columns

    def _declared(self, returned: pa.Table) -> pa.Table:
        """The declared columns of what the function returned, cast; all columns for an open output."""
        output = self.signature.output
        assert output is not None, "a sink has no columns"
        if not output.columns and output.open:
            return returned
        columns: dict[str, pa.ChunkedArray] = {}
        for wanted in output.columns:
            if wanted.name not in returned.column_names:
                there = ", ".join(f"`{n}`" for n in returned.column_names) or "no columns"
                raise StepContractError(
                    f"`{self.step}` did not return the column `{wanted.name}`, which its signature names; "
                    f"it returned {there}"
                )
            columns[wanted.name] = self._cast(returned.column(wanted.name), wanted.name, wanted.type)
        if output.open:
            columns = {n: columns.get(n, returned.column(n)) for n in returned.column_names}
        return table_of(columns, returned.num_rows)

    def _with_bypassed(self, source: pa.Table, declared: pa.Table, returned: pa.Table) -> pa.Table:
        """A map step's declared columns, with those of its input beside them when it passes them through."""
        if not self.signature.passthrough:
            self._no_undeclared(returned, ())
            return declared
        self._no_undeclared(returned, source.column_names)
        output = self.signature.output
        named = set(declared.column_names)
        for name in returned.column_names:
            if name in source.column_names and name not in named and output is not None and not output.open:
                self._check_untouched(name, returned.column(name), source.column(name))
        columns = {n: source.column(n) for n in source.column_names} | {
            n: declared.column(n) for n in declared.column_names
        }
        return table_of(columns, declared.num_rows)

    def _with_travelled(self, prepared: PreparedInput, declared: pa.Table, returned: pa.Table) -> pa.Table:
        """The other columns went through the function itself, so it must have returned them."""
        names = prepared.table.column_names
        self._no_undeclared(returned, names if self.signature.passthrough else ())
        if not self.signature.passthrough:
            return declared
        lost = [n for n in names if n not in returned.column_names]
        if lost:
            raise StepContractError(
                f"`{self.step}` is declared with passthrough=True but lost the column `{lost[0]}`; return "
                "all columns that it was given, or drop passthrough"
            )
        columns = {n: returned.column(n) for n in names} | {
            n: declared.column(n) for n in declared.column_names
        }
        return table_of(columns, returned.num_rows)

    def _no_undeclared(self, returned: pa.Table, travelling: Sequence[str]) -> None:
        output = self.signature.output
        assert output is not None, "a sink has no columns"
        if output.open:
            return
        for name in returned.column_names:
            if name not in output.names and name not in travelling:
                declared = ", ".join(f"`{n}`" for n in output.names)
                raise StepContractError(
                    f"`{self.step}` returned the column `{name}`, but its signature names {declared} only; "
                    "add it to the class, or leave it out"
                )

    def _check_untouched(self, name: str, returned: pa.ChunkedArray, source: pa.ChunkedArray) -> None:
        try:
            same = _same(cast_column(returned, source.type, lossless=True), source)
        except CastError:
            same = False
        if not same:
            raise StepContractError(
                f"`{self.step}` changed the column `{name}`, which travels past it; name `{name}` in the "
                "class that it returns if it is meant to change"
            )

    def _arranged(self, table: pa.Table) -> pa.Table:
        """The table as the program expects it: the columns of `output` in its order and types."""
        if self.output is None:
            return table
        columns = [self._expected(table, wanted) for wanted in self.output]
        if not columns:
            return table.select([])
        return pa.Table.from_arrays(columns, schema=self.output)

    def _expected(self, table: pa.Table, wanted: pa.Field) -> pa.ChunkedArray:
        if wanted.name not in table.column_names:
            raise StepContractError(
                f"`{self.step}` did not return the column `{wanted.name}`, which the program expects of it"
            )
        return self._cast(table.column(wanted.name), wanted.name, wanted.type)

    def _null_checked(self, table: pa.Table) -> pa.Table:
        for wanted in self._columns_wanted():
            if not wanted.nullable and table.column(wanted.name).null_count:
                raise StepContractError(
                    f"`{self.step}` returned a null in `{wanted.name}`, which is {type_name(wanted.type)}; "
                    f"annotate it as `{wanted.name}: … | None`, or fill it"
                )
        return table

    def _cast(self, column: pa.ChunkedArray, name: str, wanted: pa.DataType | None) -> pa.ChunkedArray:
        if wanted is None:
            return column
        try:
            return cast_column(column, wanted)
        except CastError as error:
            reason = f" ({error.reason})" if error.reason else ""
            raise StepContractError(
                f"`{self.step}` returned `{name}` as {error.found}, but its signature says "
                f"{error.wanted}{reason}"
            ) from error

    def _input_column(self, table: pa.Table, wanted: Column) -> pa.ChunkedArray:
        if wanted.name not in table.column_names:
            there = ", ".join(f"`{n}`" for n in table.column_names) or "no columns"
            raise StepContractError(
                f"`{self.step}` needs the column `{wanted.name}`, but it was given {there}"
            )
        column = table.column(wanted.name)
        if wanted.type is None:
            return column
        try:
            return cast_column(column, wanted.type)
        except CastError as error:
            reason = f" ({error.reason})" if error.reason else ""
            raise StepContractError(
                f"`{self.step}` needs `{wanted.name}` as {error.wanted}, but it was given "
                f"{error.found}{reason}"
            ) from error

    def _without_nulls(self, prepared: PreparedInput, wanted: Column) -> PreparedInput:
        column = prepared.table.column(wanted.name)
        reason = f"`{wanted.name}` is null, and `{self.step}` needs {type_name(wanted.type)}"
        if not self.is_map:
            raise StepContractError(f"{reason}; filter the nulls out before it, or let it take `… | None`")
        good = pc.indices_nonzero(column.is_valid()).cast(pa.int64())
        bad = pc.indices_nonzero(column.is_null()).cast(pa.int64())
        rejection = Rejection(prepared.input_rows(bad), reason, NULL_ERROR_TYPE)
        return PreparedInput(
            prepared.input,
            prepared.table.take(good),
            prepared.input_rows(good),
            (*prepared.rejections, rejection),
        )

    def _rejection(self, rejected: RejectedRows, prepared: PreparedInput) -> Rejection:
        return Rejection(prepared.input_rows(rejected.rows), rejected.reason, rejected.error_type)

    def _kept(self, prepared: PreparedInput, rejected: Sequence[RejectedRows]) -> pa.Int64Array | None:
        return _compose(prepared.numbers, _others(prepared.table.num_rows, [r.rows for r in rejected]))


@dataclass(slots=True)
class PinnedSchema:
    """The schema of an open output, fixed by its first batch so that all batches of a run agree."""

    schema: pa.Schema | None = field(default=None)

    def conform(self, step: str, table: pa.Table) -> pa.Table:
        """The table in the pinned schema. Raises `StepContractError` where it does not fit."""
        if self.schema is None:
            self.schema = pa.schema([pa.field(f.name, f.type) for f in table.schema])
        if table.schema.equals(self.schema):
            return table
        if table.schema.names != self.schema.names:
            raise StepContractError(
                f"`{step}` returned the columns {', '.join(table.schema.names)} for one batch and "
                f"{', '.join(self.schema.names)} for an earlier one; return the same columns each time"
            )
        columns = []
        for found, wanted in zip(table.columns, self.schema, strict=True):
            try:
                columns.append(cast_column(found, wanted.type))
            except CastError as error:
                raise StepContractError(
                    f"`{step}` returned `{wanted.name}` as {error.found} for one batch and as {error.wanted} "
                    "for an earlier one; name the column in a Table class, so that its type is fixed"
                ) from error
        return table if not columns else pa.Table.from_arrays(columns, schema=self.schema)


def table_of(columns: dict[str, pa.ChunkedArray], row_count: int) -> pa.Table:
    """A table of named columns; one without columns keeps its number of rows."""
    if columns:
        return pa.table(columns)
    rows = pa.array([None] * row_count, pa.null()) if row_count < 1 else pa.nulls(row_count)
    return pa.table({"": rows}).select([])


def _once(refused: Sequence[RejectedRows]) -> list[RejectedRows]:
    """Each row with its first reason only."""
    if len(refused) < 2:
        return list(refused)
    result: list[RejectedRows] = []
    seen = pa.array([], pa.int64())
    for rejected in refused:
        rows = rejected.rows.filter(pc.invert(pc.is_in(rejected.rows, value_set=seen)))
        if len(rows):
            result.append(RejectedRows(rows, rejected.reason, rejected.error_type))
            seen = pa.concat_arrays([seen, rows])
    return result


def _others(count: int, rejected: Sequence[pa.Int64Array]) -> pa.Int64Array | None:
    """The row numbers below `count` that are not rejected; None for all."""
    if not rejected:
        return None
    numbers = pa.array(range(count), pa.int64())
    return numbers.filter(pc.invert(pc.is_in(numbers, value_set=pa.concat_arrays(list(rejected)))))


def _compose(first: pa.Int64Array | None, second: pa.Int64Array | None) -> pa.Int64Array | None:
    if first is None or second is None:
        return second if first is None else first
    return first.take(second)


def _same(a: pa.ChunkedArray, b: pa.ChunkedArray) -> bool:
    """Equality of values, where NaN is equal to NaN."""
    if a.equals(b):
        return True
    if not pa.types.is_floating(a.type):
        return False
    both_nan = pc.and_(pc.is_nan(a), pc.is_nan(b))
    equal = pc.or_(pc.fill_null(pc.equal(a, b), False), pc.fill_null(both_nan, False))
    both_null = pc.and_(a.is_null(), b.is_null())
    return bool(pc.all(pc.or_(equal, both_null), min_count=0).as_py())

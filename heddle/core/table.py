"""`Table`: the rows that a step takes and gives; an Arrow table that converts to pandas and Polars.

A subclass with annotations is a schema: `class Scored(Table): user_id: int; score: float` names columns
with their types, and making one checks and casts to them. Further columns are kept. A class without
annotations takes any columns, and `class Scored(Table, open=True)` says that there may be others beside the
named ones. pandas and Polars are imported only by the methods that need them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import pyarrow as pa

from heddle.core.annotations import row_of_class
from heddle.core.casting import CastError, cast_column, plain_table
from heddle.core.types import RowType, type_name

if TYPE_CHECKING:
    from typing import Self

ROWS_SHOWN = 10


class TableError(ValueError):
    """Data that a `Table` class does not allow; names the class, the column, what was found and wanted."""


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that gives Arrow data by the C stream interface: Arrow, Polars, DuckDB, DataFusion."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


class Table:
    """An immutable table. `Table(data)` takes what `from_arrow` takes."""

    __slots__ = ("_table",)
    _open: ClassVar[bool] = False

    def __init_subclass__(cls, *, open: bool | None = None, **others: Any) -> None:
        super().__init_subclass__(**others)
        if open is not None:
            cls._open = open

    def __init__(self, data: pa.Table | pa.RecordBatch | ArrowStream) -> None:
        self._table = conformed(arrow_table(data), type(self))

    @classmethod
    def row_type(cls) -> RowType:
        """The columns that the class names; open when it says so or names none. Raises `AnnotationError`."""
        row = row_of_class(cls)
        return RowType(row.columns, open=True) if cls._open else row

    @classmethod
    def from_arrow(cls, data: pa.Table | pa.RecordBatch | ArrowStream) -> Self:
        """Raises `TableError` when a named column is missing or holds another type that does not widen."""
        return cls(data)

    @classmethod
    def from_pandas(cls, frame: Any) -> Self:
        """The frame's columns; its index is left out. Floats without fractions may be ints again."""
        _import("pandas", "pandas")
        try:
            table = pa.Table.from_pandas(frame, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise TableError(f"{cls.__name__}.from_pandas: {_pandas_reason(error)}") from error
        return cls._made(table)

    @classmethod
    def from_polars(cls, frame: Any) -> Self:
        _import("polars", "polars")
        return cls._made(frame.to_arrow())

    @classmethod
    def from_pylist(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """Rows as dicts. A missing key is a null; a datetime without zone is UTC."""
        listed = [dict(row) for row in rows]
        named = {c.name: c for c in cls.row_type().columns}
        names = dict.fromkeys([*named, *(name for row in listed for name in row)])
        columns = {name: [row.get(name) for row in listed] for name in names}
        arrays: dict[str, pa.Array] = {}
        for name, values in columns.items():
            wanted = named[name].type if name in named else None
            try:
                arrays[name] = pa.array(values, wanted)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
                what = (
                    f"values that are not all {type_name(wanted)}" if wanted else "values of different types"
                )
                raise TableError(f"{cls.__name__}: column `{name}` holds {what} ({error})") from error
        return cls._made(pa.table(arrays))

    @classmethod
    def _made(cls, table: pa.Table) -> Self:
        made = cls.__new__(cls)
        made._table = conformed(plain_table(table), cls, lossless=True)
        return made

    def to_arrow(self) -> pa.Table:
        """The Arrow table itself, not a copy."""
        return self._table

    def to_pandas(self) -> Any:
        _import("pandas", "pandas")
        return self._table.to_pandas()

    def to_polars(self) -> Any:
        return _import("polars", "polars").from_arrow(self._table)

    def to_pylist(self) -> list[dict[str, Any]]:
        """The rows as dicts: for small tables."""
        rows: list[dict[str, Any]] = self._table.to_pylist()
        return rows

    def batches(self, rows_max: int | None = None) -> Iterator[pa.RecordBatch]:
        """The rows as record batches, in order, of at most `rows_max` rows."""
        yield from self._table.to_batches(max_chunksize=rows_max)

    @property
    def num_rows(self) -> int:
        return int(self._table.num_rows)

    @property
    def column_names(self) -> list[str]:
        return list(self._table.column_names)

    @property
    def schema(self) -> pa.Schema:
        return self._table.schema

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """A column. Raises `KeyError`, which names the columns that there are."""
        if name not in self._table.column_names:
            raise KeyError(f"there is no column `{name}`; the columns are {', '.join(self.column_names)}")
        return self._table.column(name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and bool(self._table.equals(other._table))

    __hash__ = None  # type: ignore[assignment]  # tables are compared by content, which is slow to hash

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        columns = ", ".join(f"{f.name}: {type_name(f.type, f.nullable)}" for f in self._table.schema)
        title = f"{type(self).__name__}({self.num_rows} rows: {columns})"
        shown = [str(row) for row in self._table.slice(0, ROWS_SHOWN).to_pylist()]
        hidden = self.num_rows - len(shown)
        return "\n  ".join([title, *shown, *([f"… {hidden} more rows"] if hidden else [])])


def arrow_table(data: object) -> pa.Table:
    """An Arrow table of whatever holds Arrow data, without view types. Raises `TypeError`."""
    match data:
        case Table():
            return data.to_arrow()
        case pa.Table():
            return plain_table(data)
        case pa.RecordBatch():
            return plain_table(pa.Table.from_batches([data]))
        case ArrowStream() if type(data).__module__.partition(".")[0] == "pandas":
            return plain_table(pa.Table.from_pandas(data, preserve_index=False))
        case ArrowStream():
            return plain_table(pa.table(data))
        case _:
            raise TypeError(f"{type(data).__name__} is not a table; give an Arrow table or use from_pandas")


def conformed(table: pa.Table, cls: type[Table], *, lossless: bool = False) -> pa.Table:
    """The table with the columns that `cls` names cast to their types, all others as they are."""
    row = cls.row_type()
    named: type = cls
    if not row.columns or table.schema.equals(_schema_of(named), check_metadata=True):
        return table
    fields = {f.name: f for f in table.schema}
    columns = {name: table.column(name) for name in table.column_names}
    for wanted in row.columns:
        if wanted.name not in columns:
            there = ", ".join(columns) or "no columns"
            raise TableError(f"{cls.__name__}: column `{wanted.name}` is missing; there are {there}")
        if wanted.type is None:
            continue
        try:
            columns[wanted.name] = cast_column(columns[wanted.name], wanted.type, lossless=lossless)
        except CastError as error:
            raise TableError(f"{cls.__name__}: column `{wanted.name}` holds {error}") from error
        fields[wanted.name] = pa.field(wanted.name, wanted.type)
    return pa.Table.from_arrays(list(columns.values()), schema=pa.schema(list(fields.values())))


@lru_cache(maxsize=1024)
def _schema_of(cls: type) -> pa.Schema:
    """A table of this schema is one of the class as it is. A column of unknown type has the type null."""
    return pa.schema(
        [pa.field(column.name, column.type or pa.null()) for column in row_of_class(cls).columns]
    )


def _import(module: str, package: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{package} is not installed here; install it with `pip install {package}`, "
            "or work with `to_arrow()`, which needs nothing"
        ) from error


def _pandas_reason(error: Exception) -> str:
    """Arrow's text about a column of mixed objects, cut down to what tells the column."""
    parts = [str(a) for a in error.args]
    place = next((p for p in parts if p.startswith("Conversion failed for column")), "")
    name = place.removeprefix("Conversion failed for column ").partition(" with type")[0]
    where = f"column `{name}`" if name else "a column"
    return f"{where} holds values of different types; make them one type first ({parts[0]})"

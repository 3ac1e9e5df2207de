"""Tuples of values and the rows that belong to them, as Arrow columns.

`distinct_tuples` numbers the tuples of some rows, `rows_by_number` finds for each row what was found for its
tuple.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.core.record import record
from heddle.sdk.flows import LOOKUP_KEY
from heddle.udf_bridge.transport import StepContractError


@record(frozen=True, slots=True)
class Distinct:
    """`tuples` has each once, and none with a null. `numbers` has for each row the number of its tuple, null
    for one that holds a null."""

    tuples: pa.Table
    numbers: pa.Int64Array


def distinct_tuples(columns: Mapping[str, pa.ChunkedArray], row_count: int) -> Distinct:
    """The distinct tuples of some columns, in the order in which they first appear."""
    codes = pa.repeat(pa.scalar(0, pa.int64()), row_count)
    for column in columns.values():
        encoded = pc.dictionary_encode(_whole(column))
        own = encoded.indices.cast(pa.int64())
        together = pc.add(pc.multiply(codes, len(encoded.dictionary)), own)
        codes = pc.dictionary_encode(together).indices.cast(pa.int64())
    highest = pc.max(codes).as_py()
    firsts = pc.index_in(pa.arange(0, 0 if highest is None else highest + 1), value_set=codes)
    return Distinct(pa.table({name: column.take(firsts) for name, column in columns.items()}), codes)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def checked_numbers(found: pa.Table, count: int, callee: str) -> None:
    """Raises `StepContractError` unless each row has the number of one of `count` tuples."""
    numbers = found.column(LOOKUP_KEY)
    if not found.num_rows:
        return
    if numbers.null_count:
        raise StepContractError(f"`{callee}` gave a row without a number in `{LOOKUP_KEY}`")
    bounds = pc.min_max(numbers).as_py()
    if bounds["min"] < 0 or bounds["max"] >= count:
        wrong = bounds["min"] if bounds["min"] < 0 else bounds["max"]
        raise StepContractError(
            f"`{callee}` gave {wrong} in `{LOOKUP_KEY}`, and was asked for the tuples 0 to {count - 1}"
        )


def rows_by_number(numbers: pa.ChunkedArray, distinct: Distinct) -> tuple[pa.Array, pa.Array]:
    """Pairs of a row and a found row that belong together, in the order of the rows: `numbers` has for each
    found row that of its tuple."""
    order = pc.sort_indices(numbers).cast(pa.int64())
    places = pa.arange(0, distinct.tuples.num_rows + 1)
    offsets = pc.search_sorted(_whole(numbers.take(order)), places, side="left").cast(pa.int64())
    wanted = pa.LargeListArray.from_arrays(offsets, order).take(distinct.numbers)
    return pc.list_parent_indices(wanted), pc.list_flatten(wanted)

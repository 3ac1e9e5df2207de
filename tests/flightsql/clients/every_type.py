"""A table with a column of every Arrow type, and the program that has it as an output.

Each column's first two rows are its type's limits, or what is easily lost; the third is null.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

WHOLE_NUMBERS = {
    pa.int8(): (-(2**7), 2**7 - 1),
    pa.int16(): (-(2**15), 2**15 - 1),
    pa.int32(): (-(2**31), 2**31 - 1),
    pa.int64(): (-(2**63), 2**63 - 1),
    pa.uint8(): (0, 2**8 - 1),
    pa.uint16(): (0, 2**16 - 1),
    pa.uint32(): (0, 2**32 - 1),
    pa.uint64(): (0, 2**64 - 1),
}
INSTANT_US = 1_700_000_000_123_456
FIRST_DAY, LAST_DAY = datetime.date(1, 1, 1), datetime.date(9999, 12, 31)
PAIR = pa.struct([("a", pa.int64()), ("b", pa.string())])
VALUES: dict[str, tuple[pa.DataType, object, object]] = {
    "nothing": (pa.null(), None, None),
    "truth": (pa.bool_(), True, False),
    **{str(type_): (type_, *limits) for type_, limits in WHOLE_NUMBERS.items()},
    "float16": (pa.float16(), 1.5, 65504.0),
    "float32": (pa.float32(), -3.4028234663852886e38, 1.401298464324817e-45),
    "float64": (pa.float64(), -1.7976931348623157e308, 5e-324),
    "text": (pa.string(), "", "grüße 🎈"),
    "large_text": (pa.large_string(), "", "x" * 1000),
    "text_view": (pa.string_view(), "short", "longer than twelve bytes"),
    "bytes": (pa.binary(), b"", bytes(range(256))),
    "large_bytes": (pa.large_binary(), b"", b"\x00\xff"),
    "bytes_view": (pa.binary_view(), b"\x00", b"longer than twelve bytes"),
    "fixed_bytes": (pa.binary(4), b"\x00" * 4, b"\xff" * 4),
    "day": (pa.date32(), FIRST_DAY, LAST_DAY),
    "day_ms": (pa.date64(), FIRST_DAY, LAST_DAY),
    "time_s": (pa.time32("s"), 0, 86_399),
    "time_ms": (pa.time32("ms"), 0, 86_399_999),
    "time_us": (pa.time64("us"), 0, 86_399_999_999),
    "time_ns": (pa.time64("ns"), 0, 86_399_999_999_000),
    "stamp_s": (pa.timestamp("s"), 0, INSTANT_US // 10**6),
    "stamp_ms": (pa.timestamp("ms"), 0, INSTANT_US // 10**3),
    "stamp_us": (pa.timestamp("us"), 0, INSTANT_US),
    "stamp_ns": (pa.timestamp("ns"), 0, INSTANT_US * 10**3),
    "instant": (pa.timestamp("us", "UTC"), 0, INSTANT_US),
    "instant_berlin": (pa.timestamp("us", "Europe/Berlin"), 0, INSTANT_US),
    "span": (pa.duration("us"), -1, 10**12),
    "interval": (pa.month_day_nano_interval(), (1, 2, 3000), (-1, -2, -3000)),
    "price": (pa.decimal128(5, 2), Decimal("-999.99"), Decimal("0.01")),
    "decimal_38": (pa.decimal128(38, 0), Decimal("9" * 38), Decimal(-1)),
    "decimal_76": (pa.decimal256(76, 0), Decimal("9" * 76), Decimal(-1)),
    "items": (pa.list_(pa.int64()), [], [1, None, 3]),
    "large_items": (pa.large_list(pa.string()), [], ["a", None]),
    "two_items": (pa.list_(pa.int32(), 2), [1, 2], [3, None]),
    "pair": (PAIR, {"a": 1, "b": "x"}, {"a": None, "b": None}),
    "by_key": (pa.map_(pa.string(), pa.int64()), [], [("k", 1), ("l", None)]),
    "kind": (pa.dictionary(pa.int32(), pa.string()), "a", "b"),
    "nested": (pa.list_(pa.struct([("a", pa.list_(pa.int64()))])), [{"a": [1]}], []),
}
PROGRAM = """\
workflow Types {
  io.arrow { path: "everything.arrow" }
    > everything
}
"""


def everything() -> pa.Table:
    return pa.table({name: pa.array([*values, None], type_) for name, (type_, *values) in VALUES.items()})


def write(folder: Path) -> Path:
    """The program with its file."""
    table = everything()
    target = folder / "everything.arrow"
    with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    program = folder / "types.he"
    program.write_text(PROGRAM)
    return program

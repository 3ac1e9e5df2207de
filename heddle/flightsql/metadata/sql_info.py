"""What the server can do, by the numbers of SqlInfo.

The answer to "all" has exactly the numbers that the JDBC driver knows: older ones fail for a number that is
missing, all of them for one that they do not know. Each value has the type that the driver casts to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import pyarrow as pa

from heddle import __version__
from heddle.core.record import record
from heddle.flightsql.metadata import schemas
from heddle.flightsql.metadata.patterns import ESCAPE

STRING, BOOL, BIGINT, INT, STRINGS, MAP = range(6)
"""The children of the union."""
_NO_LIMIT: Final = 0


@record(frozen=True, slots=True)
class Offered:
    """What differs between servers. `timeout_ms`: of a statement, 0 without one."""

    read_only: bool
    substrait: bool
    timeout_ms: int = 0


def sql_info(asked: Iterable[int], offered: Offered) -> pa.Table:
    """`asked` empty means all; numbers that are not known are left out."""
    known = _values(offered)
    numbers = [number for number in (dict.fromkeys(asked) or known) if number in known]
    kinds = [known[number][0] for number in numbers]
    by_kind: list[list[object]] = [[] for _ in schemas.SQL_INFO_VALUES]
    offsets: list[int] = []
    for number in numbers:
        kind, value = known[number]
        offsets.append(len(by_kind[kind]))
        by_kind[kind].append(value)
    children = [
        pa.array(values, field.type) for values, field in zip(by_kind, schemas.SQL_INFO_VALUES, strict=True)
    ]
    union = pa.UnionArray.from_dense(
        pa.array(kinds, pa.int8()),
        pa.array(offsets, pa.int32()),
        children,
        [field.name for field in schemas.SQL_INFO_VALUES],
    )
    return pa.table([pa.array(numbers, pa.uint32()), union], schema=schemas.SQL_INFO)


def _bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


def _values(offered: Offered) -> Mapping[int, tuple[int, object]]:
    writes = not offered.read_only
    return {
        0: (STRING, "Heddle"),
        1: (STRING, __version__),
        2: (STRING, pa.__version__),
        3: (BOOL, offered.read_only),
        4: (BOOL, True),  # SQL
        5: (BOOL, offered.substrait),
        6: (STRING, ""),  # Substrait's versions, of which DataFusion names none
        7: (STRING, ""),
        8: (INT, 1 if writes else 0),  # transactions, without savepoints
        9: (BOOL, True),  # cancels
        10: (BOOL, writes),  # bulk ingestion
        11: (BOOL, writes),  # ingestion in a transaction
        100: (INT, offered.timeout_ms),
        101: (INT, _NO_LIMIT),
        **_LANGUAGE,
        563: (BOOL, writes),  # transactions
        564: (INT, _bits(4) if writes else _bits(0)),  # serializable, none
    }


def _words(text: str) -> list[str]:
    return text.split()


_CONVERSIONS: Final = {
    # From each to all of BIGINT, BIT, DECIMAL, FLOAT, INTEGER, REAL, SMALLINT, TINYINT, VARCHAR.
    number: [0, 2, 5, 6, 7, 13, 14, 17, 19]
    for number in (0, 2, 5, 6, 7, 13, 14, 17)
} | {
    4: [4, 16, 19],  # DATE
    15: [15, 19],  # TIME
    16: [4, 15, 16, 19],  # TIMESTAMP
    18: [18, 19],  # VARBINARY
    19: [0, 2, 4, 5, 6, 7, 13, 14, 15, 16, 17, 18, 19],  # VARCHAR
}

_KEYWORDS: Final = _words("""
ANTI ARRAY ASOF BUCKET CLUSTER COPY COMPUTE DISTRIBUTE EXCLUDE EXPLAIN EXTERNAL FILTER ILIKE LIMIT LOCATION
MACRO MAP OFFSET PARTITIONED PIVOT PREPARE QUALIFY REGEXP RENAME REPLACE SAMPLE SEMI SHOW STORED STRUCT
TABLESAMPLE TRY_CAST UNNEST UNPIVOT WINDOW
""")
_NUMERIC_FUNCTIONS: Final = _words("""
abs acos acosh asin asinh atan atan2 atanh cbrt ceil cos cosh cot degrees exp factorial floor gcd isnan iszero
lcm ln log log10 log2 nanvl pi pow power radians random round signum sin sinh sqrt tan tanh trunc
""")
_STRING_FUNCTIONS: Final = _words("""
ascii bit_length btrim char_length character_length chr concat concat_ws contains ends_with
find_in_set initcap instr left length levenshtein lower lpad ltrim md5 octet_length overlay position
regexp_count regexp_like regexp_match regexp_replace repeat replace reverse right rpad rtrim sha256 split_part
starts_with strpos substr substring to_hex translate trim upper uuid
""")
_SYSTEM_FUNCTIONS: Final = _words(
    "arrow_cast arrow_typeof coalesce greatest ifnull least nullif nvl nvl2 version"
)
_DATETIME_FUNCTIONS: Final = _words("""
current_date current_time current_timestamp date_bin date_format date_part date_trunc from_unixtime make_date
now to_char to_date to_local_time to_timestamp to_timestamp_micros to_timestamp_millis to_timestamp_nanos
to_timestamp_seconds to_unixtime today
""")

_LANGUAGE: Final[Mapping[int, tuple[int, object]]] = {
    500: (BOOL, False),  # DDL of catalogs
    501: (BOOL, False),  # DDL of schemas
    502: (BOOL, True),  # DDL of tables
    503: (INT, 1),  # identifiers without quotes: capital letters do not count
    504: (STRING, '"'),
    505: (INT, 1),  # nor in those with quotes, where no other table has the name
    506: (BOOL, True),  # all tables can be selected
    507: (INT, 0),  # nulls sort as the highest values
    508: (STRINGS, _KEYWORDS),
    509: (STRINGS, _NUMERIC_FUNCTIONS),
    510: (STRINGS, _STRING_FUNCTIONS),
    511: (STRINGS, _SYSTEM_FUNCTIONS),
    512: (STRINGS, _DATETIME_FUNCTIONS),
    513: (STRING, ESCAPE),
    514: (STRING, ""),  # other characters in names without quotes
    515: (BOOL, True),  # column aliases
    516: (BOOL, True),  # NULL + NULL is NULL
    517: (MAP, list(_CONVERSIONS.items())),
    518: (BOOL, True),  # correlation names
    519: (BOOL, False),  # that must differ from tables' names
    520: (BOOL, True),  # expressions in ORDER BY
    521: (BOOL, True),  # ORDER BY unrelated
    522: (INT, _bits(0, 1)),  # GROUP BY unrelated, beyond SELECT
    523: (BOOL, True),  # LIKE … ESCAPE
    524: (BOOL, True),  # columns that are not null
    525: (INT, _bits(0, 1)),  # minimum and core grammar
    526: (INT, _bits(0)),  # SQL-92 entry level
    527: (BOOL, False),  # integrity enhancement
    528: (INT, _bits(1, 2)),  # outer joins: limited and full
    529: (STRING, "workflow"),
    530: (STRING, ""),  # procedures
    531: (STRING, "catalog"),
    532: (BOOL, True),  # the catalog stands first
    533: (INT, 0),  # schemas in calls, indexes and privileges
    534: (INT, 0),  # catalogs there
    535: (INT, 0),  # positioned commands
    536: (BOOL, False),  # SELECT FOR UPDATE
    537: (BOOL, False),  # stored procedures
    538: (INT, _bits(0, 1, 2)),  # subqueries in comparisons, EXISTS and IN
    539: (BOOL, True),  # correlated subqueries
    540: (INT, _bits(0, 1)),  # UNION, UNION ALL
    **{number: (BIGINT, _NO_LIMIT) for number in range(541, 562) if number != 556},
    556: (BOOL, True),  # a row's size with its blobs
    562: (BIGINT, 0),  # default isolation
    565: (BOOL, False),  # DDL commits
    566: (BOOL, False),  # DDL in transactions is ignored
    567: (INT, _bits(1)),  # results: forward only
    568: (INT, 0),
    569: (INT, _bits(1)),  # and read-only
    570: (INT, 0),
    571: (INT, 0),
    572: (BOOL, True),  # parameter sets of updates
    573: (BOOL, False),  # savepoints
    574: (BOOL, True),  # named parameters
    575: (BOOL, False),  # locators
    576: (BOOL, False),  # functions by call syntax
}

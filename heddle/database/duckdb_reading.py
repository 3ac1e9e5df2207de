"""A query in DuckDB's dialect, read by DuckDB's own parser as far as the catalog needs: which tables it
names, and which of their columns it may mean. What could reach beyond these tables is refused.

Only forms and functions that are known to be harmless are let through.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from heddle.core.planning import quoted
from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.statements import TEXT_CHARS_MAX, Place, StatementKind, edited, in_order

if TYPE_CHECKING:
    import duckdb

Node: TypeAlias = Mapping[str, Any]
"""A node of the tree that DuckDB writes as JSON."""

_EXPRESSIONS: Final = frozenset(
    {
        *(
            "BETWEEN",
            "CASE",
            "CAST",
            "COLLATE",
            "COLUMN_REF",
            "COMPARISON",
            "CONJUNCTION",
            "CONSTANT",
            "FUNCTION",
        ),
        *("LAMBDA", "OPERATOR", "PARAMETER", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE", "WINDOW"),
    }
)
_TABLES: Final = frozenset(
    {"BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SUBQUERY", "TABLE_FUNCTION"}
)
_OTHERS: Final = frozenset(
    {
        *("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"),
        *("DISTINCT_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "ORDER_MODIFIER"),
        *("ORDER_DEFAULT", "ASCENDING", "DESCENDING"),
    }
)
_RESERVED: Final = frozenset({"information_schema", "main", "memory", "pg_catalog", "system", "temp"})
_PART: Final = r'(?:"(?:[^"]|"")*"|[^\s."\'(),;]+)'
_TABLE_FUNCTIONS: Final = frozenset({"generate_series", "range", "repeat", "unnest"})
_INCONSTANT: Final = (
    *("current_date", "get_current_time", "get_current_timestamp", "now", "today", "transaction_timestamp"),
    *("gen_random_uuid", "random", "uuid", "uuidv4", "uuidv7"),
)
"""Functions with another value each time that a client may call."""
_OF_THE_INSTANCE: Final = (
    r"__.*|current_(?!local).*|session_user|user|pg_.*|has_.*|inet_.*|.*_description|parse_duckdb.*"
    r"|json_.*serialize.*|get_block_size|map_to_pg_oid|format_type|format_pg_type|stats|vector_type"
)
"""Functions that tell of DuckDB itself."""
_HELP: Final = "ask for what is missing in DataFusion's dialect, with the language `sql`"


@record(frozen=True, slots=True)
class DuckTable:
    """The parts of a table's name as written."""

    parts: tuple[str, ...]

    @property
    def is_reserved(self) -> bool:
        """Whether DuckDB has a catalog or schema of that name itself."""
        return any(part.lower() in _RESERVED for part in self.parts[:-1])


@record(frozen=True, slots=True)
class DuckStatement:
    """`text` is the query alone. `names` has all words in small letters that may be names of columns; None
    when it may mean any column. `parameters` are as `ReadStatement` has them. `cte_names` are in small
    letters."""

    text: str
    kind: StatementKind
    tables: tuple[DuckTable, ...]
    cte_names: frozenset[str]
    names: frozenset[str] | None
    parameters: tuple[str, ...]
    places: tuple[tuple[Place, DuckTable, str | None], ...]
    """Where the text names each table that is reserved, with the alias that it gives it there."""

    def sql(self, relations: Mapping[DuckTable, str]) -> str:
        """The text with these relations in place of tables that are reserved."""
        return edited(
            self.text,
            [
                (place, relations[table] + ("" if alias else f" AS {quoted(table.parts[-1])}"))
                for place, table, alias in self.places
            ],
        )

    def columns(self, of: tuple[str, ...]) -> tuple[str, ...]:
        """Those of a table that the query may mean, at least one if there is one."""
        if self.names is None:
            return of
        return tuple(name for name in of if name.lower() in self.names) or of[:1]


def read_duckdb(text: str) -> DuckStatement:
    """Raises `QueryError`."""
    if len(text) > TEXT_CHARS_MAX:
        raise QueryError("invalid", f"the statement is longer than {TEXT_CHARS_MAX:,} characters")
    kind: StatementKind = "query"
    if explained := re.match(r"\s*explain\s+", text, re.IGNORECASE):
        kind, text = "explain", text[explained.end() :]
    text = text.strip().removesuffix(";").rstrip()
    if not text:
        raise QueryError("invalid", "the statement is empty")
    nodes = list(_nodes(_tree(text)))
    for node in nodes:
        _check(node)
    cte_names = frozenset(name.lower() for node in nodes for name in _cte_names(node))
    for name in sorted(cte_names & _own_views()):
        _refuse(f"the name `{name}`")  # where it is not that of a query, DuckDB would show its own view
    named = [node for node in nodes if node.get("type") == "BASE_TABLE"]
    return DuckStatement(
        text,
        kind,
        tuple(dict.fromkeys(map(_table, named))),
        cte_names,
        _names(nodes),
        _parameters(nodes),
        tuple(_place(text, node) for node in named if _table(node).is_reserved),
    )


def _tree(text: str) -> Node:
    parsed = _parsed(text)
    if parsed["error"]:
        message = str(parsed["error_message"]).splitlines()[0]
        if "Only SELECT" in message:
            raise QueryError("unsupported", f"`{text.split(None, 1)[0].upper()}` is no query", help=_HELP)
        raise QueryError("invalid", f"the statement cannot be read: {message}")
    statements = parsed["statements"]
    if len(statements) != 1:
        raise QueryError("invalid", "one statement at a time", help="send them one after the other")
    tree: Node = statements[0]
    return tree


def _parsed(text: str) -> Node:
    try:
        with _PARSING:
            found = _parser().execute("SELECT json_serialize_sql($1)", [text]).fetchone()
        assert found is not None
        parsed: Node = json.loads(found[0])
    except RecursionError as error:
        raise QueryError("invalid", "the statement is nested too deeply") from error
    return parsed


_PARSING: Final = threading.Lock()


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    from heddle.database.duckdb_instance import opened

    return opened(memory_bytes=256 << 20, cores=1, spill=None)


@cache
def functions() -> frozenset[str]:
    """The names of those that a query may call: of values alone, and without a trace."""
    with _PARSING:
        found = _parser().execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE internal AND (function_type IN"
            " ('aggregate', 'window', 'macro') OR (function_type = 'scalar' AND stability = 'CONSISTENT'))"
        )
        names = {str(name).lower() for (name,) in found.fetchall()}
    allowed = {name for name in names if not re.fullmatch(_OF_THE_INSTANCE, name)}
    return frozenset({*allowed, *_INCONSTANT, "unnest"})


@cache
def _own_views() -> frozenset[str]:
    with _PARSING:
        found = _parser().execute(
            "SELECT view_name FROM duckdb_views() UNION ALL SELECT table_name FROM duckdb_tables()"
        )
        return frozenset(str(name).lower() for (name,) in found.fetchall())


def _nodes(tree: Node) -> Iterator[Node]:
    """All objects of the tree that say what they are."""
    waiting: list[object] = [tree]
    while waiting:
        match waiting.pop():
            case dict() as node:
                if "class" in node or isinstance(node.get("type"), str):
                    yield node
                waiting += node.values()
            case list() as several:
                waiting += several


def _check(node: Node) -> None:
    """Raises `QueryError` for what is not known to be harmless."""
    type_ = node.get("type")
    if "class" in node:
        if node["class"] not in _EXPRESSIONS:
            _refuse(f"`{str(type_).lower()}`")
        if node["class"] in ("FUNCTION", "WINDOW"):
            _check_function(node)
        return
    if not isinstance(type_, str):
        return
    if type_ not in _TABLES | _OTHERS:
        _refuse(f"`{type_.lower().replace('_', ' ')}`")
    if node.get("at_clause") is not None:
        _refuse("`AT`")
    function = node.get("function") if type_ == "TABLE_FUNCTION" else None
    if function is not None and str(function["function_name"]).lower() not in _TABLE_FUNCTIONS:
        _refuse(f"the table function `{function['function_name']}`")


def _check_function(node: Node) -> None:
    name = str(node["function_name"])
    if name.lower() not in functions() | _TABLE_FUNCTIONS:
        _refuse(f"the function `{name}`")


def _refuse(what: str) -> NoReturn:
    raise QueryError("unsupported", f"{what} is not there in DuckDB's dialect here", help=_HELP)


def _table(node: Node) -> DuckTable:
    return DuckTable(tuple(node["qualified_name"]["path"]))


def _place(text: str, node: Node) -> tuple[Place, DuckTable, str | None]:
    """DuckDB counts bytes, and an alias in."""
    start = len(text.encode()[: int(node["query_location"])].decode())
    table = _table(node)
    found = re.compile(rf"{_PART}(?:\s*\.\s*{_PART})*").match(text, start)
    if found is None or len(re.findall(_PART, found[0])) != len(table.parts):
        raise QueryError("invalid", f"the name of the table `{'.'.join(table.parts)}` cannot be read")
    return Place(start, found.end()), table, node["alias"] or None


def _cte_names(node: Node) -> Iterator[str]:
    for entry in node["cte_map"]["map"] if "cte_map" in node else ():
        yield str(entry["key"])
    if node.get("type") == "RECURSIVE_CTE_NODE":
        yield str(node["cte_name"])


def _names(nodes: list[Node]) -> frozenset[str] | None:
    """Every word that could be a column's name. A table's own name stands for a whole row."""
    columns: set[str] = set()
    for node in nodes:
        if node.get("class") in ("STAR", "POSITIONAL_REFERENCE") or node.get("type") == "PIVOT":
            return None
        if node.get("type") == "JOIN":
            if node["ref_type"] == "NATURAL":
                return None
            columns.update(map(str.lower, node["using_columns"]))
        columns.update(map(str.lower, _written(node)))
    tables = {
        str(node[key]).lower()
        for node in nodes
        for key in ("alias", "table_name")
        if key in node and "class" not in node
    }
    rows = {_written(node)[-1].lower() for node in nodes if _written(node)}
    return None if rows & tables else frozenset(columns)


def _written(node: Node) -> tuple[str, ...]:
    """The parts of a column's name, also of one whose function is written behind it with a dot."""
    match node.get("class"):
        case "COLUMN_REF":
            return tuple(node["column_names"])
        case "FUNCTION":
            return tuple(node["qualified_name"]["path"][:-1])
        case _:
            return ()


def _parameters(nodes: list[Node]) -> tuple[str, ...]:
    """In the order of their values."""
    found = [node for node in nodes if node.get("class") == "PARAMETER"]
    found.sort(key=lambda node: int(node["query_location"]))
    return in_order([f"${node['identifier']}" for node in found])

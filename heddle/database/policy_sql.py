"""The SQL of row filters and column masks, in DataFusion's dialect: the viewer's values as literals, and the
relation that stands in the place of a table.

What an operator writes goes into the text as it is, but for `current_user` and `current_roles`. It is one
expression over the columns of its own table, which `masked_schema` makes sure of.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from heddle.core.planning import PlanFailure, define, planning, quoted
from heddle.core.record import record
from heddle.database.literals import quoted_text

if TYPE_CHECKING:
    import pyarrow as pa

RELATION: Final = "{relation}"
"""Where the quoted name of the table goes."""
BARRIER: Final = f"LIMIT {2**63 - 1}"
"""Keeps what a client asks above the row filter. An optimizer moves conditions and expressions below a
filter; there they would be evaluated over hidden rows, and a failing one would tell of them. None moves below
a limit."""

_HASH_KEY: Final = secrets.token_hex(32)
"""Equal values have equal hashes while the process lives; nobody can make hashes of guessed values."""
_PIECE: Final = r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\.\s*[A-Za-z_]\w*|[A-Za-z_]\w*"""
_FORBIDDEN: Final = {
    "select": "it reads the columns of its own output, so no other query can stand in it",
    "over": "it looks at one row at a time, so no window can stand in it",
    "unnest": "it gives one value for each row, so `unnest` cannot stand in it",
}
_PLAIN_TEXTS: Final = "a text in it stands in single quotes"
"""In other forms a quote or `current_user` may mean something else than it seems."""


class ExpressionError(Exception):
    """A filter or mask that cannot be used; the message says why, without values of rows."""


@record(frozen=True, slots=True)
class Rules:
    """What holds for one viewer and one table: conditions that all must be true, and the mask of each column
    that has one, as texts with the viewer's values in them."""

    conditions: tuple[str, ...]
    masks: Mapping[str, str]


def viewer_text(text: str) -> str:
    """A text of a viewer as a literal; `{relation}` in it is taken apart, as it is no place for a name."""
    assert text.isprintable(), "names of viewers and roles are printable"
    halves = text.replace(RELATION, f"{RELATION[0]}\0{RELATION[1:]}").split("\0")
    return f"({' || '.join(quoted_text(half) for half in halves)})"


def with_viewer(expression: str, user: str, roles: Sequence[str]) -> str:
    """The expression with `current_user` and `current_roles`, a list for `in (…)`, as literals, and without
    comments."""
    values = {"current_user": viewer_text(user), "current_roles": ", ".join(map(viewer_text, roles))}

    def piece(found: re.Match[str]) -> str:
        return " " if found[0].startswith(("--", "/*")) else values.get(found[0].lower(), found[0])

    return re.sub(_PIECE, piece, expression, flags=re.DOTALL)


def relation(columns: Sequence[str], rules: Rules) -> str:
    """`SELECT … FROM {relation} …`: what the viewer sees of a table with these columns."""
    selected = ", ".join(
        f"({rules.masks[name]}) AS {_name(name)}" if name in rules.masks else _name(name) for name in columns
    )
    where = " AND ".join(f"({condition})" for condition in rules.conditions)
    return f"SELECT {selected} FROM {RELATION}" + (f" WHERE {where} {BARRIER}" if where else "")


def _name(column: str) -> str:
    if RELATION in column:
        raise ExpressionError(f"a column cannot be called `{column}`")
    return quoted(column)


def mask(text: str, column: str) -> str:
    """The expression of a mask: of one that has a name, or the text itself."""
    named = MASKS.get(text.strip().lower())
    return named(quoted(column)) if named is not None else text


def _text(column: str) -> str:
    return f"CAST({column} AS VARCHAR)"


def _last4(column: str) -> str:
    """A short value is hidden altogether."""
    shown = f"'****' || right({_text(column)}, 4)"
    long = f"character_length({_text(column)}) > 8"
    return f"CASE WHEN {column} IS NULL THEN NULL WHEN {long} THEN {shown} ELSE '****' END"


def _email(column: str) -> str:
    return f"left({_text(column)}, 1) || '***@' || split_part({_text(column)}, '@', 2)"


MASKS: Final[Mapping[str, Callable[[str], str]]] = {
    "null": lambda column: f"CASE WHEN FALSE THEN {column} END",
    "hash": lambda column: f"encode(sha256('{_HASH_KEY}' || {_text(column)}), 'hex')",
    "last4": _last4,
    "initial": lambda column: f"left({_text(column)}, 1) || '***'",
    "email": _email,
    "year": lambda column: f"date_trunc('year', {column})",
}
"""Masks by name; each takes a quoted column. `null` keeps the column's type."""


def masked_schema(schema: pa.Schema, rules: Rules) -> pa.Schema:
    """What the relation gives: columns with types, nullability and comments. Raises `ExpressionError`."""
    import pyarrow as pa
    from datafusion import SessionContext

    if not schema.names:
        raise ExpressionError("its columns are known only when it runs")
    context = SessionContext()
    define(context, "relation", schema)
    sql = relation(schema.names, rules).replace(RELATION, "relation", 1)
    other_name = max(schema.names, key=len) + "_"
    # Beside a plain column no aggregate can stand.
    beside = sql.replace("SELECT ", f"SELECT {quoted(schema.names[0])} AS {quoted(other_name)}, ", 1)
    for expression in (*rules.conditions, *rules.masks.values()):
        _require_simple(expression)
    try:
        with planning():
            for expression in (*rules.conditions, *rules.masks.values()):
                context.table("relation").parse_sql_expr(expression)
            found = context.sql(beside).schema()
    except PlanFailure as error:
        raise ExpressionError(_reason(str(error))) from error
    fields = [
        _masked(field, found.field(i + 1)) if field.name in rules.masks else field
        for i, field in enumerate(schema)
    ]
    return pa.schema(fields, schema.metadata)


def _masked(field: pa.Field, found: pa.Field) -> pa.Field:
    """The mask's type under the column's name and comment."""
    import pyarrow as pa

    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    return pa.field(field.name, plain.get(found.type, found.type), found.nullable, field.metadata)


def _require_simple(expression: str) -> None:
    if RELATION in expression:
        raise ExpressionError(f"`{RELATION}` cannot stand in it")
    for found in re.finditer(_PIECE, expression, re.DOTALL):
        if found[0].lower() in _FORBIDDEN:
            raise ExpressionError(_FORBIDDEN[found[0].lower()])
        if found[0][0] == "'" and re.search(r"[\w&]\Z", expression[: found.start()]):
            raise ExpressionError(f"{_PLAIN_TEXTS}, without a letter before it")
    if re.search(r"[$`\\]", re.sub(_PIECE, " ", expression, flags=re.DOTALL)):
        raise ExpressionError(f"{_PLAIN_TEXTS}, a name in double ones")


def _reason(raw: str) -> str:
    """DataFusion's first line, in our words where that is known."""
    first = re.sub(r"^(?:[A-Z]\w*(?: \w+)? ?[eE]rror: |Error during planning: )+", "", raw.split("\n", 1)[0])
    if found := re.search(r"No field named ([^ ]+?)\.(?:$| )", first):
        return f"there is no column `{found[1]}`"
    if found := re.search(r"[Ii]nvalid function '([^']+)'", first):
        return f"there is no function `{found[1]}`"
    if "ParserError" in first:
        return "it is not one expression"
    if "non-boolean predicate" in first:
        return "it is not true or false"
    if "GROUP BY" in first or "aggregate" in first.lower():
        return "it looks at one row at a time, so no aggregate can stand in it"
    return re.sub(r"\brelation\.", "", first)

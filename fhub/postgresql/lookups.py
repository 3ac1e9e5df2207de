"""Lookups: the rows of a statement for many tuples of its parameters, by one statement with arrays of keys.

Where one parameter is compared with a column, `column = @name` becomes `column = ANY(keys)`, which PostgreSQL
answers by one walk through an index or one scan; its rows then find their keys: whole numbers here, all else
in the server. Any other statement is run for each tuple inside the server, as a lateral join with the arrays.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from fhub.postgresql.columns import as_declared, converted
from fhub.postgresql.connection import Connection
from fhub.postgresql.describing import Description, described, warn_of
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.parameters import array_parameter, bindable, casts, compared_only, parsed, scalar
from fhub.postgresql.session import one_row
from fhub.postgresql.statements import identifier, numbers_of, selected, with_placeholders
from heddle.sdk import LOOKUP_KEY, StepContext, Table

_MARK = "@p:"
_KEY, _ROW = "@p", "@n"
_KEYS = '"@k"'
_ORDINAL = f'{_KEYS}."{_ROW}" - 1 AS "{LOOKUP_KEY}"'


def look_up(
    connection: Connection, text: str, keys: pa.Table, schema: pa.Schema | None, context: StepContext
) -> Table:
    """The rows that belong to the rows of `keys`, whose columns are parameters of the statement; the number
    of the row that each belongs to is its column `LOOKUP_KEY`. Raises `PostgresqlError`."""
    description = described(connection, text)
    warn_of(description, connection, context)
    names = [name for name in description.parameters if name in keys.column_names]
    statement, values = _statement(description, keys, names, context)
    found = connection.answer(statement, one_row(values), context)
    numbered = _numbered(found, values[0].values) if _KEY in found.column_names else found
    batches = [_rows(batch, description, schema) for batch in numbered.to_batches()]
    if not batches:
        batches = [_rows(_empty(numbered.schema), description, schema)]
    return Table.from_arrow(pa.Table.from_batches(batches))


def _statement(
    description: Description, keys: pa.Table, names: list[str], context: StepContext
) -> tuple[str, list[pa.Array]]:
    """The statement for all keys, and what is bound to it: an array for each of `names`, then the values of
    the workflow's parameters."""
    tree = parsed(description.statement, _MARK)
    values: list[pa.Array] = []
    arrays: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        column = bindable(keys.column(name).combine_chunks(), name)
        path = casts(column.type, description.parameters[name], compared_only(tree, _MARK + name))
        values.append(pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column))
        arrays[name] = array_parameter(number, path)
    forms: dict[str, str] = {}
    for name in description.parameters:
        if name in arrays:
            continue
        if name not in context.parameters:
            raise PostgresqlError(f"there is no value for the parameter `@{name}`")
        value = scalar(context.parameters[name], name)
        path = casts(value.type, description.parameters[name], compared_only(tree, _MARK + name))
        values.append(value)
        forms[name] = f"(${len(values)}" + "".join(f"::{type_}" for type_ in path) + ")"
    if len(names) == 1 and (column_text := _compared_column(tree, names[0])) is not None:
        forms[names[0]] = f"ANY({arrays[names[0]]})"
        if _is_whole(values[0].type.value_type, description.parameters[names[0]]):
            return _by_values(description, column_text, forms), values
        return _by_array(description, column_text, arrays[names[0]], forms), values
    return _by_row(description, arrays, forms), values


def _by_array(description: Description, column: str, keys: str, forms: dict[str, str]) -> str:
    text = _with_column(description.statement, f'{column} AS "{_KEY}"')
    body = with_placeholders(text, forms.__getitem__)
    listed = ", ".join([*selected(description.columns, '"@q"'), _ORDINAL])
    return (
        f'WITH "@q" ({numbers_of(description.columns, _KEY)}) AS MATERIALIZED (\n{body}\n) '
        f'SELECT {listed} FROM unnest({keys}) WITH ORDINALITY AS {_KEYS} ("{_KEY}", "{_ROW}") '
        f'JOIN "@q" ON "@q"."{_KEY}" = {_KEYS}."{_KEY}"'
    )


def _is_whole(type_: pa.DataType, wanted: str) -> bool:
    """Whether keys are whole numbers, and so is what they are compared with: then they are equal here too."""
    whole = wanted.removeprefix("pg_catalog.").strip('"') in ("int2", "int4", "int8")
    return whole and pa.types.is_integer(type_)


def _by_values(description: Description, column: str, forms: dict[str, str]) -> str:
    """The rows with the key of each as the column `_KEY`."""
    text = _with_column(description.statement, f'{column} AS "{_KEY}"')
    body = with_placeholders(text, forms.__getitem__)
    listed = ", ".join([*selected(description.columns, '"@q"'), f'"@q"."{_KEY}"'])
    return f'SELECT {listed} FROM (\n{body}\n) AS "@q" ({numbers_of(description.columns, _KEY)})'


def _numbered(found: pa.Table, keys: pa.Array) -> pa.Table:
    """The rows with the number of their key instead of the key."""
    numbers = pc.index_in(found.column(_KEY).cast(keys.type), value_set=keys).cast(pa.int64())
    return found.drop_columns([_KEY]).append_column(LOOKUP_KEY, numbers)


def _by_row(description: Description, arrays: dict[str, str], forms: dict[str, str]) -> str:
    for name in arrays:
        forms[name] = f"{_KEYS}.{identifier(_MARK + name)}"
    body = with_placeholders(description.statement, forms.__getitem__)
    listed = ", ".join([*selected(description.columns, '"@q"'), _ORDINAL])
    names = ", ".join([*(identifier(_MARK + name) for name in arrays), f'"{_ROW}"'])
    return (
        f"SELECT {listed} FROM unnest({', '.join(arrays.values())}) WITH ORDINALITY AS {_KEYS} ({names}) "
        f'CROSS JOIN LATERAL (\n{body}\n) AS "@q" ({numbers_of(description.columns)})'
    )


def _compared_column(tree: object, name: str) -> str | None:
    """The column of `column = @name`, perhaps as a text, where the statement is such that this may become
    `= ANY`: the condition stands by itself or between ANDs of the only WHERE, and no row of the result is
    made of several rows."""
    from sqlglot import exp

    if not isinstance(tree, exp.Select):
        return None
    if any(
        tree.args.get(part) for part in ("distinct", "group", "having", "limit", "offset", "locks", "into")
    ):
        return None
    several = (exp.AggFunc, exp.Window, exp.Anonymous, exp.UDTF, exp.Explode)
    if any(part.find(*several) for part in tree.expressions):
        return None
    where, source = tree.args.get("where"), tree.args.get("from_") or tree.args.get("from")
    marked = [column for column in tree.find_all(exp.Column) if column.name == _MARK + name]
    if where is None or source is None or len(marked) != 1:
        return None
    conditions = where.this.flatten() if isinstance(where.this, exp.And) else [where.this]
    for condition in conditions:
        if isinstance(condition, exp.EQ) and condition.expression is marked[0]:
            left = condition.this
            column = left.this if isinstance(left, exp.Cast) and left.to.is_type("text") else left
            return left.sql(dialect="postgres") if isinstance(column, exp.Column) else None
    return None


def _with_column(statement: str, column: str) -> str:
    """The SELECT with one more column, put before the FROM that belongs to it."""
    from sqlglot import TokenType, tokenize

    depth = 0
    before = None
    for token in tokenize(statement, read="postgres"):
        if token.token_type == TokenType.L_PAREN:
            depth += 1
        elif token.token_type == TokenType.R_PAREN:
            depth -= 1
        elif token.token_type == TokenType.FROM and not depth and before != TokenType.DISTINCT:
            return f"{statement[: token.start]}, {column}\n{statement[token.start :]}"
        before = token.token_type  # `IS DISTINCT FROM` is a comparison
    raise AssertionError("a SELECT with a FROM has its word")


def _rows(batch: pa.RecordBatch, description: Description, schema: pa.Schema | None) -> pa.RecordBatch:
    made = converted(batch, description.columns)
    if schema is not None:
        made = as_declared(made, schema)
    return made.append_column(LOOKUP_KEY, batch.column(LOOKUP_KEY))


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)

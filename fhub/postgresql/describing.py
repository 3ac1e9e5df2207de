"""What the server says of a statement without executing it: its columns, and the types of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from fhub.postgresql.columns import Column, UserType, column_of, type_label, unknown_oid
from fhub.postgresql.connection import Connection
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.session import Session, one_row
from fhub.postgresql.statements import bare, identifier, numbered, parameter_names
from heddle.sdk import StepContext

_USER_TYPES = """
SELECT t.oid::int8 AS oid, format_type(t.oid, NULL) AS name,
       t.typcategory = 'A' AS is_array, coalesce(e.typtype, t.typtype)::text AS kind
FROM pg_catalog.pg_type AS t
LEFT JOIN pg_catalog.pg_type AS e ON t.typcategory = 'A' AND e.oid = t.typelem
WHERE t.oid = ANY ($1::int8[]::oid[])
"""


@dataclass(frozen=True, slots=True)
class Description:
    """`parameters` are types as a statement may hold them, by `@name`."""

    statement: str
    columns: tuple[Column, ...]
    parameters: Mapping[str, str]

    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(column.name, column.type) for column in self.columns])


def described(connection: Connection, text: str) -> Description:
    """What the server says of a SELECT, asked once for each text. Raises `PostgresqlError`."""
    known = connection.descriptions.get(text)
    if known is None:
        with connection.reading() as session:
            known = _asked(session, text)
        connection.descriptions[text] = known
    return known


def parameters_of(session: Session, statement: str, names: tuple[str, ...]) -> dict[str, str]:
    """The types that the server takes for the parameters of a statement of any kind."""
    if not names:
        return {}
    fields = list(session.parameter_types(numbered(statement, names)))
    user_types = _looked_up(session, fields)
    return {name: _written(field, user_types) for name, field in zip(names, fields, strict=True)}


def warn_of(description: Description, connection: Connection, context: StepContext) -> None:
    """Tell once which columns are texts because Heddle has no type for what they hold."""
    for column in description.columns:
        said = f"the column `{column.name}` is {column.note}: it arrives as text"
        if column.note and said not in connection.warned:
            connection.warned.add(said)
            context.log.warning("%s; a cast in the statement says what is wanted", said)


def _asked(session: Session, text: str) -> Description:
    statement = bare(text)
    names = parameter_names(statement)
    parameters = parameters_of(session, statement, names)
    fields = list(session.columns(numbered(statement, names)))
    if not fields:
        raise PostgresqlError("the statement gives no rows; `query` takes a SELECT, `execute` what writes")
    seen: set[str] = set()
    for field in fields:
        if field.name in seen:
            raise PostgresqlError(f"the statement gives two columns `{field.name}`; name one of them by AS")
        if field.name == "?column?":
            raise PostgresqlError("the statement gives a column without a name; give it one by AS")
        seen.add(field.name)
    user_types = _looked_up(session, fields)
    return Description(statement, tuple(column_of(field, user_types) for field in fields), parameters)


def _looked_up(session: Session, fields: list[pa.Field]) -> dict[int, UserType]:
    unknown = [oid for field in fields if (oid := unknown_oid(field)) is not None]
    if not unknown:
        return {}
    found = session.rows(_USER_TYPES, one_row([pa.array([unknown], pa.list_(pa.int64()))]))
    return {row["oid"]: UserType(row["name"], row["kind"], row["is_array"]) for row in found.to_pylist()}


def _written(field: pa.Field, user_types: Mapping[int, UserType]) -> str:
    oid = unknown_oid(field)
    if oid is not None and oid in user_types:
        return user_types[oid].name
    return f"pg_catalog.{identifier(type_label(field))}"

"""The writer of `execute`: a statement that runs once for each row, with the row's columns as parameters."""

from __future__ import annotations

import pyarrow as pa

from fhub.postgresql.describing import parameters_of
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.parameters import bindable, casts, scalar
from fhub.postgresql.session import Session
from fhub.postgresql.statements import bare, parameter_names, with_placeholders
from fhub.postgresql.transactions import Transaction
from fhub.postgresql.writing import TransactionWriter
from heddle.sdk import StepContext


class Executor(TransactionWriter):
    """Names that are no column of the input are parameters of the workflow."""

    def __init__(self, transaction: Transaction, text: str) -> None:
        super().__init__(transaction)
        self._statement = bare(text)
        self._names = parameter_names(self._statement)
        self._types: dict[str, str] | None = None

    def put(self, session: Session, rows: pa.Table, context: StepContext) -> None:
        if self._types is None:
            self._types = parameters_of(session, self._statement, self._names)
        values: list[pa.Array] = []
        forms: dict[str, str] = {}
        for number, name in enumerate(self._names, 1):
            values.append(self._values(name, rows, context))
            path = casts(values[-1].type, self._types[name], False)
            forms[name] = f"(${number}" + "".join(f"::{type_}" for type_ in path) + ")"
        statement = with_placeholders(self._statement, forms.__getitem__)
        if values:
            session.run(statement, pa.table(values, names=list(self._names)))
        else:
            for _ in range(rows.num_rows):
                session.run(statement)

    def _values(self, name: str, rows: pa.Table, context: StepContext) -> pa.Array:
        if name in rows.column_names:
            return bindable(rows.column(name).combine_chunks(), name)
        if name not in context.parameters:
            raise PostgresqlError(
                f"there is no value for `@{name}`: no column of the input and no parameter of the workflow "
                f"has the name; the columns are {', '.join(rows.column_names)}"
            )
        return pa.repeat(scalar(context.parameters[name], name)[0], rows.num_rows)

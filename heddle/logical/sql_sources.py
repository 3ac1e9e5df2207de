"""SQL sources: steps that give the rows of one SELECT of a database, and the steps with larger statements
that stand in for them.

A source says its SELECT in its `Statement` setting, or as a table. What is pushed goes into a statement of
the same module's step that has such a setting, on the same connection: there is no other way to run it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from heddle.core.config import ConfigField
from heddle.core.record import record
from heddle.core.signature import StepSignature
from heddle.core.statements import parameter_names, with_placeholders
from heddle.core.types import RowType
from heddle.frontend.typed import ConfigData, StepCall
from heddle.logical.dialects import dialect_of
from heddle.logical.dialects.dialect import Dialect
from heddle.logical.dialects.terms import Refused, Relation, RelationColumn
from heddle.logical.plan import OpId, Step

UNKNOWN_COLUMNS: Final = "its columns are not known here; `heddle check --refresh` asks the database for them"

_OF_TABLES: Final = frozenset({"table", "columns"})
_TYPES: Final = "schema"
"""The setting that says other types than the database has."""


@record(frozen=True, slots=True)
class SqlSource:
    """`target` takes a larger statement in its setting `setting`; `kept` are the other settings, which it
    shares. Sources with the same `connection` can stand in one statement."""

    step: Step
    dialect: Dialect
    target: StepSignature
    setting: str
    kept: Mapping[str, ConfigData]
    relation: Relation
    connection: Hashable

    def step_of(self, text: str, row: RowType, op_id: OpId, beside: Sequence[SqlSource] = ()) -> Step:
        """A step that gives the rows of a statement over this source and those `beside` it. Raises
        `Refused` when the statement would have other parameters than they have."""
        call = self.step.call
        parameters = {p.name: p for source in (self, *beside) for p in source.step.call.parameters}
        if set(parameter_names(text)) != set(parameters):
            raise Refused("a name in it looks like a parameter")
        pushed = replace(
            call,
            signature=self.target,
            config={**self.kept, self.setting: text},
            parameters=tuple(parameters.values()),
        )
        return replace(self.step, id=op_id, call=pushed, row=row)


def is_sql_source(step: Step) -> bool:
    """Whether the step makes its rows by itself, from a SELECT: no value of its statement comes from rows."""
    signature = step.call.signature
    own = all(p.source == "workflow" for p in step.call.parameters)
    reads = bool(signature.sql) and signature.step_class not in {"effect", "wait"}
    return reads and own and step.input is None and step.row is not None


def source_of(step: Step) -> SqlSource:
    """The source that a step for which `is_sql_source` holds is. Raises `Refused` when nothing can be pushed
    into it."""
    signature = step.call.signature
    dialect = dialect_of(signature.sql)
    if dialect is None:
        raise Refused(f"nothing is known of the dialect `{signature.sql}`")
    assert step.row is not None, "a source gives rows"
    if not step.row.complete:
        raise Refused(UNKNOWN_COLUMNS)
    if step.call.config.get(_TYPES) is not None:
        raise Refused(f"its setting `{_TYPES}` may say other types than the database has")
    if signature.output is None or not (signature.output_from_config or signature.output.open):
        raise Refused("its columns are fixed")
    target, setting = _target(step.call)
    said = _statement_field(signature)
    own = {said.name} if said is not None else _OF_TABLES
    names = {field.name for field in target.config}
    others = {n: v for n, v in step.call.config.items() if n not in own and n != _TYPES}
    extra = [n for n, v in others.items() if n not in names and v != _default(signature, n)]
    if extra:
        raise Refused(f"its setting `{extra[0]}` is not one of `{target.name}`")
    kept = {name: value for name, value in others.items() if name in names}
    relation = _relation(step, said, dialect)
    connection = (
        step.call.module.path,
        tuple(sorted(step.call.resources.items())),
        repr(sorted(kept.items())),
    )
    return SqlSource(step, dialect, target, setting, kept, relation, connection)


def _target(call: StepCall) -> tuple[StepSignature, str]:
    """The step that takes a statement: the called one, or another of its module in the same dialect."""
    module = call.module
    for signature in (call.signature, *module.steps.values(), *module.readers.values()):
        field = _statement_field(signature)
        if field is not None and signature.sql == call.signature.sql and signature.input_mode != "required":
            return signature, field.name
    raise Refused(f"`{module.path}` has no step that takes a statement")


def _statement_field(signature: StepSignature) -> ConfigField | None:
    return next((field for field in signature.config if field.type.kind == "statement"), None)


def _default(signature: StepSignature, name: str) -> object:
    return next((field.default for field in signature.config if field.name == name), None)


def _relation(step: Step, said: ConfigField | None, dialect: Dialect) -> Relation:
    assert step.row is not None, "a source gives rows"
    columns = tuple(RelationColumn(c.name, c.type, native=True) for c in step.row)
    if said is None:
        table = step.call.config.get("table")
        if not isinstance(table, str):
            raise Refused("its table is known only when the program runs")
        return Relation(dialect.table(table), columns)
    text = step.call.config.get(said.name)
    if not isinstance(text, str):
        raise Refused("its statement is known only when the program runs")
    inner, ordered = one_select(text, dialect)
    # A comment at its end must not take the parenthesis along.
    inner = f"\n{inner}\n" if re.search(r"\n|--|#", inner) else inner
    return Relation(f"({inner})", columns, ordered)


def one_select(text: str, dialect: Dialect) -> tuple[str, bool]:
    """The statement as it can stand in parentheses, and whether it sorts its rows."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        tokens = sqlglot.tokenize(text, read=dialect.name)
        end = next((t.start for t in tokens if t.token_type.name == "SEMICOLON"), len(text))
        trees = sqlglot.parse(with_placeholders(text, lambda name: "NULL"), read=dialect.name)
    except SqlglotError:
        raise Refused("its statement cannot be read here") from None
    found = [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]
    if len(found) != 1 or not isinstance(found[0], exp.Query):
        raise Refused("its statement is not one SELECT")
    tree = found[0]
    changing = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into, exp.Lock)
    if tree.find(*changing) is not None or tree.args.get("format"):
        raise Refused("its statement does more than to select rows")
    return text[:end].strip(), tree.args.get("order") is not None

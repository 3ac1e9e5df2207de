"""Keys of tables: what a program declares of its outputs, and where it means something.

A foreign key is one only beside the table that it refers to, whose primary key it names. That may be an
output of another program, or one that a viewer does not see.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from heddle.core.types import comparable
from heddle.database.model import ForeignKey, TableInfo, TableName
from heddle.diagnostics import Diagnostic, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

    from heddle.database.views import View
    from heddle.frontend.typed import Output


def primary_key(output: Output, schema: pa.Schema) -> tuple[str, ...]:
    """None of an output whose columns are not known."""
    key = output.properties.key
    return key if set(key) <= set(schema.names) else ()


def foreign_keys(
    output: Output, table: TableName, schema: pa.Schema, names: set[str]
) -> tuple[ForeignKey, ...]:
    """`names` are those that keys of the schema have so far; the new ones are added."""
    found: list[ForeignKey] = []
    for reference in output.properties.references:
        if set(reference.columns) <= set(schema.names):
            name = _new_name(f"{table.name}_{'_'.join(reference.columns)}_fkey", names)
            referenced = TableName(table.catalog, reference.workflow, reference.output)
            found.append(ForeignKey(name, reference.columns, referenced, reference.key))
    return tuple(found)


def _new_name(wanted: str, names: set[str]) -> str:
    name, number = wanted, 1
    while name in names:
        name, number = f"{wanted}{number}", number + 1
    names.add(name)
    return name


def holds(key: ForeignKey, table: TableInfo, referenced: TableInfo | None) -> bool:
    """Whether the key of a table refers to the primary key of the other one."""
    if referenced is None or set(referenced.primary_key) != set(key.referenced_columns):
        return False
    pairs = zip(key.columns, key.referenced_columns, strict=True)
    return all(comparable(table.schema.field(a).type, referenced.schema.field(b).type) for a, b in pairs)


def key_problems(views: Mapping[TableName, View]) -> tuple[Diagnostic, ...]:
    """A warning for each foreign key that refers to nothing among these."""
    return tuple(found for view in views.values() for found in _problems(view, views))


def _problems(view: View, views: Mapping[TableName, View]) -> Iterator[Diagnostic]:
    spans = {(r.columns, r.workflow, r.output, r.key): r.span for r in view.output.properties.references}
    for key in view.info.foreign_keys:
        name = key.referenced
        other = views.get(name)
        if holds(key, view.info, other.info if other is not None else None):
            continue
        about = f"`{view.info.name.schema}.{view.info.name.name}` refers to `{name.schema}.{name.name}`"
        if other is None:
            message, help = f"{about}, which no program has that is served", _near(name, views)
        else:
            known = ", ".join(f"`{c}`" for c in other.info.primary_key)
            told = f"whose key is {known}" if known else "which declares no key"
            message, help = f"{about}, {told}", "a foreign key has the columns and types of that key"
        span = spans[key.columns, name.schema, name.name, key.referenced_columns]
        yield Diagnostic("HD0713", "warning", message, view.owner.program.source, span, help)


def _near(name: TableName, known: Iterable[TableName]) -> str:
    near = did_you_mean(f"{name.schema}.{name.name}", [f"{n.schema}.{n.name}" for n in known])
    return f"did you mean `{near}`?" if near else "clients are not told of this foreign key"

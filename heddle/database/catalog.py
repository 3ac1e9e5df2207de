"""All tables of a database, and what each viewer sees of them: views, materialized outputs, the scratch
schema and the system's own tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.keys import holds
from heddle.database.model import SCRATCH_SCHEMA, Settings, TableInfo, TableName, Viewer
from heddle.database.sources import KeptSource, SystemSource, Table
from heddle.database.statements import NamedTable
from heddle.diagnostics import did_you_mean

if TYPE_CHECKING:
    from heddle.database.given import Given
    from heddle.database.kept_tables import KeptTables
    from heddle.database.policy import Policy
    from heddle.database.system_tables import SystemTables


SeenKey: TypeAlias = "tuple[TableName, tuple[Given, ...]]"


@record(frozen=True, slots=True)
class Seen:
    """A table as a viewer sees it; `rules` are the policy's query that stands for it, if there is one, and
    `given` what the statement gives to its parameters."""

    table: Table
    info: TableInfo
    rules: str | None
    given: tuple[Given, ...] = ()

    @property
    def key(self) -> SeenKey:
        """One for all places where a statement reads the same rows."""
        return self.info.name, self.given


@record(frozen=True, slots=True)
class _Lasting:
    """`infos` are the system's tables that it was made with; `by_name` has tables by their own names in small
    letters."""

    infos: tuple[TableInfo, ...]
    tables: Mapping[TableName, Table]
    by_name: Mapping[str, Sequence[Table]]


class Catalog:
    """`fixed` are the tables that are there as long as the database is open."""

    def __init__(
        self,
        name: str,
        fixed: Mapping[TableName, Table],
        system: SystemTables,
        scratch: KeptTables,
        policy: Policy | None,
    ) -> None:
        self.name = name
        self._fixed = fixed
        self._system = system
        self._scratch = scratch
        self._policy = policy
        self._known_lasting: _Lasting | None = None

    def seen(self, viewer: Viewer, transaction: str | None = None) -> tuple[Seen, ...]:
        """What the viewer sees, by schema and name."""
        tables = self._tables(transaction)
        found = [self._seen(tables[name], viewer) for name in sorted(tables, key=_in_order)]
        return tuple(seen for seen in found if seen is not None)

    def find(self, named: NamedTable, viewer: Viewer, settings: Settings, transaction: str | None) -> Seen:
        """The table that a name in a statement means. Raises `QueryError`, for one that the viewer does not
        see just as for one that is not there."""
        called = named.parts[-1].lower()
        tables = {table.info.name: table for table in self._lasting().by_name.get(called, ())}
        tables |= self._kept(transaction, called)
        matches = [
            seen
            for name in _matching(named.parts, tuple(tables), settings)
            if (seen := self._seen(tables[name], viewer)) is not None
        ]
        if len(matches) == 1:
            return matches[0]
        written = ".".join(named.parts)
        if matches:
            listed = ", ".join(f"`{seen.info.name.schema}.{seen.info.name.name}`" for seen in matches)
            raise QueryError("invalid", f"`{written}` is in several schemas", help=f"say which: {listed}")
        known = [seen.info.name for seen in self.seen(viewer, transaction)]
        near = did_you_mean(written, [n.name for n in known] + [f"{n.schema}.{n.name}" for n in known])
        raise QueryError(
            "not_found",
            f"there is no table `{written}`",
            help=f"did you mean `{near}`?" if near else None,
        )

    def _tables(self, transaction: str | None) -> Mapping[TableName, Table]:
        return {**self._lasting().tables, **self._kept(transaction)}

    def _lasting(self) -> _Lasting:
        """The tables that no statement makes; found anew when a system table was added."""
        infos = self._system.infos()
        known = self._known_lasting
        if known is None or known.infos is not infos:
            tables = dict(self._fixed)
            for info in infos:
                tables[info.name] = SystemSource(info, partial(self._system.rows, info.name.name))
            by_name: dict[str, list[Table]] = {}
            for name, table in tables.items():
                by_name.setdefault(name.name.lower(), []).append(table)
            known = self._known_lasting = _Lasting(infos, tables, by_name)
        return known

    def _kept(self, transaction: str | None, called: str | None = None) -> Mapping[TableName, Table]:
        """Those of the scratch schema; with `called` those of this name but for capital letters."""
        tables: dict[TableName, Table] = {}
        for kept in self._scratch.tables(transaction):
            if called is None or kept.name.lower() == called:
                name = TableName(self.name, SCRATCH_SCHEMA, kept.name)
                info = TableInfo(name, "TABLE", kept.schema, writable=True)
                tables[name] = KeptSource(info, partial(self._scratch.read, kept.name))
        return tables

    def _seen(self, table: Table, viewer: Viewer) -> Seen | None:
        info = self._info(table, viewer)
        if info is None:
            return None
        if info.foreign_keys:
            others = self._lasting().tables
            held = (
                key
                for key in info.foreign_keys
                if (other := others.get(key.referenced)) is not None
                and holds(key, info, self._info(other, viewer))
            )
            info = replace(info, foreign_keys=tuple(held))
        rules = None if self._policy is None else self._policy.relation_for(viewer, table.info)
        return Seen(table, info, rules)

    def _info(self, table: Table, viewer: Viewer) -> TableInfo | None:
        """The table as the viewer sees it, None when the viewer does not; with all that it refers to."""
        if self._policy is None:
            return table.info
        return self._policy.table_for(viewer, table.info) if self._policy.sees(viewer, table.info) else None


def schema_of_tables(tables: Sequence[TableInfo]) -> pa.Table:
    """What SHOW TABLES tells."""
    return pa.table(
        {
            "table_catalog": [info.name.catalog for info in tables],
            "table_schema": [info.name.schema for info in tables],
            "table_name": [info.name.name for info in tables],
            "table_type": [str(info.kind) for info in tables],
        },
        schema=SHOWN_TABLES,
    )


SHOWN_TABLES = pa.schema(
    [(name, pa.string()) for name in ("table_catalog", "table_schema", "table_name", "table_type")]
)


def _in_order(name: TableName) -> tuple[str, str, str]:
    return name.catalog, name.schema, name.name


def _matching(parts: tuple[str, ...], names: Sequence[TableName], settings: Settings) -> Sequence[TableName]:
    """The tables that a name can mean: as written, or else but for capital letters; without a schema first
    those of the session's."""
    wanted = parts[::-1]
    known = [(name, (name.name, name.schema, name.catalog)[: len(wanted)]) for name in names]
    lower = tuple(map(str.lower, wanted))
    exact = [name for name, own in known if own == wanted]
    for found in (exact, [name for name, own in known if tuple(map(str.lower, own)) == lower]):
        own = [name for name in found if name.schema == settings.schema]
        if len(parts) == 1 and own:
            return own
        if found:
            return found
    return ()

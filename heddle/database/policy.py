"""What each viewer sees of the tables, and may write: roles show outputs, policies filter rows and mask
columns.

A `Policy` is made of the settings and asked for each statement and each table. What it gives in the place of
a table is SQL, so it holds wherever a client's statement names the table. An admin sees everything as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from heddle.database import policy_sql
from heddle.database.errors import QueryError
from heddle.database.model import SCRATCH_SCHEMA, TableInfo, TableName, Viewer
from heddle.database.policy_sql import ExpressionError, Rules
from heddle.serve_settings import EVERYONE, PolicySettings, Role, ServeSettings

if TYPE_CHECKING:
    import pyarrow as pa

PREPARED_MAX: Final = 4096
"""Pairs of viewers and tables whose rules are kept."""
CONCEALED: Final = "the statement failed on rows or values of a restricted output; what it met is not shown"
_TELLING: Final = ("failed", "invalid", "unsupported")
"""Kinds of errors of a running statement whose text may hold values."""


def viewer_of(settings: ServeSettings, name: str, roles: Iterable[str] = ()) -> Viewer:
    """Who has logged in as `name`, with the roles that the login and the settings give."""
    user = settings.users.get(name)
    all_roles = tuple(sorted({*roles, *(user.roles if user else ())}))
    return Viewer(
        name, all_roles, any(settings.roles[role].admin for role in all_roles if role in settings.roles)
    )


def concealed(error: QueryError) -> QueryError:
    """The error of a running statement over restricted tables, without what it met in them."""
    if error.kind == "unavailable":
        return QueryError(error.kind, "a restricted output cannot be had at the moment")
    return QueryError(error.kind, CONCEALED) if error.kind in _TELLING else error


class Policy:
    """Thread-safe."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._prepared = lru_cache(PREPARED_MAX)(self._prepare)

    def sees(self, viewer: Viewer, table: TableInfo) -> bool:
        """Without roles in the settings everybody sees all outputs, and everybody sees system tables, which
        themselves know who may see what. A table whose policies cannot be used for it is not seen;
        `policy_problems` tells of it."""
        return viewer.admin or (self._shows(viewer, table) and self._is_usable(viewer, table))

    def _is_usable(self, viewer: Viewer, table: TableInfo) -> bool:
        try:
            self._prepared_for(viewer, table)
        except QueryError:
            return False
        return True

    def _shows(self, viewer: Viewer, table: TableInfo) -> bool:
        if table.kind == "SYSTEM TABLE":
            return True
        if table.name.schema == SCRATCH_SCHEMA and self.may_write(viewer, table.name):
            return True
        if not self._settings.roles:
            return table.name.schema != SCRATCH_SCHEMA
        return any(matches(p, table.name) for role in self._roles(viewer) for p in role.sees)

    def may_write(self, viewer: Viewer, name: TableName) -> bool:
        """Never what the viewer sees a part of only: a change of all rows would change hidden ones."""
        if viewer.admin:
            return True
        written = any(matches(p, name) for role in self._roles(viewer) for p in role.writes)
        return written and not self._policies(viewer, name)

    def restricted(self, viewer: Viewer, table: TableInfo) -> bool:
        """Whether the viewer sees less than all rows and values."""
        return bool(self._policies(viewer, table.name))

    def may_explain(self, viewer: Viewer, tables: Iterable[TableInfo]) -> bool:
        """Whether a plan over these tables may be shown: it tells filters, and how many rows they hide."""
        if viewer.admin or any(role.explain for role in self._roles(viewer)):
            return True
        return not any(self.restricted(viewer, table) for table in tables)

    def relation_for(self, viewer: Viewer, table: TableInfo) -> str | None:
        """The query that stands in the table's place, with `{relation}` where its quoted name goes, once;
        None: the table as it is. Raises `QueryError`."""
        return self._prepared_for(viewer, table)[0]

    def table_for(self, viewer: Viewer, table: TableInfo) -> TableInfo:
        """The table as the viewer sees it: masked columns have the masks' types and are in no key. Raises
        `QueryError`."""
        text, schema = self._prepared_for(viewer, table)
        if text is None:
            return table
        masked = self._rules(viewer, table.name, tuple(table.schema.names)).masks
        return replace(
            table,
            schema=schema,
            primary_key=() if masked.keys() & set(table.primary_key) else table.primary_key,
            foreign_keys=tuple(key for key in table.foreign_keys if not masked.keys() & set(key.columns)),
        )

    def _roles(self, viewer: Viewer) -> tuple[Role, ...]:
        names = (*viewer.roles, EVERYONE)
        return tuple(self._settings.roles[name] for name in names if name in self._settings.roles)

    def _policies(self, viewer: Viewer, name: TableName) -> list[PolicySettings]:
        if viewer.admin:
            return []
        roles = {*viewer.roles, EVERYONE}
        return [
            policy
            for policy in self._settings.policies
            if (not policy.roles or roles & set(policy.roles))
            and not roles & set(policy.except_roles)
            and any(matches(pattern, name) for pattern in policy.outputs)
        ]

    def _rules(self, viewer: Viewer, name: TableName, columns: tuple[str, ...]) -> Rules:
        """All filters that hold; of several masks of a column that of the first policy. Raises
        `ExpressionError` where a policy of this very output masks a column that it does not have."""
        policies = self._policies(viewer, name)
        roles = (*viewer.roles, EVERYONE)
        conditions = tuple(
            policy_sql.with_viewer(policy.filter, viewer.name, roles)
            for policy in policies
            if policy.filter is not None
        )
        masks: dict[str, str] = {}
        for policy in policies:
            for column, text in policy.masks.items():
                if column not in columns:
                    if any("*" not in p and matches(p, name) for p in policy.outputs):
                        raise ExpressionError(f"there is no column `{column}`")
                elif column not in masks:
                    own = policy_sql.with_viewer(text, viewer.name, roles)
                    masks[column] = policy_sql.mask(own, column)
        return Rules(conditions, masks)

    def _prepared_for(self, viewer: Viewer, table: TableInfo) -> tuple[str | None, pa.Schema]:
        if not self.restricted(viewer, table):
            return None, table.schema
        return self._prepared(viewer, table.name, table.schema)

    def _prepare(self, viewer: Viewer, name: TableName, schema: pa.Schema) -> tuple[str | None, pa.Schema]:
        try:
            rules = self._rules(viewer, name, tuple(schema.names))
            if not rules.conditions and not rules.masks:
                return None, schema
            return policy_sql.relation(schema.names, rules), policy_sql.masked_schema(schema, rules)
        except ExpressionError as error:
            message = f"the policies of {name.schema}.{name.name} cannot be used, so it is not shown"
            raise QueryError("denied", message, help="tell whoever runs this server") from error


def matches(pattern: str, name: TableName) -> bool:
    """`schema.table` or `catalog.schema.table`; `*` stands for any letters of one part."""
    parts = pattern.split(".")
    names = (name.catalog, name.schema, name.name)[-len(parts) :]
    return len(parts) == len(names) and all(
        re.fullmatch(".*".join(map(re.escape, part.split("*"))), value, re.DOTALL)
        for part, value in zip(parts, names, strict=True)
    )

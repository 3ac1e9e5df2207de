"""The system tables of roles and policies. Everybody sees the roles that they have, an admin all of them and
the policies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import pyarrow as pa

from heddle.database.model import Viewer
from heddle.database.system_tables import SystemTable, column, table_of_rows
from heddle.serve_settings import EVERYONE, ServeSettings

_TEXT: Final = pa.string()
_TEXTS: Final = pa.list_(pa.field("item", pa.string()))
_COUNT: Final = pa.int64()
_FLAG: Final = pa.bool_()

ROLES: Final = pa.schema(
    [
        column("role", _TEXT, "Its name; `everyone` is the role that each user has", nullable=False),
        column("sees", _TEXTS, "Patterns of outputs", nullable=False),
        column("writes", _TEXTS, "Patterns of tables", nullable=False),
        column("admin", _FLAG, "Whether it sees everything as it is", nullable=False),
        column("explain", _FLAG, "Whether it sees plans over restricted outputs", nullable=False),
        column("concurrency", _COUNT, "Statements at a time"),
        column("memory_bytes", _COUNT, "Memory of a statement"),
        column("timeout_seconds", pa.float64(), "Time of a statement"),
        column("rows", _COUNT, "Rows of an answer"),
    ]
)
POLICIES: Final = pa.schema(
    [
        column("policy", _TEXT, "Its name", nullable=False),
        column("outputs", _TEXTS, "Patterns of outputs that it is about", nullable=False),
        column("roles", _TEXTS, "Whom it holds for; none: everybody", nullable=False),
        column("except_roles", _TEXTS, "Whom it does not hold for", nullable=False),
        column("filter", _TEXT, "The condition on rows"),
        column("column", _TEXT, "A column that is masked"),
        column("mask", _TEXT, "What is shown of it"),
    ]
)


def policy_tables(settings: ServeSettings) -> tuple[SystemTable, ...]:
    return (
        SystemTable("roles", ROLES, partial(_roles, settings), "Roles of `heddle serve`"),
        SystemTable(
            "policies",
            POLICIES,
            lambda _: _policies(settings),
            "Row filters and column masks",
            admin_only=True,
        ),
    )


def _roles(settings: ServeSettings, viewer: Viewer) -> pa.Table:
    return table_of_rows(
        ROLES,
        [
            (
                role.name,
                role.sees,
                role.writes,
                role.admin,
                role.explain,
                role.limits.concurrency,
                role.limits.memory_bytes,
                role.limits.timeout_s,
                role.limits.rows_max,
            )
            for role in settings.roles.values()
            if viewer.admin or role.name in (*viewer.roles, EVERYONE)
        ],
    )


def _policies(settings: ServeSettings) -> pa.Table:
    """A row for each masked column, and one for a policy without masks."""

    def rows() -> Iterator[tuple[object, ...]]:
        for policy in settings.policies:
            about = (policy.name, policy.outputs, policy.roles, policy.except_roles, policy.filter)
            for column_name, mask in policy.masks.items() or [(None, None)]:
                yield (*about, column_name, mask)

    return table_of_rows(POLICIES, rows())

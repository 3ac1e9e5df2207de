"""What is wrong with policies, given the tables that they are about, at its place in the settings."""

from __future__ import annotations

from collections.abc import Iterator

from heddle.database.model import TableInfo
from heddle.database.policy import matches
from heddle.database.policy_sql import ExpressionError, Rules, mask, masked_schema, with_viewer
from heddle.diagnostics import Diagnostic, Severity, did_you_mean
from heddle.serve_settings import EVERYONE, PolicySettings, ServeSettings

_NOBODY = "nobody"


def policy_problems(settings: ServeSettings, tables: tuple[TableInfo, ...]) -> tuple[Diagnostic, ...]:
    outputs = tuple(table for table in tables if table.kind != "SYSTEM TABLE")
    return tuple(found for policy in settings.policies for found in _of_policy(policy, outputs))


def _of_policy(policy: PolicySettings, outputs: tuple[TableInfo, ...]) -> Iterator[Diagnostic]:
    about = [table for table in outputs if any(matches(p, table.name) for p in policy.outputs)]
    for pattern in policy.outputs:
        if not any(matches(pattern, table.name) for table in outputs):
            near = did_you_mean(pattern, tuple(f"{t.name.schema}.{t.name.name}" for t in outputs))
            help = f"did you mean `{near}`?" if near else "the programs that are served have no such output"
            yield _found(policy, "outputs", f"`{pattern}` fits no output", help, "warning")
    if policy.filter is not None:
        yield from _of_filter(policy, policy.filter, about)
    for column in policy.masks:
        yield from _of_mask(policy, column, about)


def _of_filter(policy: PolicySettings, text: str, about: list[TableInfo]) -> Iterator[Diagnostic]:
    """The first output over which the filter cannot be used."""
    for table in about:
        rules = Rules((with_viewer(text, _NOBODY, (EVERYONE,)),), {})
        try:
            masked_schema(table.schema, rules)
        except ExpressionError as error:
            message = (
                f"the filter of the policy `{policy.name}` cannot be used for `{_shown(table)}`: {error}"
            )
            yield _found(policy, "filter", message, "it is a condition over columns of the output")
            return


def _of_mask(policy: PolicySettings, column: str, about: list[TableInfo]) -> Iterator[Diagnostic]:
    """A pattern with `*` may fit outputs that lack the column, but not only such."""
    exact = [t for t in about if any("*" not in p and matches(p, t.name) for p in policy.outputs)]
    having = [table for table in about if column in table.schema.names]
    lacking = [table for table in exact if table not in having] or (about if not having else [])
    if lacking:
        near = did_you_mean(column, tuple(lacking[0].schema.names))
        help = f"did you mean `{near}`?" if near else "columns are named as the output has them"
        yield _found(policy, f"masks.{column}", f"`{_shown(lacking[0])}` has no column `{column}`", help)
        return
    for table in having:
        text = mask(with_viewer(policy.masks[column], _NOBODY, (EVERYONE,)), column)
        try:
            masked_schema(table.schema, Rules((), {column: text}))
        except ExpressionError as error:
            message = f"the mask of `{column}` cannot be used for `{_shown(table)}`: {error}"
            help = "it is an expression over columns, or the name of a mask such as `null`, `hash`, `last4`"
            yield _found(policy, f"masks.{column}", message, help)
            return


def _shown(table: TableInfo) -> str:
    return f"{table.name.schema}.{table.name.name}"


def _found(
    policy: PolicySettings, key: str, message: str, help: str, severity: Severity = "error"
) -> Diagnostic:
    return Diagnostic("HD0724", severity, message, policy.source, policy.spans[key], help)

"""What is written behind an output's name: `> name {…}` becomes its key, its foreign keys and when its rows
are refreshed, each value read by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from typing import Final

from heddle.core.record import record
from heddle.core.refresh_policy import REFRESH_HELP, RefreshPolicy, refresh_policy, refresh_switch
from heddle.core.types import RowType
from heddle.diagnostics import Fix, Label, Span
from heddle.frontend import ast
from heddle.frontend.checker.configs import last_pairs
from heddle.frontend.checker.report import Report
from heddle.frontend.strings import encode_string

PROPERTIES: Final = ("key", "references", "materialize")
_COLUMN_OF_OUTPUT: Final = r"([^.]+)\.([^.]+)\.(.+)"
_BARE_KEY: Final = r"[A-Za-z_][A-Za-z0-9_-]*"
_KEY_HELP: Final = 'it is a column, like "order_id", or a list of columns'
_REFERENCES_HELP: Final = (
    'it is a list with a `{…}` for each foreign key: [{order_id: "Shop.orders.order_id"}]'
)


@record(frozen=True, slots=True)
class WrittenColumn:
    """A column of the output as it is written; `quoted`: between quotes."""

    name: str
    span: Span
    quoted: bool = True

    def written(self, name: str) -> str:
        return name if not self.quoted and re.fullmatch(_BARE_KEY, name) else encode_string(name)


@record(frozen=True, slots=True)
class Target:
    """`"workflow.output.column"`"""

    workflow: str
    output: str
    column: str
    span: Span

    @property
    def table(self) -> str:
        return f"{self.workflow}.{self.output}"


@record(frozen=True, slots=True)
class KeyPair:
    column: WrittenColumn
    target: Target


@record(slots=True, eq=False)
class Said:
    """What an output says. `key` is None when it is not to be had because of a reported mistake."""

    name: str
    span: Span
    row: RowType | None
    key: tuple[WrittenColumn, ...] | None = ()
    references: list[tuple[Span, tuple[KeyPair, ...]]] = field(default_factory=list)
    materialize: RefreshPolicy | None = None

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.key or ())


class PropertyReader:
    """Reads what is written, each value by itself."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def read(self, written: ast.DictValue, said: Said) -> None:
        for pair in last_pairs(written, self._report):
            match pair.key.text:
                case "key":
                    said.key = self._key(pair)
                case "references":
                    said.references = list(self._references(pair))
                case "materialize":
                    said.materialize = self._materialize(pair)
                case name:
                    message = f"an output has no property `{name}`"
                    self._report.unknown(
                        "HD0709", pair.key.span, message, PROPERTIES, "properties", name=name
                    )

    def _key(self, pair: ast.Pair) -> tuple[WrittenColumn, ...] | None:
        items = pair.value.items if isinstance(pair.value, ast.ListValue) else (pair.value,)
        columns: dict[str, WrittenColumn] = {}
        for item in items:
            if not isinstance(item, ast.StringValue) or not item.value:
                self._invalid(pair.key, item, _KEY_HELP)
                return None
            if item.value in columns:
                message = f"the key has the column `{item.value}` twice"
                self._report.error("HD0710", item.span, message, "take one of them out")
            columns[item.value] = WrittenColumn(item.value, item.span)
        if not columns:
            self._invalid(pair.key, pair.value, _KEY_HELP)
            return None
        return tuple(columns.values())

    def _materialize(self, pair: ast.Pair) -> RefreshPolicy | None:
        match pair.value:
            case ast.BoolValue(value=on):
                return refresh_switch(on)
            case ast.StringValue(value=text):
                policy = refresh_policy(text)
                if policy is None:
                    self._invalid(pair.key, pair.value, REFRESH_HELP)
                return policy
            case _:
                self._invalid(pair.key, pair.value, REFRESH_HELP)
                return None

    def _references(self, pair: ast.Pair) -> Iterator[tuple[Span, tuple[KeyPair, ...]]]:
        if not isinstance(pair.value, ast.ListValue):
            fix = None
            if isinstance(pair.value, ast.DictValue) and pair.value.pairs:
                start, end = pair.value.span.start, pair.value.span.end
                fix = Fix("put it into a list", ((Span(start, start), "["), (Span(end, end), "]")))
            self._invalid(pair.key, pair.value, _REFERENCES_HELP, fix)
            return
        for item in pair.value.items:
            if not isinstance(item, ast.DictValue) or not item.pairs:
                self._invalid(pair.key, item, _REFERENCES_HELP)
                continue
            pairs = [self._pair(of) for of in last_pairs(item, self._report)]
            whole = tuple(of for of in pairs if of is not None)
            if len(whole) == len(pairs) and self._is_one_key(whole):
                yield item.span, whole

    def _pair(self, pair: ast.Pair) -> KeyPair | None:
        """`column: "Workflow.output.column"`"""
        value = pair.value
        text = value.value if isinstance(value, ast.StringValue) else ""
        parts = re.fullmatch(_COLUMN_OF_OUTPUT, text, re.DOTALL)
        if parts is None:
            help = f'write it like {pair.key.text}: "Shop.orders.order_id": a workflow, an output, a column'
            self._invalid(pair.key, value, help)
            return None
        target = Target(parts[1], parts[2], parts[3], value.span)
        return KeyPair(WrittenColumn(pair.key.text, pair.key.span, pair.quoted), target)

    def _is_one_key(self, pairs: tuple[KeyPair, ...]) -> bool:
        """Each of them refers to a column of its own, in one output."""
        first = pairs[0].target
        known: set[str] = set()
        for pair in pairs:
            target = pair.target
            if target.table != first.table:
                message = f"one foreign key refers to `{first.table}` and to `{target.table}`"
            elif target.column in known:
                message = f"two columns of one foreign key refer to `{target.table}.{target.column}`"
            else:
                known.add(target.column)
                continue
            help = "write a `{…}` for each: [{a: …}, {b: …}]"
            self._report.error(
                "HD0710", target.span, message, help, labels=(Label(first.span, "the first of them"),)
            )
            return False
        return True

    def _invalid(self, key: ast.Ident, value: ast.Value, how: str, fix: Fix | None = None) -> None:
        shown = value.text if isinstance(value, ast.StringValue | ast.NumberValue) else "this"
        self._report.error("HD0710", value.span, f"`{key.text}` cannot be {shown}", how, fix=fix)

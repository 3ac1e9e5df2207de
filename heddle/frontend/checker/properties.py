"""Properties of outputs: `> name {…}` says its key, what it refers to, and whether its rows are kept.

They are declared: no rows are checked against them, and no plan is built on them. What each output says is
read first, and then compared with the columns that it has and the keys of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from heddle.core.types import comparable, type_name
from heddle.diagnostics import Label, Span
from heddle.frontend.checker.declarations import Declarations
from heddle.frontend.checker.report import Report
from heddle.frontend.checker.scope import Scope
from heddle.frontend.checker.written_properties import KeyPair, PropertyReader, Said, Target
from heddle.frontend.strings import encode_string
from heddle.frontend.typed import OutputProperties, Reference


def read_properties(
    scopes: Mapping[str, Scope], found: Declarations, report: Report
) -> Mapping[Span, OutputProperties]:
    """Those of all outputs that have some, by the places of their names. The outputs have rows."""
    reader = PropertyReader(report)
    outputs: dict[str, dict[str, Said]] = {}
    for scope in scopes.values():
        if scope.is_handler:
            _refuse_in_handler(scope, report)
        else:
            outputs[scope.name] = {said.name.partition(".")[2]: said for said in _outputs(scope, reader)}
    every = [said for of_workflow in outputs.values() for said in of_workflow.values()]
    checker = _Checker(outputs, found, report)
    for said in every:
        checker.check_key(said)
    for said in every:
        checker.check_references(said)
    return {
        said.span: OutputProperties(
            said.key_names, tuple(_reference(*each) for each in said.references), said.materialize
        )
        for said in every
    }


def _outputs(scope: Scope, reader: PropertyReader) -> Iterator[Said]:
    """All outputs of a workflow, with what they say if they say something."""
    for statement in scope.statements:
        name = statement.name
        if name is None:
            continue
        draft = scope.assigned.get(name.text)
        known = draft is not None and not draft.poisoned
        row = draft.row if draft is not None and known else None
        said = Said(f"{scope.name}.{name.text}", name.span, row)
        if statement.properties is not None:
            reader.read(statement.properties, said)
        yield said


def _refuse_in_handler(scope: Scope, report: Report) -> None:
    for statement in scope.statements:
        if statement.name is not None and statement.properties is not None:
            report.error(
                "HD0711",
                statement.properties.span,
                f"`{statement.name.text}` is a name within the handler `{scope.name}`, and no output",
                "take its properties out: only outputs of workflows have some",
            )


def _reference(span: Span, pairs: tuple[KeyPair, ...]) -> Reference:
    target = pairs[0].target
    columns = tuple(pair.column.name for pair in pairs)
    return Reference(
        columns, target.workflow, target.output, tuple(pair.target.column for pair in pairs), span
    )


class _Checker:
    """Compares what outputs say with their columns, and with the keys that they refer to."""

    def __init__(
        self, outputs: Mapping[str, Mapping[str, Said]], found: Declarations, report: Report
    ) -> None:
        self._outputs = outputs
        self._found = found
        self._report = report

    def check_key(self, said: Said) -> None:
        known = [self._has(said, column.name, column.span, column.written) for column in said.key or ()]
        if not all(known):
            said.key = None

    def check_references(self, said: Said) -> None:
        for span, pairs in said.references:
            known = [self._has(said, p.column.name, p.column.span, p.column.written) for p in pairs]
            other = self._referenced(pairs[0].target)
            if other is not None and all(known) and self._is_key(other, span, pairs):
                for pair in pairs:
                    self._compare(said, other, pair)

    def _has(self, said: Said, name: str, span: Span, written: Callable[[str], str]) -> bool:
        """Whether it may have the column; else that is reported."""
        row = said.row
        if row is None or row.open or row.column(name) is not None:
            return True
        message = f"`{said.name}` has no column `{name}`"
        self._report.unknown("HD0712", span, message, row.names, "columns", name=name, written=written)
        return False

    def _referenced(self, target: Target) -> Said | None:
        """The output, None where it is not in this program; what is not there and should be is reported."""
        outputs = self._outputs.get(target.workflow)
        if outputs is None or target.output in outputs:
            return None if outputs is None else outputs[target.output]
        if target.output not in self._found.broken:
            message = f"the workflow `{target.workflow}` has no output `{target.output}`"

            def written(name: str) -> str:
                return encode_string(f"{target.workflow}.{name}.{target.column}")

            self._report.unknown(
                "HD0713", target.span, message, outputs, "outputs", name=target.output, written=written
            )
        return None

    def _is_key(self, other: Said, span: Span, pairs: tuple[KeyPair, ...]) -> bool:
        """Whether the columns that are referred to are the key of the output; else that is reported."""

        def written(target: Target) -> Callable[[str], str]:
            return lambda name: encode_string(f"{target.table}.{name}")

        known = [self._has(other, p.target.column, p.target.span, written(p.target)) for p in pairs]
        if other.key is None or not all(known):
            return False
        columns = {pair.target.column for pair in pairs}
        if columns == set(other.key_names):
            return True
        if other.key:
            listed = ", ".join(f"`{name}`" for name in other.key_names)
            message, help = f"the key of `{other.name}` is {listed}", "refer to all columns of the key"
        else:
            named = [pair.target.column for pair in pairs]
            key = encode_string(named[0]) if len(named) == 1 else f"[{', '.join(map(encode_string, named))}]"
            message = f"`{other.name}` has no key that could be referred to"
            help = f"declare it: `> {other.name.partition('.')[2]} {{ key: {key} }}`"
        self._report.error("HD0713", span, message, help, labels=(Label(other.span, "declared here"),))
        return False

    def _compare(self, said: Said, other: Said, pair: KeyPair) -> None:
        own = said.row.column(pair.column.name) if said.row is not None else None
        referenced = other.row.column(pair.target.column) if other.row is not None else None
        if own is None or referenced is None or own.type is None or referenced.type is None:
            return
        if not comparable(own.type, referenced.type):
            self._report.error(
                "HD0508",
                pair.column.span,
                f"`{own.name}` is {type_name(own.type)}, and `{other.name}.{referenced.name}`, to which it "
                f"refers, is {type_name(referenced.type)}",
                f'convert it before: col.cast {{ {own.name}: "{type_name(referenced.type)}" }}',
            )

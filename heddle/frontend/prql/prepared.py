"""A request on its way into a module: parsed, its names resolved to relation keys, its joins rewritten.

`prepare` takes a request's text unchanged first; a text that is surely not legal PRQL is normalised. What
comes out is a `Prepared` query or the diagnostics of a text that cannot be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Final, TypeAlias

from heddle.core.record import record
from heddle.diagnostics import Diagnostic
from heddle.frontend.prql import refusals, tree
from heddle.frontend.prql.edited import EditedText, spelled, to_ascii, unspelled
from heddle.frontend.prql.expressions import DATE_PARTS
from heddle.frontend.prql.names import READERS
from heddle.frontend.prql.native import DOCUMENT_DEPTH_MAX, Doc, PrqlFailure, parse_text
from heddle.frontend.prql.request import LookupValue, QueryRequest
from heddle.frontend.prql.words import scan

SHALLOW_CHARACTERS: Final = 100
"""A text as short as this cannot be too deep for prqlc."""

ColumnsOf: TypeAlias = Callable[[str], "tuple[str, ...] | None"]
"""The columns of a relation by its key, None when they are not all known."""

PrefixColumns: TypeAlias = Callable[["Prepared"], "tuple[str, ...] | None"]


@record(slots=True, eq=False)
class Prepared:
    """`number` is the query's place in the program's module, which its spans carry.

    `statements` are its own declarations, `main` is its pipeline. `reads` are the keys that it names,
    `looked_up` the lookups among them, with the values that columns give.
    """

    request: QueryRequest
    number: int
    text: EditedText
    statements: list[Doc]
    main: Doc
    reads: tuple[str, ...]
    aliased: frozenset[tuple[int, int, int]]
    merged: frozenset[str] = frozenset()
    dropped: frozenset[tuple[str, str]] = frozenset()
    looked_up: Mapping[str, tuple[LookupValue, ...]] = field(default_factory=dict)
    normalised: bool = False

    @property
    def stands_alone(self) -> bool:
        """It has declarations of its own, which would meet those of others in one module."""
        return bool(self.statements)

    @property
    def may_take_date_parts(self) -> bool:
        return "date." in self.text.text


class Preparation:
    """How requests become `Prepared`. `columns_of` and `prefix_columns` serve natural joins."""

    def __init__(self, columns_of: ColumnsOf, prefix_columns: PrefixColumns) -> None:
        self._columns_of = columns_of
        self._prefix_columns = prefix_columns

    def prepare(self, request: QueryRequest, number: int) -> Prepared | tuple[Diagnostic, ...]:
        original = EditedText.of(request.query.text, request.query.body.start)
        words = scan(original.text)
        early = refusals.of_words(request, words)
        if early:
            return early
        text = to_ascii(original)
        try:
            statements = parse_text(text.text)
        except PrqlFailure as failure:
            return self._normalised(request, number, text, failure)
        if tree.is_surely_illegal(statements):
            return self._normalised(request, number, text, None)
        return self._finish(request, number, text, statements, normalised=False)

    def prepare_normalised(self, before: Prepared) -> Prepared | None:
        """The query once more with its text normalised; None when that changes nothing or does not help."""
        if before.normalised:
            return None
        from heddle.frontend.prql.normalise import normalise

        text = normalise(before.text)
        if text is before.text:
            return None
        try:
            statements = parse_text(text.text)
        except PrqlFailure:
            return None
        again = self._finish(before.request, before.number, text, statements, normalised=True)
        return again if isinstance(again, Prepared) else None

    def _normalised(
        self, request: QueryRequest, number: int, text: EditedText, failure: PrqlFailure | None
    ) -> Prepared | tuple[Diagnostic, ...]:
        from heddle.frontend.prql.normalise import normalise

        edited = normalise(text)
        try:
            statements = parse_text(edited.text)
        except PrqlFailure as second:
            first = failure if failure is not None else second
            from heddle.frontend.prql.messages import Messages

            shown = text if failure is not None else edited
            return Messages(request, shown, ()).of_failure(first)
        return self._finish(request, number, edited, statements, normalised=True)

    def _finish(
        self, request: QueryRequest, number: int, text: EditedText, statements: list[Doc], *, normalised: bool
    ) -> Prepared | tuple[Diagnostic, ...]:
        has_functions = "->" in text.text
        if has_functions:
            tree.rename_functions(statements)
        if "concat" in text.text:
            tree.merge_concats(statements)
        refused = refusals.of_tree(request, text, statements)
        if refused:
            return refused
        if len(text.text) > SHALLOW_CHARACTERS:
            tree.balance(statements)
            if tree.depth_of(statements) > DOCUMENT_DEPTH_MAX:
                return refusals.too_deep(request)
        if "date." in text.text:
            tree.rename_date_parts(statements, DATE_PARTS)
        aliased = tree.number_spans(statements, number)
        main = tree.main_of(statements)
        assert main is not None, "of_tree refuses a text without a query"
        own = _declared(statements, has_functions=has_functions)
        names = _NameResolver(request, text, statements, own)
        names.resolve()
        if names.problems:
            return tuple(names.problems)
        prepared = Prepared(
            request=request,
            number=number,
            text=text,
            statements=[s for s in statements if s.get("VarDef") is not main],
            main=main["value"],
            reads=tuple(names.reads),
            aliased=aliased,
            normalised=normalised,
        )
        tree.prefer_columns(prepared.main, own)
        return self._join(prepared)

    def _join(self, prepared: Prepared) -> Prepared | tuple[Diagnostic, ...]:
        if "Pipeline" not in prepared.main:
            prepared.main = {"Pipeline": {"exprs": [prepared.main]}, "span": prepared.main.get("span")}
        if "join" not in prepared.text.text and "by:" not in prepared.text.text:
            return prepared
        from heddle.frontend.prql.appends import append_by_name
        from heddle.frontend.prql.joins import JoinRewriter

        unknown = append_by_name(prepared.main, lambda stages: self._left_columns(prepared, stages))
        if unknown:
            return refusals.unknown_appends(prepared.request, prepared.text, unknown)
        lookups = None
        if prepared.request.lookups:
            from heddle.frontend.prql.lookup_joins import LookupJoins

            lookups = LookupJoins(prepared.request.lookups)
        rewriter = JoinRewriter(
            left=lambda stages: self._left_columns(prepared, stages),
            right=self._right_columns,
            lookups=lookups,
        )
        rewriter.rewrite([*prepared.statements, prepared.main])
        if rewriter.unnatural:
            return refusals.unnatural_joins(prepared.request, prepared.text, rewriter.unnatural)
        if lookups is not None:
            if lookups.problems:
                return refusals.lookup_joins(prepared.request, prepared.text, lookups.problems)
            prepared.looked_up = lookups.bound
        prepared.merged = frozenset(unspelled(key) for key in rewriter.merged)
        prepared.dropped = frozenset((unspelled(name), unspelled(key)) for name, key in rewriter.dropped)
        return prepared

    def _left_columns(self, prepared: Prepared, stages: list[Doc]) -> tuple[str, ...] | None:
        if len(stages) == 1 and tree.callee(stages[0]) == "from":
            return self._right_columns(stages[0]["FuncCall"]["args"][0])
        main = {"Pipeline": {"exprs": stages}, "span": None}
        columns = self._prefix_columns(
            Prepared(
                prepared.request,
                prepared.number,
                prepared.text,
                prepared.statements,
                main,
                prepared.reads,
                prepared.aliased,
            )
        )
        return (
            None if columns is None else tuple(spelled(c) for c in columns if not c.startswith(tree.HIDDEN))
        )

    def _right_columns(self, relation: Doc) -> tuple[str, ...] | None:
        return self._spelled_columns(relation["Ident"][-1]) if "Ident" in relation else None

    def _spelled_columns(self, key: str) -> tuple[str, ...] | None:
        columns = self._columns_of(key)
        return None if columns is None else tuple(spelled(c) for c in columns)


def waits_for_rows(prepared_text: str) -> bool:
    """Whether a text may have a natural join, so that the rows of what it reads must be known first."""
    if "by:" in prepared_text and "append" in prepared_text:
        return True
    if "join" not in prepared_text:
        return False
    from heddle.frontend.prql.joins import has_natural_join
    from heddle.frontend.prql.normalise import normalise

    edited = normalise(to_ascii(EditedText.of(prepared_text, 0)))
    try:
        return has_natural_join(parse_text(edited.text))
    except PrqlFailure:
        return False


class _NameResolver:
    """Puts relation keys where the query names relations; the name as written stays as an alias."""

    def __init__(
        self, request: QueryRequest, text: EditedText, statements: list[Doc], own: frozenset[str]
    ) -> None:
        """`own` are the names that the query declares."""
        self._request = request
        self._text = text
        self._statements = statements
        self._own = own
        self.reads: list[str] = []
        self.problems: list[Diagnostic] = []

    def resolve(self) -> None:
        relations: list[Doc] = []
        named: list[Doc] = []
        for node in tree.nodes(self._statements):
            name = tree.callee(node) if "FuncCall" in node else None
            if name in READERS and node["FuncCall"]["args"]:
                relations.append(node["FuncCall"]["args"][0])
                self._relation(relations[-1], named=name in ("from", "join"))
            if "alias" in node:
                named.append(node)
        own = {id(relation) for relation in relations}
        given = {node["alias"] for node in named if id(node) not in own}
        for name in sorted({r["alias"] for r in relations if "alias" in r} & given):
            self._set_apart(name, relations)

    def _set_apart(self, name: str, relations: list[Doc]) -> None:
        """A relation called as a new column is (`from orders | aggregate {orders = count this}`): prqlc
        takes one for the other, so the relation goes under another name."""
        hidden = f"{tree.HIDDEN}relation_{name}"
        for relation in relations:
            if relation.get("alias") == name:
                relation["alias"] = hidden
        for node in tree.nodes(self._statements):
            path = node.get("Ident")
            if path is not None and len(path) > 1 and path[0] == name:
                node["Ident"] = [hidden, *path[1:]]

    def _relation(self, node: Doc, *, named: bool) -> None:
        """`named`: the query can speak of the relation's columns by its name."""
        path = node.get("Ident")
        if path is None or (len(path) == 1 and path[0] in self._own):
            return
        name = unspelled(".".join(path))
        key = self._request.input if name == "input" else self._request.relations.get(name)
        if key is None:
            self.problems.append(refusals.unknown_relation(self._request, self._text, node, name))
            return
        node["Ident"] = [key]
        if named:
            node.setdefault("alias", path[-1])
        if key not in self.reads:
            self.reads.append(key)


def _declared(statements: list[Doc], *, has_functions: bool) -> frozenset[str]:
    own = {s["VarDef"]["name"] for s in statements if "VarDef" in s and s["VarDef"]["kind"] == "Let"}
    for node in tree.nodes(statements) if has_functions else ():
        function = node.get("Func")
        if function:
            own.update(p["name"] for p in (*function["params"], *function["named_params"]))
    return frozenset(own)

"""Queries as a database runs them: a SELECT of the program over relations of the database, as a SELECT there.

`translated` gives a `Selected`, whose text is made when everything that it is to say is known. Relations are
nested, each where it is read, so that no name of the program can hide a table that a statement names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sqlglot import exp

from heddle.core.record import record
from heddle.core.types import RowType, type_name
from heddle.logical.dialects.dialect import Dialect
from heddle.logical.dialects.terms import Refused, Relation, RelationColumn, Term, alike
from heddle.logical.pushed_expressions import Expressions, Scope, parts_of, says, scope_of

_KINDS: Final = {("", ""): "INNER", ("", "INNER"): "INNER", ("LEFT", ""): "LEFT", ("LEFT", "OUTER"): "LEFT"}
_CLAUSES: Final = frozenset(
    {"expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset", "distinct"}
    | {"with_"}
)


@record(frozen=True, slots=True)
class Selected:
    """A SELECT of the database. `items` have the names and the types of the program. `sorted`: its rows come
    in an order that the program asked for."""

    items: tuple[tuple[str, Term], ...]
    source: str
    where: tuple[str, ...] = ()
    grouped_by: tuple[str, ...] = ()
    having: str | None = None
    order: tuple[str, ...] = ()
    limit: int | None = None
    offset: int = 0
    distinct: bool = False
    sorted: bool = False

    def text(self, dialect: Dialect) -> str:
        items = ", ".join(f"{term.text} AS {dialect.quoted(name)}" for name, term in self.items)
        parts = [f"SELECT {'DISTINCT ' if self.distinct else ''}{items} FROM {self.source}"]
        if self.where:
            parts.append(f"WHERE {' AND '.join(self.where)}")
        if self.grouped_by:
            parts.append(f"GROUP BY {', '.join(self.grouped_by)}")
        if self.having:
            parts.append(f"HAVING {self.having}")
        if self.order:
            parts.append(f"ORDER BY {', '.join(self.order)}")
        if self.limit is not None:
            parts.append(f"LIMIT {self.limit}")
        if self.offset:
            parts.append(f"{dialect.unlimited if self.limit is None else ''}OFFSET {self.offset}")
        return " ".join(parts)

    def relation(self, dialect: Dialect) -> Relation:
        columns = tuple(RelationColumn(name, term.type, term.native) for name, term in self.items)
        return Relation(f"({self.text(dialect)})", columns, self.sorted)

    def first(self, count: int) -> Selected:
        """Its first rows only."""
        return replace(self, limit=count if self.limit is None else min(count, self.limit))

    def only(self, columns: tuple[str, ...]) -> Selected:
        """With these columns only, in this order."""
        if self.distinct:
            raise Refused("some columns of distinct rows are read")
        items = dict(self.items)
        return replace(self, items=tuple((name, items[name]) for name in columns))


def translated(tree: exp.Expr, relations: Mapping[str, Relation], dialect: Dialect, row: RowType) -> Selected:
    """A query that gives the rows `row`. Raises `Refused` for what may give something else."""
    selected = _Select(dialect, dict(relations)).query(tree)
    if tuple(name for name, _ in selected.items) != row.names:
        raise Refused("its columns have other names")
    for (name, term), column in zip(selected.items, row, strict=True):
        if not alike(term.type, column.type):
            raise Refused(
                f"`{name}` would be {type_name(term.type)} and not {type_name(column.type)} in {dialect.said}"
            )
    return selected


def selecting(relation: Relation, alias: str, columns: tuple[str, ...], dialect: Dialect) -> Selected:
    """Some columns of a relation, unchanged."""
    scope = _scope(relation, alias, dialect)
    items = tuple((name, scope[alias][name]) for name in columns)
    return Selected(items, f"{relation.text} AS {dialect.quoted(alias)}", sorted=relation.ordered)


def conditions(node: exp.Expr, relation: Relation, alias: str, dialect: Dialect) -> tuple[str, ...]:
    """A predicate over a relation that `selecting` reads."""
    return tuple(Expressions(dialect, _scope(relation, alias, dialect)).conjuncts(node))


def order_of(
    keys: tuple[tuple[str, bool], ...], relation: Relation, alias: str, dialect: Dialect
) -> tuple[str, ...]:
    """An ORDER BY of columns, each with whether it descends."""
    scope = _scope(relation, alias, dialect)[alias]
    terms = [(dialect.known(scope[name]), descends) for name, descends in keys]
    return tuple(dialect.sorted_by(term, descends=descends) for term, descends in terms)


def _scope(relation: Relation, alias: str, dialect: Dialect) -> Scope:
    return scope_of(alias, [(c.name, c.type, c.native) for c in relation.columns], dialect)


class _Select:
    """One SELECT, or one with common table expressions. A relation is taken out when it is read."""

    def __init__(self, dialect: Dialect, relations: dict[str, Relation]) -> None:
        self._dialect = dialect
        self._relations = relations

    def query(self, tree: exp.Expr) -> Selected:
        if isinstance(tree, exp.SetOperation):
            raise Refused("`append` is not known to mean the same")
        if not isinstance(tree, exp.Select):
            raise Refused("it is no SELECT")
        unknown = sorted(says(tree) - _CLAUSES)
        if unknown:
            raise Refused(f"`{unknown[0].strip('_')}` is not known to mean the same")
        with_ = tree.args.get("with_")
        if with_ is not None and with_.args.get("recursive"):
            raise Refused("`loop` is not known to mean the same")
        for expression in with_.expressions if with_ is not None else ():
            self._relations[expression.alias] = self.query(expression.this).relation(self._dialect)
        return self._select(tree)

    def _select(self, tree: exp.Select) -> Selected:
        scope, source, ordered = self._from(tree)
        plain = Expressions(self._dialect, scope)
        where = tree.args.get("where")
        conjuncts = tuple(plain.conjuncts(where.this)) if where is not None else ()
        keys, grouped_by = self._keys(tree, plain)
        own = plain if keys is None else Expressions(self._dialect, scope, keys)
        items = [item for node in tree.expressions for item in self._items(node, own, scope)]
        names = [name for name, _ in items]
        folded = {name.lower() if self._dialect.folds_case else name for name in names}
        if len(folded) < len(names):
            raise Refused("several of its columns have one name")
        distinct = tree.args.get("distinct")
        if distinct is not None:
            if says(distinct):
                raise Refused("distinct rows by some columns")
            items = [(name, self._dialect.grouped(self._dialect.known(term))) for name, term in items]
        results = [(name, self._dialect.result(term)) for name, term in items]
        having = tree.args.get("having")
        order = self._order(tree, dict(results if distinct is not None else items), own)
        limit, offset = _count(tree.args.get("limit")), _count(tree.args.get("offset"))
        kept = ordered and keys is None and distinct is None
        if kept and not order and not self._dialect.keeps_order:
            raise Refused(f"the order of its statement's rows could be lost in {self._dialect.said}")
        return Selected(
            tuple(results),
            source,
            conjuncts,
            grouped_by,
            own.condition(having.this) if having is not None else None,
            order,
            limit,
            offset or 0,
            distinct is not None,
            bool(order) or kept,
        )

    def _from(self, tree: exp.Select) -> tuple[Scope, str, bool]:
        first = tree.args.get("from_")
        if first is None:
            raise Refused("it reads no table")
        alias, relation = self._read(first.this)
        scope: dict[str, Mapping[str, Term]] = dict(_scope(relation, alias, self._dialect))
        source = f"{relation.text} AS {self._dialect.quoted(alias)}"
        ordered = relation.ordered
        for join in tree.args.get("joins") or ():
            ordered = False
            kind = _KINDS.get((join.side, join.kind))
            on = join.args.get("on")
            if kind is None or on is None or not says(join) <= {"this", "side", "kind", "on"}:
                raise Refused("only inner and left joins by equal columns are known to mean the same")
            alias, relation = self._read(join.this)
            relation = self._dialect.optional(relation) if kind == "LEFT" else relation
            if alias in scope:
                raise Refused("a table is joined with itself")
            right = _scope(relation, alias, self._dialect)
            condition = self._join_condition(on, scope, right)
            word = self._dialect.joined(kind)
            source += f" {word} {relation.text} AS {self._dialect.quoted(alias)} ON {condition}"
            scope |= right
        return scope, source, ordered

    def _read(self, node: exp.Expr) -> tuple[str, Relation]:
        match node:
            case exp.Table(this=exp.Identifier(this=str(name))) if says(node) <= {"this", "alias"}:
                relation = self._relations.pop(name, None)
                if relation is None:
                    raise Refused(f"`{name}` is read in several places")
                return node.alias or name, relation
            case exp.Subquery(this=inner) if node.alias and says(node) <= {"this", "alias"}:
                return node.alias, self.query(inner).relation(self._dialect)
            case _:
                raise Refused("it reads something that is no table")

    def _join_condition(self, on: exp.Expr, left: Scope, right: Scope) -> str:
        written: list[str] = []
        for part in parts_of(on):
            if not isinstance(part, exp.EQ):
                raise Refused("only joins by equal columns are known to mean the same")
            both = Expressions(self._dialect, {**left, **right})
            sides = [both.term(node) for node in (part.this, part.expression)]
            known = [_sides_of(term, left, right) for term in sides]
            if sorted(known) != [0, 1]:
                raise Refused("only joins by equal columns are known to mean the same")
            if not self._dialect.may_join(*(self._dialect.known(term) for term in sides)):
                raise Refused(f"the join's columns are equal in another way in {self._dialect.said}")
            written.append(both.condition(part))
        return " AND ".join(written)

    def _keys(
        self, tree: exp.Select, plain: Expressions
    ) -> tuple[Mapping[str, Term] | None, tuple[str, ...]]:
        """What it groups by, by its texts without a group; None when it does not."""
        group = tree.args.get("group")
        if group is None:
            return ({}, ()) if any(node.find(exp.AggFunc) for node in tree.expressions) else (None, ())
        if says(group) != {"expressions"}:
            raise Refused("several ways to group are not known to mean the same")
        keys: dict[str, Term] = {}
        for node in group.expressions:
            term = plain.term(node)
            if term.is_literal or term.type is None:
                raise Refused("it groups by the place of a column")
            keys[term.text] = self._dialect.grouped(self._dialect.known(term))
        return keys, tuple(dict.fromkeys(key.text for key in keys.values()))

    def _items(self, node: exp.Expr, own: Expressions, scope: Scope) -> list[tuple[str, Term]]:
        match node:
            case exp.Star() if not says(node):
                return [item for columns in scope.values() for item in columns.items()]
            case exp.Column(this=exp.Star() as star) if node.table in scope and not says(star):
                return list(scope[node.table].items())
            case exp.Alias(this=inner):
                return [(node.alias, self._given(own.term(inner)))]
            case exp.Column():
                return [(node.name, own.term(node))]
            case _:
                raise Refused("a column has no name")

    def _given(self, term: Term) -> Term:
        if term.type is None:
            raise Refused("a column is always null")
        return term

    def _order(self, tree: exp.Select, items: Mapping[str, Term], own: Expressions) -> tuple[str, ...]:
        order = tree.args.get("order")
        if order is None:
            return ()
        written: list[str] = []
        for key in order.expressions:
            node = key.this
            if isinstance(node, exp.Literal) or not says(key) <= {"this", "desc", "nulls_first"}:
                raise Refused("it is sorted by the place of a column, or in another way")
            named = isinstance(node, exp.Column) and not node.table and node.name in items
            term = self._dialect.known(items[node.name] if named else own.term(node))
            descends = bool(key.args.get("desc"))
            if bool(key.args.get("nulls_first")) != descends:
                raise Refused("nulls are placed in another way")
            written.append(self._dialect.sorted_by(term, descends=descends))
        return tuple(written)


def _sides_of(term: Term, left: Scope, right: Scope) -> int:
    """0 for a column of what stands left, 1 for one of what stands right, 2 for anything else."""
    for side, scope in enumerate((left, right)):
        if any(term == known for columns in scope.values() for known in columns.values()):
            return side
    return 2


def _count(node: exp.Expr | None) -> int | None:
    if node is None:
        return None
    inner = node.expression
    if (
        not says(node) <= {"expression"}
        or not isinstance(inner, exp.Literal)
        or inner.is_string
        or not str(inner.this).isdigit()
    ):
        raise Refused("a number of rows is computed")
    return int(str(inner.this))

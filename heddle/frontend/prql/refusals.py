"""What a query may not be or do, in the user's words: each function gives diagnostics."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from heddle.diagnostics import Diagnostic, Span, did_you_mean
from heddle.frontend.prql import tree
from heddle.frontend.prql.edited import EditedText, unspelled
from heddle.frontend.prql.names import READERS
from heddle.frontend.prql.native import Doc, span_of
from heddle.frontend.prql.request import QueryRequest
from heddle.frontend.prql.words import NESTING_MAX, TERMS_MAX, USAGE, Word, over_limit

_OVER_VALUES: Final = ("select", "derive", "filter", "sort", "aggregate")
"""Transforms of which all arguments are values."""

_LOOK_ALIKES: Final = {
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{DOUBLE LOW-9 QUOTATION MARK}": '"',
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{MINUS SIGN}": "-",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{NOT EQUAL TO}": "!=",
    "\N{MULTIPLICATION SIGN}": "*",
    "\N{DIVISION SIGN}": "/",
}
"""Characters that look like PRQL's own."""


def error(request: QueryRequest, code: str, span: Span, message: str, help: str | None = None) -> Diagnostic:
    return Diagnostic(code, "error", message, request.source, span, help)


def node_span(request: QueryRequest, text: EditedText, node: Doc) -> Span:
    span = span_of(node)
    return text.span(span[1], span[2]) if span else request.query.body


def of_words(request: QueryRequest, words: list[Word]) -> tuple[Diagnostic, ...]:
    """What can be seen without parsing: an empty text, raw SQL, odd characters, too much of anything."""
    base = request.query.body.start
    meaningful = [w for w in words if w.kind != "line"]
    if not meaningful:
        message = "the query is empty"
        help = "write what it does, such as `(from input | filter amount > 0)`"
        return (error(request, "HD0622", request.query.span, message, help),)
    found: list[Diagnostic] = []
    for word in meaningful:
        span = Span(base + word.start, base + word.end)
        if word.kind == "sstring":
            found.append(raw_sql(request, span))
        elif word.kind == "odd":
            found.append(_odd(request, span, word.text))
        elif word.kind == "name" and word.text.startswith("$"):
            message = f"`{word.text}` is a parameter of SQL, and a query in a program has none"
            help = "compare with a column, or write the value"
            found.append(error(request, "HD0613", span, message, help))
    limit = over_limit(words)
    if limit is not None and not found:
        span = Span(base + limit.word.start, base + limit.word.end)
        found.append(_beyond(request, span, limit.what))
    return tuple(found)


def raw_sql(request: QueryRequest, span: Span) -> Diagnostic:
    message = 'raw SQL (`s"…"`) is not allowed in a query'
    help = "use PRQL's functions; for a database's own SQL, make it a step, such as `pg.query`"
    return error(request, "HD0609", span, message, help)


def _odd(request: QueryRequest, span: Span, text: str) -> Diagnostic:
    instead = _LOOK_ALIKES.get(text)
    if text == ";":
        help: str | None = "transforms are separated by `|` or a line break"
    elif instead is not None:
        help = f"write `{instead}`"
    else:
        help = "put it into a string, or take it out"
    shown = f"`{text}`" if text.strip() else "this kind of space"
    return error(request, "HD0624", span, f"{shown} has no meaning in a query", help)


def _beyond(request: QueryRequest, span: Span, what: str) -> Diagnostic:
    if what == "nesting":
        message = f"the query nests more than {NESTING_MAX} brackets in each other"
    else:
        message = f"one expression has more than {TERMS_MAX} operators"
    return error(request, "HD0614", span, message, _IN_STEPS)


_IN_STEPS: Final = "compute it in steps, with a `derive` for each part, or test with `x | in [a, b, c]`"


def too_deep(request: QueryRequest) -> tuple[Diagnostic, ...]:
    message = "an expression of this query is too deep: too many operators or calls are inside each other"
    return (error(request, "HD0614", request.query.body, message, _IN_STEPS),)


def of_tree(request: QueryRequest, text: EditedText, statements: list[Doc]) -> tuple[Diagnostic, ...]:
    """What the text's statements may not be: settings, modules, files, literal rows."""
    found = [d for s in statements if (d := _statement(request, text, s)) is not None]
    main = tree.main_of(statements)
    query = main["value"] if main is not None else None
    for node in tree.nodes(statements):
        for stage in tree.stages(node) if node is query or "Pipeline" in node else ():
            if (name := tree.lacking(stage)) is not None:
                found.append(_lacking(request, text, stage, name))
        diagnostic = _node(request, text, node)
        if diagnostic is not None:
            found.append(diagnostic)
    if not found and main is None:
        message = "the query declares things and then ends without using them"
        help = "end it with a pipeline, such as `from input | …`"
        found.append(error(request, "HD0622", request.query.body, message, help))
    return tuple(found)


def _statement(request: QueryRequest, text: EditedText, statement: Doc) -> Diagnostic | None:
    span = node_span(request, text, statement)
    if "QueryDef" in statement:
        message = "a query has no `prql` header: where it runs is the engine's choice"
        return error(request, "HD0610", span, message, "take the line out")
    if "ModuleDef" in statement or "ImportDef" in statement:
        message = "a query has no modules of its own"
        return error(request, "HD0612", span, message, "declare functions with `let` right in the query")
    if statement.get("VarDef", {}).get("kind") == "Into":
        name = statement["VarDef"]["name"]
        message = f"`into {name}` names nothing outside of the query"
        return error(request, "HD0612", span, message, f"write `> {name}` behind the query's `)`")
    return None


def _lacking(request: QueryRequest, text: EditedText, node: Doc, name: str) -> Diagnostic:
    if name == "take" and "Binary" in node:
        message, help = f"`{name}` needs a whole number from 1 on", "write `take 10` or `take 11..20`"
    else:
        message, help = f"`{name}` lacks an argument", USAGE[name]
    return error(request, "HD0608", node_span(request, text, node), message, help)


def _bad_date(request: QueryRequest, text: EditedText, node: Doc) -> Diagnostic | None:
    """A date or timestamp that no calendar has."""
    literal = node.get("Literal")
    if not isinstance(literal, dict) or not literal.keys() & {"Date", "Timestamp"}:
        return None
    ((_, value),) = literal.items()
    try:
        datetime.fromisoformat(value)
    except ValueError:
        message, help = f"`@{value}` is not a date", "write `@2026-01-31` or `@2026-01-31T10:00:00`"
        return error(request, "HD0604", node_span(request, text, node), message, help)
    return None


def _node(request: QueryRequest, text: EditedText, node: Doc) -> Diagnostic | None:
    if "SString" in node:
        return raw_sql(request, node_span(request, text, node))
    if "Literal" in node:
        return _bad_date(request, text, node)
    if "FuncCall" not in node:
        return None
    name, args = tree.callee(node), node["FuncCall"]["args"]
    if name in tree.FILE_READERS:
        kind = name.removeprefix("read_")
        message = f"`{name}` is not allowed in a query: a query reaches only its inputs"
        help = f'read the file at the head of a statement: `io.{kind} {{ path: "…" }}`'
        return error(request, "HD0611", node_span(request, text, node), message, help)
    if name in READERS and args and "Literal" in args[0]:
        message = f"`{name}` needs the name of a relation"
        return error(request, "HD0608", node_span(request, text, node), message, USAGE.get(name))
    if name in _OVER_VALUES and (inner := _relation_among(args[:1])) is not None:
        message = "rows of another relation cannot stand where a value stands"
        help = "make it a query of its own, or `join` its result"
        return error(request, "HD0621", node_span(request, text, inner), message, help)
    literal = name == "from_text" or (name == "from" and args and "Array" in args[0])
    if literal:
        message = "rows cannot be written inside a query"
        help = "write them as a table at the head of the statement: `[ { a: 1 } ] | (from input | …)`"
        return error(request, "HD0618", node_span(request, text, node), message, help)
    return None


def _relation_among(arguments: list[Doc]) -> Doc | None:
    return next((n for n in tree.nodes(arguments) if "FuncCall" in n and tree.callee(n) == "from"), None)


def unknown_relation(request: QueryRequest, text: EditedText, node: Doc, name: str) -> Diagnostic:
    span = node_span(request, text, node)
    if name == "input":
        message = "nothing is piped into this query, so it has no `input`"
        help = "start from a relation: `from orders`"
        return error(request, "HD0619", span, message, help)
    known = [*request.relations, *(["input"] if request.input else [])]
    near = did_you_mean(name, known)
    help = f"did you mean `{near}`?" if near else "name an assigned result, a step, or `Workflow.output`"
    return error(request, "HD0602", span, f"there is no relation `{name}`", help)


def unnatural_joins(request: QueryRequest, text: EditedText, joins: list[Doc]) -> tuple[Diagnostic, ...]:
    found: list[Diagnostic] = []
    for join in joins:
        name = unspelled(join["FuncCall"]["args"][0].get("alias") or "the other side")
        message = (
            f"this join has no condition, and no column is known to be on both sides to join `{name}` on"
        )
        help = f"say what must be equal: `join {name} (==id)` or `join {name} (input.id == {name}.user_id)`"
        found.append(error(request, "HD0615", node_span(request, text, join), message, help))
    return tuple(found)


def lookup_joins(
    request: QueryRequest, text: EditedText, problems: list[tuple[Doc, str, str]]
) -> tuple[Diagnostic, ...]:
    """`problems` are (join, message, help)."""
    return tuple(
        error(request, "HD0625", node_span(request, text, join), message, help)
        for join, message, help in problems
    )


def taken_before_lookup(request: QueryRequest) -> tuple[Diagnostic, ...]:
    message = (
        "rows are taken before the join of a lookup, of a relation whose columns are not all known, so the "
        "lookup might be asked about other rows"
    )
    help = "select the columns first, or name the rows that are taken (`> name`) and join in a second query"
    return (error(request, "HD0625", request.query.body, message, help),)


def unknown_appends(request: QueryRequest, text: EditedText, appends: list[Doc]) -> tuple[Diagnostic, ...]:
    message = "`append by:name` needs to know the columns of both sides, and one of them is open"
    help = "select the columns on both sides first"
    return tuple(error(request, "HD0620", node_span(request, text, a), message, help) for a in appends)

"""Parsing of statements: a head, its stages, and the name of the result with its properties.

A statement with a mistake in it is left out of the tree and listed as broken, with the name that it
would have given to its result.
"""

from __future__ import annotations

import re

from heddle.diagnostics import Fix, Label, Span
from heddle.frontend import ast
from heddle.frontend.cursor import Cursor, SyntaxFailure
from heddle.frontend.parser_calls import report_late_dict
from heddle.frontend.parser_stages import end_statement, parse_piped_stage, parse_stage, refuse_rest
from heddle.frontend.parser_values import parse_dict
from heddle.frontend.tokens import Token

_RESULT_NAME = r">[ \t]*+([A-Za-z_][\w-]*+)\Z"


def parse_statements(c: Cursor, opener: Token, what: str, docs: dict[int, str]) -> tuple[ast.Statement, ...]:
    """The statements of a block up to its `}`, which is taken."""
    statements: list[ast.Statement] = []
    while c.token.kind != "}":
        if c.token.kind == "end" or c.at_item():
            c.unclosed(opener, what)
            return tuple(statements)
        c.stop_when_full()
        start = c.pos
        statement = _parse_statement(c, docs.get(c.token.start))
        if statement is not None:
            statements.append(statement)
        else:
            end_statement(c, start)
    c.advance()
    return tuple(statements)


def _parse_statement(c: Cursor, doc: str | None) -> ast.Statement | None:
    start, errors = c.token.start, c.error_count
    complete, name, properties = True, None, None
    head: ast.Stage | None = None
    stages: list[ast.Stage] = []
    try:
        head = parse_stage(c, head=True)
    except SyntaxFailure:
        complete = False
        c.skip_to_stage()
    while c.token.kind == "|":
        try:
            stages.append(parse_piped_stage(c))
        except SyntaxFailure:
            complete = False
            c.skip_to_stage()
    if c.token.kind == ">":
        try:
            name = _parse_result_name(c)
            properties = _parse_properties(c, name)
        except SyntaxFailure:
            complete = False
            c.skip_to_stage()
        _refuse_after_name(c, name)
    if not c.token.after_break:
        refuse_rest(c)
    if head is None or not complete or c.error_count > errors:
        name = name or _name_in_query(c.tokens[c.pos - 1])
        c.broken.append(ast.Broken(name, Span(start, max(start, c.last_end))))
        return None
    span = Span(start, c.last_end) if stages or name else head.span
    return ast.Statement(head, tuple(stages), name, properties, doc, span)


def _parse_result_name(c: Cursor) -> ast.Ident:
    c.advance()
    return c.name("the name of the result", "> big_orders")


def _parse_properties(c: Cursor, name: ast.Ident) -> ast.DictValue | None:
    if c.token.kind != "{":
        return None
    if c.token.after_break:
        report_late_dict(c, f"the properties of `{name.text}`", name.text)
    return parse_dict(c, f"the properties of `{name.text}`")


def _name_in_query(token: Token) -> ast.Ident | None:
    """An unclosed query takes the rest of its line with it, and so the name of the result."""
    found = re.search(_RESULT_NAME, token.text) if token.kind == "broken query" else None
    if found is None:
        return None
    return ast.Ident(found[1], Span(token.start + found.start(1), token.start + found.end(1)))


def _refuse_after_name(c: Cursor, name: ast.Ident | None) -> None:
    """A statement ends with the name of its result."""
    token = c.token
    if token.kind in ("|", ">") and name is not None:
        place = Span(c.last_end, c.last_end)
        fix = None
        if token.kind == "|":
            fix = Fix("start a new statement", ((place, f"\n\n  {name.text}"),))
        c.report(
            "HD0123",
            f"the pipeline ends where its result is named `{name.text}`",
            token.span,
            f"start a new statement that reads it: `{name.text} | …`",
            fix,
            (Label(name.span, "named here"),),
        )
    elif token.kind in ("?", "!"):
        c.report(
            "HD0123",
            f"`{token.kind}` belongs to a stage and cannot follow the name of the result",
            token.span,
            "write it before the `>`",
        )
    else:
        return
    while c.token.kind in ("|", ">", "?", "!"):
        c.advance()
        c.skip_to_stage()

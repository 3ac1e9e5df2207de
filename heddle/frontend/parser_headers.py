"""Parsing of what only a workflow's header has: `(name: type = value, …)` and `on trigger, …`."""

from __future__ import annotations

from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.cursor import Cursor, SyntaxFailure, describe
from heddle.frontend.parser_calls import parse_call
from heddle.frontend.parser_values import parse_value


def parse_triggers(c: Cursor) -> tuple[ast.Call, ...]:
    c.advance()
    triggers = [_parse_trigger(c)]
    while c.token.kind == ",":
        c.advance()
        triggers.append(_parse_trigger(c))
    return tuple(triggers)


def _parse_trigger(c: Cursor) -> ast.Call:
    """A call whose `{` may be the workflow's own: it is the settings' when a key or `}` and more follow."""
    return _parse_bare_trigger(c) if _body_follows_callee(c) else parse_call(c)


def _body_follows_callee(c: Cursor) -> bool:
    """Whether the `{` behind `module.step` opens the workflow's body."""
    size = 3 if c.ahead().kind == "." else 1
    brace = c.ahead(size)
    if c.token.kind != "name" or brace.kind != "{":
        return False
    first, second = c.ahead(size + 1), c.ahead(size + 2)
    if first.kind == "}":
        return second.kind not in ("{", "?", "!", ",")
    return second.kind != ":"


def _parse_bare_trigger(c: Cursor) -> ast.Call:
    first = c.name("the name of a trigger", "cron.at", any_line=True)
    module, name = None, first
    if c.token.kind == ".":
        c.advance()
        module, name = first, c.name("the name of a trigger", "cron.at", any_line=True)
    return ast.Call(module, name, None, None, Span(first.span.start, c.last_end))


def parse_params(c: Cursor) -> tuple[ast.Param, ...]:
    opener = c.advance()
    params: list[ast.Param] = []
    while c.token.kind != ")":
        if c.token.kind in ("end", "|", "}") or c.at_item():
            c.unclosed(opener, "these parameters")
            raise SyntaxFailure
        params.append(_parse_param(c))
        if c.token.kind == ",":
            c.advance()
        elif c.token.kind in ("{", "?", "!"):
            c.unclosed(opener, "these parameters")
            raise SyntaxFailure
        elif c.token.kind != ")" and not c.token.after_break:
            c.fail(
                "HD0119",
                f"a comma is missing between two parameters, before {describe(c.token)}",
                c.token.span,
                "put a `,` before it",
            )
    c.advance()
    return tuple(params)


def _parse_param(c: Cursor) -> ast.Param:
    example = "workflow Orders(since: date, limit: int = 10)"
    name = c.name("the name of a parameter", example, any_line=True)
    if c.token.kind != ":":
        c.fail("HD0112", f"the parameter `{name.text}` has no type", name.span, f"write it like `{example}`")
    c.advance()
    type_text, type_span = _parse_type(c, name, example)
    default = None
    if c.token.kind == "=":
        c.advance()
        default = parse_value(c)
    return ast.Param(name, type_text, type_span, default, Span(name.span.start, c.last_end))


def _parse_type(c: Cursor, name: ast.Ident, example: str) -> tuple[str, Span]:
    """The tokens of a type up to `,`, `=`, `)` or a line break outside its own brackets, evenly spaced."""
    start, first, depth = c.token.start, c.pos, 0
    text = ""
    while c.token.kind not in ("end", "|"):
        kind = c.token.kind
        done = c.pos > first and (c.token.after_break or kind in ("name", "{", "!"))
        if depth == 0 and (done or kind in (",", "=", ")", "}")):
            break
        if kind in ("(", "{", "<"):
            depth += 1
        elif kind in (")", "}", ">"):
            depth -= 1
        text += c.advance().text + (" " if kind in (",", ":") else "")
    if c.pos == first:
        c.fail("HD0112", f"the parameter `{name.text}` has no type", name.span, f"write it like `{example}`")
    return text, Span(start, c.last_end)

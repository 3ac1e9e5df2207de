"""Parsing of calls: `[<ref>] module.step [<ref>] [{settings}]`."""

from __future__ import annotations

from heddle.diagnostics import Fix, Span
from heddle.frontend import ast
from heddle.frontend.cursor import Cursor, SyntaxFailure
from heddle.frontend.parser_values import parse_dict


def parse_call(c: Cursor) -> ast.Call:
    if c.token.kind == "name" and c.ahead().kind not in (".", "<", "{"):
        only = c.name("the name of a step", "kafka.produce", any_line=True)
        return ast.Call(None, only, None, None, only.span)
    start = c.token.start
    ref = parse_ref(c) if c.token.kind == "<" else None
    if ref is not None:
        _check_after_ref(c)
    module, name = _parse_callee(c)
    callee = f"{module.text}.{name.text}" if module else name.text
    while c.token.kind == "<" and not c.token.after_break:
        trailing = c.token
        another = parse_ref(c)
        if ref is not None:
            both = Span(trailing.start, c.last_end)
            help = "keep one `<…>`, with commas between its parts"
            c.report("HD0121", f"`{callee}` is given resources twice", both, help)
        ref = ref or another
    config = None
    if c.token.kind == "{":
        if c.token.after_break:
            _report_late_settings(c, callee)
        config = parse_dict(c, f"the settings of `{callee}`")
    return ast.Call(module, name, ref, config, Span(start, c.last_end))


def _parse_callee(c: Cursor) -> tuple[ast.Ident | None, ast.Ident]:
    first = c.name("the name of a step", "kafka.produce", any_line=True)
    if c.token.kind != ".":
        return None, first
    dot = c.advance()
    if c.token.after_break or c.token.kind != "name":
        c.fail(
            "HD0112",
            f"the name of a step is missing behind `{first.text}.`",
            dot.span,
            f"write it like `{first.text}.print`",
        )
    return first, c.name("the name of a step", "kafka.produce")


def _report_late_settings(c: Cursor, callee: str) -> None:
    if c.tokens[c.pos - 1].kind != ">":
        report_late_dict(c, f"the settings of `{callee}`", callee)
        return
    end = c.last_end
    c.layout(
        "HD0202",
        "a line break stands behind `<…>`",
        Span(end - 1, end),
        "run `heddle fmt`, which joins the lines",
        _joined_lines(c),
    )


def report_late_dict(c: Cursor, what: str, owner: str) -> None:
    """Report that a `{`, at which the cursor stands, is not on the line of the name that it belongs to."""
    help = f"put the `{{` on the line of `{owner}`"
    c.report("HD0120", f"{what} start on a line of their own", c.token.span, help, _joined_lines(c))


def _joined_lines(c: Cursor) -> Fix | None:
    """None where a comment stands between the lines."""
    end, start = c.last_end, c.token.start
    between = c.source.text[end:start]
    return None if between.strip() else Fix("join the lines", ((Span(end, start), " "),))


def _check_after_ref(c: Cursor) -> None:
    token = c.token
    if not token.after_break:
        return
    end = c.last_end
    if token.kind != "name" or c.at_item():
        c.fail(
            "HD0115",
            "no step follows `<…>`",
            Span(end - 1, end),
            "write it like `<broker=events> kafka.produce`",
        )
    c.layout(
        "HD0202",
        "a line break stands behind `<…>`",
        Span(end - 1, end),
        "run `heddle fmt`, which joins the lines",
        _joined_lines(c),
    )


def parse_ref(c: Cursor) -> ast.Ref:
    opener = c.advance()
    bindings: list[ast.Binding] = []
    errors = c.error_count
    try:
        while c.token.kind != ">":
            bindings.append(_parse_binding(c))
            if c.token.kind == ",":
                c.advance()
            elif c.token.kind != ">":
                c.unclosed(opener, "these resources")
                raise SyntaxFailure
    except SyntaxFailure:
        while c.token.kind in ("name", "=", ",", ".", "string", "number") and not c.token.after_break:
            c.advance()
        if c.token.kind != ">" or c.token.after_break:
            raise
    c.advance()
    span = Span(opener.start, c.last_end)
    if not bindings and c.error_count == errors:
        help = "write it like `<connection=orders_db>`, or remove it"
        c.report("HD0112", "no resource stands in this `<…>`", span, help)
    return ast.Ref(tuple(bindings), span)


def _parse_binding(c: Cursor) -> ast.Binding:
    example = "<connection=orders_db>"
    slot = c.name("the name of a resource's slot", example, any_line=True)
    if c.token.kind != "=":
        help = f"write it like `<{slot.text}=orders_db>`"
        c.fail("HD0112", f"`=` and a resource are missing behind `{slot.text}`", slot.span, help)
    c.advance()
    return ast.Binding(slot, c.name("the name of a resource", example, any_line=True))

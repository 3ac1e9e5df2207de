"""The layout of values, tables, refs and queries: on one line when written so and short, else one
element a line. Every function writes at the writer's place; `indent` is that of the line it stands on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.format_writer import LINE_WIDTH, Writer
from heddle.frontend.query_text import quoted_spans
from heddle.frontend.strings import encode_string

_TAB_WIDTH = 2


def put_value(w: Writer, value: ast.Value, indent: int) -> None:
    match value:
        case ast.DictValue():
            put_dict(w, value, indent, spaced=False)
        case ast.ListValue():
            _put_elements(w, "[]", value.items, value.span, indent, _inline(w, value))
        case _:
            w.put(_scalar(value))


def put_dict(w: Writer, value: ast.DictValue, indent: int, *, spaced: bool) -> None:
    """`spaced`: `{ a: 1 }`, for settings and rows; a value's own dict is `{a: 1}`."""
    _put_elements(w, "{}", value.pairs, value.span, indent, _inline_dict(w, value, spaced=spaced))


def put_table(w: Writer, table: ast.TableLiteral, indent: int) -> None:
    inline = ", ".join(_inline_dict(w, row, spaced=True) for row in table.rows)
    _put_elements(w, "[]", table.rows, table.span, indent, f"[{inline}]")


def _put_elements(
    w: Writer,
    brackets: str,
    elements: Sequence[ast.Pair | ast.Value],
    span: Span,
    indent: int,
    inline: str,
) -> None:
    opener, closer = brackets[0], brackets[1]
    empty = not elements and not w.holds_comment(span)
    if empty or (w.one_line(span) and w.column + len(inline) <= LINE_WIDTH):
        w.put(inline)
        return
    inner = " " * (indent + 2)
    w.put(opener)
    w.open_block(span.start + 1)
    for element in elements:
        w.lead(element.span.start, inner)
        w.put(inner)
        _put_element(w, element, indent + 2, in_table=brackets == "[]")
        w.end_line(element.span.end)
    w.close_block(span.end - 1, inner)
    w.put(" " * indent + closer)


def _put_element(w: Writer, element: ast.Pair | ast.Value, indent: int, *, in_table: bool) -> None:
    match element:
        case ast.Pair(value=value):
            w.put(f"{_key(w, element)}: ")
            put_value(w, value, indent)
        case ast.DictValue() if in_table:
            put_dict(w, element, indent, spaced=True)
        case _:
            put_value(w, element, indent)


def _key(w: Writer, pair: ast.Pair) -> str:
    return w.text[pair.key.span.start : pair.key.span.end] if pair.quoted else pair.key.text


def _inline(w: Writer, value: ast.Value) -> str:
    match value:
        case ast.DictValue():
            return _inline_dict(w, value, spaced=False)
        case ast.ListValue(items=items):
            return "[" + ", ".join(_inline(w, item) for item in items) + "]"
        case _:
            return _scalar(value)


def _inline_dict(w: Writer, value: ast.DictValue, *, spaced: bool) -> str:
    if not value.pairs:
        return "{}"
    pairs = ", ".join(f"{_key(w, pair)}: {_inline(w, pair.value)}" for pair in value.pairs)
    return f"{{ {pairs} }}" if spaced else f"{{{pairs}}}"


def _scalar(
    value: ast.StringValue | ast.NumberValue | ast.BoolValue | ast.NullValue | ast.EnvValue | ast.SecretValue,
) -> str:
    match value:
        case ast.StringValue(text=text) | ast.NumberValue(text=text):
            return text
        case ast.BoolValue(value=truth):
            return "true" if truth else "false"
        case ast.NullValue():
            return "null"
        case ast.EnvValue(name=name):
            return f"env({encode_string(name)})"
        case ast.SecretValue(name=name):
            return f"secret({encode_string(name)})"
        case _:
            assert_never(value)


def put_ref(w: Writer, ref: ast.Ref) -> None:
    w.put("<" + ", ".join(f"{b.slot.text}={b.resource.text}" for b in ref.bindings) + ">")


# --- queries --------------------------------------------------------------------------------


def put_query(w: Writer, query: ast.Query, indent: int) -> None:
    """A query keeps its own lines; they are indented below its parenthesis as they were to each other."""
    lines = _split_lines(query.text)
    if len(lines) == 1:
        w.put(f"({query.text.strip()})")
        return
    inner = " " * (indent + 2)
    w.put_lines(["(", *[inner + line if line else "" for line in _dedent(lines)]])
    w.put(" " * indent + ")")


def _split_lines(text: str) -> list[str]:
    """The lines of a query; a line break inside a string does not end one."""
    if "\n" not in text:
        return [text]
    lines: list[str] = []
    start = at = 0
    for quote_start, quote_end in [*quoted_spans(text), (len(text), len(text))]:
        while (found := text.find("\n", at, quote_start)) >= 0:
            lines.append(text[start:found])
            start = at = found + 1
        at = quote_end
    return [*lines, text[start:]]


def _dedent(lines: list[str]) -> list[str]:
    """Lines without the indentation that they share, with at most one blank line in sequence."""
    first, rest = lines[0].strip(), [line.rstrip() for line in lines[1:]]
    margins = [_margin(line) for line in rest if line]
    shared = min(margins, default=0)
    result = [first] if first else []
    for line in rest:
        if line:
            result.append(" " * (_margin(line) - shared) + line.lstrip())
        elif result and result[-1]:
            result.append("")
    while result and not result[-1]:
        result.pop()
    return result


def _margin(line: str) -> int:
    space = line[: len(line) - len(line.lstrip())]
    return len(space.replace("\t", " " * _TAB_WIDTH))

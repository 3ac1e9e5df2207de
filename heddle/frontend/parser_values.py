"""Parsing of values: strings, numbers, dicts, lists, `env("X")`, and the rows of a table literal.

Every function takes the cursor at the value's first token and leaves it behind the last one. A broken
element is reported and left out; the rest of its list is read on.
"""

from __future__ import annotations

from typing import NoReturn

from heddle.diagnostics import Fix, Span, did_you_mean
from heddle.frontend import ast
from heddle.frontend.cursor import RESERVED_WORDS, Cursor, SyntaxFailure, describe
from heddle.frontend.strings import BadSpelling, decode_number, decode_string
from heddle.frontend.tokens import Token

_VALUE_HELP = (
    'a value is `"text"`, a number, `true`, `false`, `null`, `{…}`, `[…]`, `env("X")` or `secret("X")`'
)
_WORDS = {"True": "true", "False": "false", "None": "null", "nil": "null", "NULL": "null", "TRUE": "true"}


def parse_string(c: Cursor) -> ast.StringValue:
    token = c.advance()
    if token.kind == "broken string":
        return ast.StringValue(token.text.strip("\"'"), token.text, token.span)
    value, bad = decode_string(token.text)
    for spelling in bad:
        _note_spelling(c, "HD0105", spelling, token)
    return ast.StringValue(value, token.text, Span(token.start, token.end))


def _note_spelling(c: Cursor, code: str, bad: BadSpelling, token: Token) -> None:
    span = Span(token.start + bad.start, token.start + bad.end)
    fix = None
    if bad.written is not None:
        fix = Fix(f"write `{bad.written}`", ((span, bad.written),))
    c.note(code, bad.message, span, bad.help, fix)


def parse_number(c: Cursor) -> ast.NumberValue:
    token = c.advance()
    value = decode_number(token.text)
    if isinstance(value, BadSpelling):
        _note_spelling(c, "HD0106", value, token)
        value = 0
    return ast.NumberValue(value, token.text, Span(token.start, token.end))


def parse_value(c: Cursor) -> ast.Value:
    token = c.token
    match token.kind:
        case "string" | "broken string":
            return parse_string(c)
        case "number":
            return parse_number(c)
        case "name":
            return _parse_word(c)
        case "{":
            return parse_dict(c, "this value")
        case "[":
            return _parse_list(c)
        case "query" | "broken query":
            c.advance()
            c.fail("HD0118", "a query cannot be a value", token.span, _VALUE_HELP)
        case _:
            found = "the value is missing" if token.kind in ",}]" else f"{describe(token)} is not a value"
            c.fail("HD0118", found, token.span, _VALUE_HELP)


def _parse_word(c: Cursor) -> ast.Value:
    token = c.token
    span = Span(token.start, token.end)
    match token.text:
        case "true" | "false":
            c.advance()
            return ast.BoolValue(token.text == "true", span)
        case "null":
            c.advance()
            return ast.NullValue(span)
        case "env" | "secret" if c.ahead().kind == "(":
            return _parse_outside(c)
    _fail_word(c)


def _fail_word(c: Cursor) -> NoReturn:
    span, word = c.words()
    if word in ("env", "secret"):
        c.fail("HD0118", f"`{word}` is not a value by itself", span, f'write it like `{word}("NAME")`')
    meant = _WORDS.get(word) or did_you_mean(word, ("true", "false", "null"))
    written = meant or f'"{word}"'
    help = f"did you mean `{meant}`?" if meant else f"text stands in quotes: `{written}`"
    fix = Fix(f"write `{written}`", ((span, written),))
    c.report("HD0118", f"`{word}` is not a value", span, help, fix)
    c.skip_to(span.end)
    raise SyntaxFailure


def _parse_outside(c: Cursor) -> ast.EnvValue | ast.SecretValue:
    """`env("NAME")` or `secret("NAME")`."""
    word = c.advance()
    c.advance()
    example = f'{word.text}("NAME")'
    if c.token.kind not in ("string", "broken string"):
        token = c.token
        fix = None
        if token.kind == "name":
            fix = Fix("put it in quotes", ((token.span, f'"{token.text}"'),))
        what = "a variable of the environment" if word.text == "env" else "a secret"
        c.report(
            "HD0118",
            f"`{word.text}` takes the name of {what} in quotes",
            token.span,
            f"write it like `{example}`",
            fix,
        )
        while c.token.kind not in (")", "}", "]", ",") and not c.token.after_break:
            c.advance()
        if c.token.kind == ")":
            c.advance()
        raise SyntaxFailure
    name = parse_string(c)
    if c.token.kind != ")":
        c.fail(
            "HD0109",
            f"the `(` of `{word.text}` is never closed",
            Span(word.end, word.end + 1),
            f"write it like `{example}`",
        )
    end = c.advance().end
    span = Span(word.start, end)
    return ast.EnvValue(name.value, span) if word.text == "env" else ast.SecretValue(name.value, span)


# --- brackets -------------------------------------------------------------------------------


def parse_dict(c: Cursor, what: str) -> ast.DictValue:
    c.enter()
    opener = c.advance()
    pairs: list[ast.Pair] = []
    while _goes_on(c, opener, "}", what):
        start = c.pos
        try:
            pairs.append(_parse_pair(c))
        except SyntaxFailure:
            c.skip_to_separator(start)
        _parse_separator(c, "pairs")
    c.leave()
    return ast.DictValue(tuple(pairs), Span(opener.start, c.last_end))


def _parse_list(c: Cursor) -> ast.ListValue:
    c.enter()
    opener = c.advance()
    items: list[ast.Value] = []
    while _goes_on(c, opener, "]", "this list"):
        start = c.pos
        try:
            items.append(parse_value(c))
        except SyntaxFailure:
            c.skip_to_separator(start)
        _parse_separator(c, "values")
    c.leave()
    return ast.ListValue(tuple(items), Span(opener.start, c.last_end))


def parse_table(c: Cursor) -> ast.TableLiteral:
    c.enter()
    opener = c.advance()
    rows: list[ast.DictValue] = []
    while _goes_on(c, opener, "]", "this table"):
        start = c.pos
        try:
            rows.append(_parse_row(c))
        except SyntaxFailure:
            c.skip_to_separator(start)
        _parse_separator(c, "rows")
    c.leave()
    return ast.TableLiteral(tuple(rows), Span(opener.start, c.last_end))


def _goes_on(c: Cursor, opener: Token, closer: str, what: str) -> bool:
    """Whether one more element follows; takes the closer when not."""
    c.stop_when_full()
    token = c.token
    if token.kind == closer:
        c.advance()
        return False
    if c.at_break():
        c.leave()
        c.unclosed(opener, what)
        raise SyntaxFailure
    if token.kind in ("}", "]", ")"):
        c.report(
            "HD0110",
            f"`{token.text}` does not close the `{opener.text}` of {what}",
            token.span,
            f"write `{closer}` here",
            Fix(f"write `{closer}`", ((token.span, closer),)),
        )
        c.advance()
        return False
    return True


def _parse_separator(c: Cursor, what: str) -> None:
    token = c.token
    if token.kind == ",":
        c.advance()
        while c.token.kind == ",":
            fix = Fix("remove it", ((c.token.span, ""),))
            c.report("HD0119", "one comma is enough here", c.token.span, "remove it", fix)
            c.advance()
    elif token.kind not in ("}", "]", ")") and not token.after_break and not c.at_break():
        _report_separator(c, token, what)


def _report_separator(c: Cursor, token: Token, what: str) -> None:
    if token.kind in ("name", "string", "number", "{", "["):
        end = c.last_end
        fix = Fix("put a `,` between them", ((Span(end, end), ","),))
        message = f"a comma or a line break is missing between two {what}, before {describe(token)}"
        c.report("HD0119", message, token.span, "put a `,` before it", fix)
        return
    help = f"{what} end with a comma or a line break"
    c.report("HD0119", f"{describe(token)} cannot follow here", token.span, help)
    c.skip_to_separator(c.pos)
    if c.token.kind == ",":
        c.advance()


def _parse_row(c: Cursor) -> ast.DictValue:
    token = c.token
    if token.kind != "{":
        c.fail(
            "HD0122",
            f"a row of a table is expected, not {describe(token)}",
            token.span,
            'write a row like `{ id: 1, name: "ada" }`',
        )
    row = parse_dict(c, "this row")
    for pair in row.pairs:
        if isinstance(pair.value, ast.DictValue | ast.ListValue | ast.EnvValue | ast.SecretValue):
            c.note(
                "HD0122",
                f"the cell `{pair.key.text}` of a table literal is not a scalar",
                pair.value.span,
                "cells are strings, numbers, `true`, `false` or `null`; read nested data from a file",
            )
    return row


# --- pairs ----------------------------------------------------------------------------------


def _parse_pair(c: Cursor) -> ast.Pair:
    token = c.token
    quoted = token.kind in ("string", "broken string")
    if quoted:
        written = parse_string(c)
        key = ast.Ident(written.value, written.span)
    elif token.kind == "name":
        c.advance()
        key = ast.Ident(token.text, Span(token.start, token.end))
    else:
        c.fail(
            "HD0117",
            f"a key is expected here, not {describe(token)}",
            token.span,
            'write a pair like `host: "db"`',
        )
    _parse_colon(c, key)
    if _value_is_missing(c):
        c.fail("HD0117", f"the key `{key.text}` has no value", key.span, f'write it like `{key.text}: "…"`')
    value = parse_value(c)
    return ast.Pair(key, value, quoted, Span(key.span.start, value.span.end))


def _value_is_missing(c: Cursor) -> bool:
    """The key's line ends, or the dict does; a line that starts with a bare word is no value."""
    token = c.token
    if not token.after_break:
        return token.kind in (",", "}")
    word = token.kind == "name" and token.text not in (*RESERVED_WORDS, "env", "secret")
    return word or token.kind == "}" or c.ahead().kind == ":"


def _parse_colon(c: Cursor, key: ast.Ident) -> None:
    token = c.token
    if token.kind == ":":
        c.advance()
        return
    if token.kind == "=":
        fix = Fix("write `:`", ((token.span, ":"),))
        c.report(
            "HD0117", f"the key `{key.text}` takes its value with `:`, not `=`", token.span, "write `:`", fix
        )
        c.advance()
        return
    if token.after_break or token.kind in (",", "}", "]", "end"):
        c.fail("HD0117", f"the key `{key.text}` has no value", key.span, f'write it like `{key.text}: "…"`')
    fix = Fix("put a `:` behind the key", ((Span(key.span.end, key.span.end), ":"),))
    c.report(
        "HD0117",
        f"a `:` is missing behind the key `{key.text}`",
        token.span,
        f'write it like `{key.text}: "…"`',
        fix,
    )

"""Parsing of items: imports, resources, steps, handlers, workflows, policies and tests.

Every function takes the cursor at the item's keyword. A mistake in the header of a block does not keep
the block from being read; an item that cannot be read is listed as broken with its name.
"""

from __future__ import annotations

import re
from typing import NoReturn

from heddle.diagnostics import Fix, Span
from heddle.frontend import ast
from heddle.frontend.cursor import ITEM_KEYWORDS, Cursor, SyntaxFailure, describe
from heddle.frontend.parser_calls import parse_call
from heddle.frontend.parser_stages import parse_suffixes
from heddle.frontend.parser_statements import parse_statements
from heddle.frontend.parser_values import parse_dict, parse_string
from heddle.frontend.tokens import Token

Docs = dict[int, str]
"""The documentation of what starts at an offset."""

_NOT_IN_NAMES = r"[^A-Za-z0-9_]+|^[0-9]+"
_STRINGS = ("string", "broken string")


def parse_item(c: Cursor, keyword: str, docs: Docs) -> ast.Item | None:
    doc, start, errors = docs.get(c.token.start), c.token.start, c.error_count
    declared: list[ast.Ident] = []
    item: ast.Item | None = None
    try:
        item = _parse_kind(c, keyword, doc, docs, declared)
    except SyntaxFailure:
        _skip_item(c)
    whole = isinstance(item, ast.HandlerItem | ast.WorkflowItem | ast.TestItem)
    nameless = isinstance(item, ast.HandlerItem | ast.WorkflowItem) and not item.name.text
    if item is None or nameless or (c.error_count > errors and not whole):
        span = Span(start, max(start, c.last_end))
        c.broken.append(ast.Broken(declared[0] if declared else None, span))
        return None
    return item


def _parse_kind(c: Cursor, keyword: str, doc: str | None, docs: Docs, declared: list[ast.Ident]) -> ast.Item:
    match keyword:
        case "import":
            return _parse_import(c, declared)
        case "resource":
            return _parse_resource(c, doc, declared)
        case "step":
            return _parse_step(c, doc, declared)
        case "handler":
            return _parse_handler(c, doc, docs, declared)
        case "workflow":
            return _parse_workflow(c, doc, docs, declared)
        case "policy":
            return _parse_policy(c, doc, declared)
        case _:
            return _parse_test(c, doc, docs)


def _skip_item(c: Cursor) -> None:
    """Leave a broken item; the next item, or what may be one, is next."""
    depth = 0
    while c.token.kind != "end" and not c.at_item():
        if depth == 0 and c.token.after_break and c.token.kind == "name":
            return
        if c.token.kind in ("{", "["):
            depth += 1
        elif c.token.kind in ("}", "]"):
            depth = max(0, depth - 1)
        c.advance()


# --- one-line items ---------------------------------------------------------------------------


def _parse_import(c: Cursor, declared: list[ast.Ident]) -> ast.Import:
    start = c.advance().start
    token = c.token
    if token.kind not in _STRINGS:
        _fail_import_path(c, token)
    path = parse_string(c)
    alias = None
    if c.token.kind == "name" and not c.token.after_break:
        if c.token.text == "as":
            word = c.token
            fix = Fix("remove `as`", ((Span(word.start, c.ahead().start), ""),))
            c.report(
                "HD0114",
                "an import's alias stands right behind its path, without `as`",
                word.span,
                "remove `as`",
                fix,
            )
            c.advance()
        alias = c.name("the alias of the import", 'import "std/io" io')
        declared.append(alias)
    item = ast.Import(path, alias, Span(start, c.last_end))
    if not declared:
        declared.append(ast.Ident(item.name, path.span))
    _refuse_rest_of_item(c, "an import")
    return item


def _fail_import_path(c: Cursor, token: Token) -> NoReturn:
    """`import std/io io` lacks only the quotes."""
    word, fix, path = c.tokens[c.pos - 1], None, "std/io"
    if token.kind == "name" and not token.after_break:
        span, path = c.words()
        fix = Fix("put it in quotes", ((span, f'"{path}"'),))
    c.fail("HD0114", "an import takes its path in quotes", word.span, f'write it like `import "{path}"`', fix)


def _parse_declared_name(c: Cursor, what: str, example: str, declared: list[ast.Ident]) -> ast.Ident:
    c.advance()
    token = c.token
    if token.kind == "string" and not token.after_break:
        bare = re.sub(_NOT_IN_NAMES, "_", token.text.strip('"')).strip("_") or "name"
        fix = Fix(f"write `{bare}`", ((token.span, bare),))
        c.report("HD0112", f"{what} stands without quotes", token.span, f"write it like `{example}`", fix)
        c.advance()
        name = ast.Ident(bare, token.span)
    else:
        name = c.name(what, example)
    declared.append(name)
    return name


def _parse_bound_call(c: Cursor, word: str, example: str) -> ast.Call:
    """`= call`"""
    if c.token.kind == "=":
        c.advance()
    elif c.token.kind in ("name", "<") and not c.token.after_break:
        end = c.last_end
        fix = Fix("put a `=` before it", ((Span(end, end), " ="),))
        c.report(
            "HD0114",
            f"a `=` is missing behind the name of the {word}",
            c.token.span,
            f"write it like `{example}`",
            fix,
        )
    else:
        c.fail(
            "HD0114",
            f"a {word} takes a call behind `=`",
            c.tokens[c.pos - 1].span,
            f"write it like `{example}`",
        )
    next_item = c.token.after_break and c.token.text in ITEM_KEYWORDS
    if c.token.kind not in ("name", "<") or next_item:
        where = c.tokens[c.pos - 1].span if c.token.after_break else c.token.span
        c.fail("HD0114", f"a {word} takes a call behind `=`", where, f"write it like `{example}`")
    return parse_call(c)


def _parse_resource(c: Cursor, doc: str | None, declared: list[ast.Ident]) -> ast.ResourceItem:
    start = c.token.start
    example = 'resource db = pg.connection { host: "db" }'
    name = _parse_declared_name(c, "the name of the resource", example, declared)
    call = _parse_bound_call(c, "resource", example)
    if c.token.kind in ("?", "!"):
        c.report(
            "HD0121",
            f"a resource takes no `{c.token.kind}`",
            c.token.span,
            "write it at the stages that use the resource",
        )
        parse_suffixes(c)
    item = ast.ResourceItem(name, call, doc, Span(start, c.last_end))
    _refuse_rest_of_item(c, "a resource")
    return item


def _parse_step(c: Cursor, doc: str | None, declared: list[ast.Ident]) -> ast.StepItem:
    start = c.token.start
    example = 'step users = io.csv { path: "users.csv" }'
    name = _parse_declared_name(c, "the name of the step", example, declared)
    call_start = c.ahead().start
    call = _parse_bound_call(c, "step", example)
    trap, policy = parse_suffixes(c)
    stage = ast.Stage(call, trap, policy, Span(min(call_start, call.span.start), c.last_end))
    item = ast.StepItem(name, stage, doc, Span(start, c.last_end))
    _refuse_rest_of_item(c, "a step")
    return item


def _parse_policy(c: Cursor, doc: str | None, declared: list[ast.Ident]) -> ast.PolicyItem:
    start = c.token.start
    example = "policy patient { retry: 5 }"
    name = _parse_declared_name(c, "the name of the policy", example, declared)
    if c.token.kind == "=":
        fix = Fix("remove it", ((Span(name.span.end, c.token.end), ""),))
        c.report(
            "HD0114", "a policy takes its keys without `=`", c.token.span, f"write it like `{example}`", fix
        )
        c.advance()
    if c.token.kind != "{":
        c.fail(
            "HD0114",
            "a policy takes its keys in `{…}`",
            c.tokens[c.pos - 1].span,
            f"write it like `{example}`",
        )
    config = parse_dict(c, f"the policy `{name.text}`")
    item = ast.PolicyItem(name, config, doc, Span(start, c.last_end))
    _refuse_rest_of_item(c, "a policy")
    return item


def _refuse_rest_of_item(c: Cursor, what: str) -> None:
    token = c.token
    if token.kind == "end" or (token.after_break and token.kind not in ("|", ">")) or c.at_item():
        return
    if token.kind in ("|", ">"):
        c.report(
            "HD0113",
            f"a pipeline cannot go on from {what}",
            token.span,
            "write pipelines in a workflow: `workflow Name { … }`",
        )
    else:
        c.report(
            "HD0116",
            f"{describe(token)} cannot follow {what}",
            token.span,
            "start a new line for the next item",
        )
    _skip_item(c)


# --- blocks -----------------------------------------------------------------------------------


def _parse_handler(c: Cursor, doc: str | None, docs: Docs, declared: list[ast.Ident]) -> ast.HandlerItem:
    start = c.token.start
    example = "handler park { * | io.stderr }"
    trap = None
    name = _parse_block_name(c, "the name of the handler", example, declared)
    try:
        trap, policy = parse_suffixes(c)
        if policy is not None:
            c.report("HD0121", "a handler takes no policy", policy.span, "write `! …` at its stages")
    except SyntaxFailure:
        _skip_to_block(c)
    what = f"the handler `{name.text}`"
    statements, body = _parse_body(c, what, example, docs)
    return ast.HandlerItem(name, trap, statements, doc, body, Span(start, c.last_end))


def _parse_workflow(c: Cursor, doc: str | None, docs: Docs, declared: list[ast.Ident]) -> ast.WorkflowItem:
    start = c.token.start
    example = "workflow Orders { … }"
    params: tuple[ast.Param, ...] = ()
    triggers: tuple[ast.Call, ...] = ()
    trap: ast.Ident | None = None
    policy: ast.Ident | ast.DictValue | None = None
    name = _parse_block_name(c, "the name of the workflow", example, declared)
    try:
        if c.token.kind == "(":
            from heddle.frontend.parser_headers import parse_params

            params = parse_params(c)
        if c.token.kind == "name" and c.token.text == "on":
            from heddle.frontend.parser_headers import parse_triggers

            triggers = parse_triggers(c)
        trap, policy = parse_suffixes(c)
    except SyntaxFailure:
        _skip_to_block(c)
    statements, body = _parse_body(c, f"the workflow `{name.text}`", example, docs)
    span = Span(start, c.last_end)
    return ast.WorkflowItem(name, params, triggers, trap, policy, statements, doc, body, span)


def _parse_test(c: Cursor, doc: str | None, docs: Docs) -> ast.TestItem:
    start = c.advance().start
    example = 'test "large orders" { … }'
    token = c.token
    if token.kind not in _STRINGS:
        fix = Fix("put it in quotes", ((token.span, f'"{token.text}"'),)) if token.kind == "name" else None
        c.fail("HD0114", "a test takes its name in quotes", token.span, f"write it like `{example}`", fix)
    name = parse_string(c)
    statements, body = _parse_body(c, f"the test {name.text}", example, docs)
    return ast.TestItem(name, statements, doc, body, Span(start, c.last_end))


def _parse_block_name(c: Cursor, what: str, example: str, declared: list[ast.Ident]) -> ast.Ident:
    """The name of a block; when it is missing the block is read all the same."""
    keyword = c.token
    try:
        return _parse_declared_name(c, what, example, declared)
    except SyntaxFailure:
        _skip_to_block(c)
        if c.token.kind != "{":
            raise
        return ast.Ident("", keyword.span)


def _skip_to_block(c: Cursor) -> None:
    """Leave a broken header; the block's `{` is next if it stands on the same line."""
    while c.token.kind not in ("{", "[", "}", "end") and not c.token.after_break:
        c.advance()


def _parse_body(c: Cursor, what: str, example: str, docs: Docs) -> tuple[tuple[ast.Statement, ...], Span]:
    opener = c.token
    if opener.kind != "{":
        place = c.tokens[c.pos - 1].span if opener.after_break else opener.span
        found = "" if opener.after_break else f", not {describe(opener)}"
        c.report("HD0114", f"the `{{` of {what} is expected here{found}", place, f"write it like `{example}`")
        _skip_to_block(c)
        if c.token.kind != "{":
            raise SyntaxFailure
        opener = c.token
    c.advance()
    statements = parse_statements(c, opener, what, docs)
    return statements, Span(opener.start, c.last_end)

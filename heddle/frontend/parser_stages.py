"""Parsing of stages: queries, calls, tables, their suffixes, and the blocks that stand as a stage."""

from __future__ import annotations

import re
from typing import NoReturn

from heddle.diagnostics import Fix, Span
from heddle.frontend import ast
from heddle.frontend.cursor import Cursor, SyntaxFailure, describe
from heddle.frontend.parser_calls import parse_call
from heddle.frontend.parser_values import parse_dict, parse_number, parse_table
from heddle.frontend.tokens import Token

_LINE_START = re.compile(r"([ \t]*+)(\|?)")
_STAGE_HELP = "a stage is a query `(…)` or a step such as `io.print`"


# --- stages ---------------------------------------------------------------------------------


def parse_piped_stage(c: Cursor) -> ast.Stage:
    pipe = c.token
    before = c.tokens[c.pos - 1] if c.pos else pipe
    c.advance()
    token = c.token
    if token.kind == ">" and token.start == pipe.end:
        fix = Fix("write `|`", ((Span(pipe.start, token.end), "|"),))
        c.report("HD0115", "`|>` is no pipe", Span(pipe.start, token.end), "write `|`", fix)
        c.advance()
    elif token.kind == "|":
        both = Span(pipe.start, token.end)
        c.fail(
            "HD0115",
            "no stage stands between these two `|`",
            both,
            "write a stage between them, or remove one",
        )
    elif (
        token.kind in (">", "}", "end")
        or (token.after_break and token.kind not in _STAGE_STARTS)
        or c.at_item()
    ):
        c.fail("HD0115", "no stage follows this `|`", pipe.span, _STAGE_HELP)
    if not pipe.after_break or (token.after_break and token.kind in _STAGE_STARTS):
        _report_pipe_layout(c, pipe, before, token)
    return parse_stage(c, head=False)


_STAGE_STARTS = frozenset(("name", "query", "broken query", "<"))


def _report_pipe_layout(c: Cursor, pipe: Token, before: Token, after: Token) -> None:
    if c.layout_full:
        return
    indent = " " * (_indentation(c, pipe.start) + 2)
    gap = c.source.text[before.end : pipe.start] + c.source.text[pipe.end : after.start]
    fix = None
    if not gap.strip() and before.kind != "{":
        fix = Fix("put it on its own line", ((Span(before.end, after.start), f"\n{indent}| "),))
    c.layout(
        "HD0201",
        "this `|` does not start its line",
        pipe.span,
        "run `heddle fmt`, which gives every stage its own line",
        fix,
    )


def _indentation(c: Cursor, offset: int) -> int:
    """How far the statement that goes on at `offset` is indented."""
    text = c.source.text
    found = _LINE_START.match(text, text.rfind("\n", 0, offset) + 1)
    assert found is not None
    return len(found[1]) - (2 if found[2] else 0)


def parse_stage(c: Cursor, *, head: bool) -> ast.Stage:
    operation = _parse_operation(c, head=head)
    if c.token.kind not in ("?", "!"):
        return ast.Stage(operation, None, None, operation.span)
    trap, policy = parse_suffixes(c)
    return ast.Stage(operation, trap, policy, Span(operation.span.start, c.last_end))


def parse_suffixes(c: Cursor) -> tuple[ast.Ident | None, ast.Ident | ast.DictValue | None]:
    """`? handler` and `! policy`, once each and in any order."""
    trap: ast.Ident | None = None
    policy: ast.Ident | ast.DictValue | None = None
    while c.token.kind in ("?", "!"):
        mark = c.token
        if (trap if mark.kind == "?" else policy) is not None:
            what = "a handler" if mark.kind == "?" else "a policy"
            c.report("HD0121", f"{what} is given twice here", mark.span, f"keep one `{mark.kind}`")
        c.advance()
        if mark.kind == "?":
            trap = c.name("the name of a handler", "? park")
        elif c.token.kind == "{":
            policy = parse_dict(c, "this policy")
        else:
            policy = c.name("the name of a policy, or `{…}`,", "! { retry: 5 }")
    return trap, policy


def _parse_operation(c: Cursor, *, head: bool) -> ast.Operation:
    token = c.token
    match token.kind:
        case "query":
            return _parse_query(c)
        case "broken query":
            c.advance()
            raise SyntaxFailure
        case "name" if token.text in _BLOCK_WORDS:
            return _parse_block_or_call(c)
        case "name" | "<":
            return parse_call(c)
        case "[" if head:
            return parse_table(c)
        case "*" if head:
            c.advance()
            return ast.ErrorFrame(token.span)
        case "[":
            c.report(
                "HD0115",
                "a table can only start a pipeline",
                token.span,
                "put it at the start of a statement and name it with `> name`",
            )
            c.skip_brackets()
            raise SyntaxFailure
        case "*":
            c.report(
                "HD0115",
                "`*` can only start a pipeline",
                token.span,
                "in a handler `*` stands for the rows that failed",
            )
            c.advance()
            raise SyntaxFailure
        case _:
            _fail_operation(c, token, head=head)


def _fail_operation(c: Cursor, token: Token, *, head: bool) -> NoReturn:
    if head and token.kind in ("|", ">"):
        c.fail(
            "HD0115",
            f"nothing stands before this `{token.kind}`",
            token.span,
            "start the pipeline with a query, a table, a step or the name of a result",
        )
    what = "a statement cannot start with" if head else "a stage cannot be"
    help = "a statement starts with a query, a table, a step or the name of a result" if head else _STAGE_HELP
    if token.kind == "{":
        c.report(
            "HD0115",
            f"{what} `{{`",
            token.span,
            "rows stand in a table: `[{ id: 1 }]`; settings follow the name of a step on its line",
        )
        c.skip_brackets()
    else:
        c.report("HD0115", f"{what} {describe(token)}", token.span, help)
        if not (token.after_break and not head):
            c.advance()
    raise SyntaxFailure


def _parse_query(c: Cursor) -> ast.Query:
    token = c.token
    body = Span(token.start + 1, token.end - 1)
    text = token.text[1:-1]
    if not text or text.isspace():
        c.report(
            "HD0115",
            "this query is empty",
            token.span,
            "write PRQL in it: `(from input | filter total > 100)`",
        )
    c.advance()
    return ast.Query(text, body, Span(token.start, token.end))


def refuse_rest(c: Cursor) -> None:
    """What follows a statement on its line is one mistake."""
    token = c.token
    if token.after_break or token.kind in ("}", "end") or c.at_item():
        return
    _report_rest(c, token)
    c.skip_to_stage()
    while c.token.kind in ("|", ">"):
        c.advance()
        c.skip_to_stage()


def _report_rest(c: Cursor, token: Token) -> None:
    message, help, fix = f"{describe(token)} cannot follow here", "", None
    previous = c.tokens[c.pos - 1]
    match token.kind:
        case "query" | "broken query" if previous.kind == "name" and previous.end == token.start:
            callee = _callee_before(c)
            message = f"the step `{callee}` takes settings in `{{…}}`, not in `(…)`"
            help = f'write `{callee} {{ key: "value" }}`'
            if token.text == "()":
                help, fix = "a step runs without `()`", Fix("remove the `()`", ((token.span, ""),))
        case "query" | "broken query" | "name" | "[" | "<" | "*":
            help = "put a `|` before it to go on with the pipeline, or start a new line for a new statement"
        case "{":
            message = "settings `{…}` can only follow the name of a step"
            help = "remove them, or name the step before them"
        case "=":
            message = "`=` does not name a result"
            help = "write the pipeline first and end it with `> name`"
        case ".":
            message = "the name of a step has two parts at most"
            help = "write it like `module.step`"
        case ")" | "]":
            c.report("HD0110", f"`{token.text}` closes nothing", token.span, "remove it", _removal(token))
            return
        case _:
            help = "a statement goes on with `|` or `>`, or ends with its line"
    c.report("HD0116", message, token.span, help, fix)


def _callee_before(c: Cursor) -> str:
    module, dot, name = c.tokens[max(0, c.pos - 3)], c.tokens[c.pos - 2], c.tokens[c.pos - 1]
    return f"{module.text}.{name.text}" if dot.kind == "." else name.text


def _removal(token: Token) -> Fix:
    return Fix("remove it", ((token.span, ""),))


# --- blocks that stand as a stage ------------------------------------------------------------


_BLOCK_WORDS = frozenset(("match", "loop", "atomic", "expect"))


def _parse_block_or_call(c: Cursor) -> ast.Operation:
    """The words of blocks are words of the language only in front of what they take."""
    after = c.ahead()
    match c.token.text:
        case "match" | "atomic" if after.kind == "{" and not after.after_break and not _opens_dict(c):
            return _parse_match(c) if c.token.text == "match" else _parse_atomic(c)
        case "loop" if after.kind == "name" and after.text in ("max", "until") and not after.after_break:
            return _parse_loop(c)
        case "expect" if after.kind == "[" and not after.after_break:
            start = c.advance().start
            table = parse_table(c)
            return ast.Expect(table, Span(start, c.last_end))
        case _:
            return parse_call(c)


def _opens_dict(c: Cursor) -> bool:
    return c.ahead(2).kind in ("name", "string") and c.ahead(3).kind == ":"


def _parse_stage_block(c: Cursor, what: str) -> tuple[tuple[ast.Stage, ...], Span]:
    """`{ | stage … }` and the span of the braces."""
    c.enter()
    opener = c.advance()
    try:
        stages = _parse_stages(c, opener, what)
    finally:
        c.leave()
    return stages, Span(opener.start, c.last_end)


def _parse_stages(c: Cursor, opener: Token, what: str) -> tuple[ast.Stage, ...]:
    stages = _parse_chain(c)
    if c.token.kind != "}" and not (c.token.kind == "end" or c.at_item()):
        c.report(
            "HD0115",
            f"a `|` is expected in {what}, not {describe(c.token)}",
            c.token.span,
            "put a `|` before each stage",
        )
        while c.token.kind not in ("}", "end") and not c.at_item():
            c.advance()
            c.skip_to_stage()
    if c.token.kind != "}":
        c.unclosed(opener, what)
        raise SyntaxFailure
    c.advance()
    return stages


def _parse_chain(c: Cursor) -> tuple[ast.Stage, ...]:
    stages: list[ast.Stage] = []
    while c.token.kind == "|":
        try:
            stages.append(parse_piped_stage(c))
        except SyntaxFailure:
            c.skip_to_stage()
    return tuple(stages)


def _parse_atomic(c: Cursor) -> ast.Atomic:
    start = c.advance().start
    stages, body = _parse_stage_block(c, "`atomic`")
    return ast.Atomic(stages, body, Span(start, c.last_end))


def _parse_loop(c: Cursor) -> ast.Loop:
    example = "`loop max 10 until (filter done) { | … }`"
    start = c.advance().start
    turns = None
    if c.token.text == "max":
        c.advance()
        if c.token.kind != "number":
            c.fail("HD0114", "`max` takes a number of turns", c.token.span, f"write it like {example}")
        turns = parse_number(c)
    if c.token.text != "until":
        c.fail("HD0114", "a loop says with `until` when it ends", c.token.span, f"write it like {example}")
    c.advance()
    if c.token.kind != "query":
        c.fail("HD0114", "`until` takes a query", c.token.span, f"write it like {example}")
    until = _parse_query(c)
    if c.token.kind != "{":
        c.fail("HD0114", "the `{` of `loop` is missing", c.token.span, f"write it like {example}")
    stages, body = _parse_stage_block(c, "`loop`")
    return ast.Loop(turns, until, stages, body, Span(start, c.last_end))


def end_statement(c: Cursor, start: int) -> None:
    """Every turn of a block takes at least one token."""
    if c.pos == start and c.token.kind not in ("}", "end"):
        c.advance()


def _parse_match(c: Cursor) -> ast.Match:
    start = c.advance().start
    c.enter()
    opener = c.advance()
    arms: list[ast.MatchArm] = []
    try:
        while c.token.kind != "}":
            if c.token.kind == "end" or c.at_item():
                c.unclosed(opener, "`match`")
                raise SyntaxFailure
            before = c.pos
            try:
                arms.append(_parse_arm(c))
            except SyntaxFailure:
                end_statement(c, before)
                c.skip_to_stage()
                _parse_chain(c)
    finally:
        c.leave()
    c.advance()
    return ast.Match(tuple(arms), Span(opener.start, c.last_end), Span(start, c.last_end))


def _parse_arm(c: Cursor) -> ast.MatchArm:
    token = c.token
    condition = None
    if token.kind == "query":
        condition = _parse_query(c)
    elif token.kind == "name" and token.text == "_":
        c.advance()
    elif token.kind == "broken query":
        c.advance()
        raise SyntaxFailure
    else:
        c.fail(
            "HD0115",
            f"an arm of `match` starts with a query or `_`, not {describe(token)}",
            token.span,
            "write it like `(filter total > 100) | …`",
        )
    stages = _parse_chain(c)
    refuse_rest(c)
    return ast.MatchArm(condition, stages, Span(token.start, c.last_end))

"""The formatter: a syntax tree with its comments becomes text in the one layout.

The text has the same tree and every comment, and formatting it again changes nothing. What has syntax
errors is kept as it was written.
"""

from __future__ import annotations

from typing import assert_never

from heddle.diagnostics import Source, Span
from heddle.frontend import ast
from heddle.frontend.format_values import put_dict, put_query, put_ref, put_table, put_value
from heddle.frontend.format_writer import LINE_WIDTH, Writer
from heddle.frontend.parser import parse
from heddle.frontend.tokens import ERRORS_MAX

_STATEMENT_INDENT = 2


def format_program(program: ast.Program) -> str:
    """The layout of a program without syntax errors."""
    assert not program.broken, "a program with syntax errors is formatted by format_source"
    return _format(program, ())


def format_source(text: str) -> str:
    """The layout of a text. Items with syntax errors stay as they are; so does a text that was not read to
    its end, because of damage or too many mistakes."""
    result = parse(Source("<text>", text))
    codes = [d.code for d in result.diagnostics if d.severity == "error"]
    if len(codes) >= ERRORS_MAX or "HD0101" in codes:
        return text
    return _format(result.program, result.verbatim)


def _format(program: ast.Program, verbatim: tuple[Span, ...]) -> str:
    w = Writer(program)
    kept = {span.start for span in verbatim}
    parts: list[ast.Item | Span] = [item for item in program.items if item.span.start not in kept]
    previous: ast.Item | Span | None = None
    for part in sorted([*parts, *verbatim], key=_start):
        if isinstance(part, Span):
            w.lead(part.start, "")
            w.put_verbatim(part)
        else:
            apart = isinstance(previous, Span) or _needs_blank_line(previous, part)
            w.lead(part.span.start, "", force_blank=apart and previous is not None)
            _put_item(w, part)
            w.end_line(part.span.end)
        previous = part
    w.close_block(len(program.source.text), "")
    return w.result()


def _start(part: ast.Item | Span) -> int:
    return part.start if isinstance(part, Span) else part.span.start


def _needs_blank_line(previous: ast.Item | Span | None, item: ast.Item) -> bool:
    """Items of one line may stand together with their like."""
    alike = ast.Import | ast.ResourceItem | ast.StepItem | ast.PolicyItem
    return not (isinstance(item, alike) and type(previous) is type(item))


# --- items ----------------------------------------------------------------------------------


def _put_item(w: Writer, item: ast.Item) -> None:
    match item:
        case ast.Import(path=path, alias=alias):
            w.put(f"import {path.text}" + (f" {alias.text}" if alias else ""))
        case ast.ResourceItem(name=name, call=call):
            w.put(f"resource {name.text} = ")
            _put_call(w, call, 0)
        case ast.StepItem(name=name, stage=stage):
            w.put(f"step {name.text} = ")
            _put_stage(w, stage, 0)
        case ast.PolicyItem(name=name, config=config):
            w.put(f"policy {name.text} ")
            put_dict(w, config, 0, spaced=True)
        case ast.HandlerItem(name=name, trap=trap):
            w.put(f"handler {name.text}")
            _put_suffixes(w, trap, None, 0)
            _put_statements(w, item.statements, item.body)
        case ast.WorkflowItem(name=name):
            w.put(f"workflow {name.text}")
            _put_params(w, item)
            _put_triggers(w, item.triggers)
            _put_suffixes(w, item.trap, item.policy, 0)
            _put_statements(w, item.statements, item.body)
        case ast.TestItem(name=title):
            w.put(f"test {title.text}")
            _put_statements(w, item.statements, item.body)
        case _:
            assert_never(item)


def _put_params(w: Writer, workflow: ast.WorkflowItem) -> None:
    params = workflow.params
    if not params:
        return
    texts = [f"{p.name.text}: {p.type_text}" for p in params]
    span = Span(workflow.name.span.end, params[-1].span.end)
    if w.one_line(span) and w.column + sum(map(len, texts)) <= LINE_WIDTH:
        w.put("(")
        for index, param in enumerate(params):
            w.put(", " if index else "")
            _put_param(w, param, 0)
        w.put(")")
        return
    w.put("(")
    w.open_block(span.start)
    for param in params:
        w.lead(param.span.start, "  ")
        w.put("  ")
        _put_param(w, param, 2)
        w.end_line(param.span.end)
    w.put(")")


def _put_param(w: Writer, param: ast.Param, indent: int) -> None:
    w.put(f"{param.name.text}: {param.type_text}")
    if param.default is not None:
        w.put(" = ")
        put_value(w, param.default, indent)


def _put_triggers(w: Writer, triggers: tuple[ast.Call, ...]) -> None:
    for index, trigger in enumerate(triggers):
        w.put(", " if index else " on ")
        _put_call(w, trigger, 0)


# --- statements -----------------------------------------------------------------------------


def _put_statements(w: Writer, statements: tuple[ast.Statement, ...], body: Span) -> None:
    if not statements and not w.holds_comment(body):
        w.put(" {}")
        return
    indent = _STATEMENT_INDENT
    w.put(" {")
    w.open_block(body.start + 1)
    for statement in statements:
        w.lead(statement.span.start, " " * indent)
        _put_statement(w, statement, indent)
    w.close_block(body.end - 1, " " * indent)
    w.put("}")


def _put_statement(w: Writer, statement: ast.Statement, indent: int) -> None:
    w.put(" " * indent)
    _put_stage(w, statement.head, indent)
    w.end_line(statement.head.span.end)
    _put_piped(w, statement.stages, indent + 2)
    if statement.name is not None:
        inner = " " * (indent + 2)
        w.lead(statement.name.span.start, inner, blank_lines=False)
        w.put(f"{inner}> {statement.name.text}")
        if statement.properties is not None:
            w.put(" ")
            put_dict(w, statement.properties, indent + 2, spaced=True)
        w.end_line((statement.properties or statement.name).span.end)


def _put_piped(w: Writer, stages: tuple[ast.Stage, ...], indent: int) -> None:
    inner = " " * indent
    for stage in stages:
        w.lead(stage.span.start, inner, blank_lines=False)
        w.put(f"{inner}| ")
        _put_stage(w, stage, indent + 2)
        w.end_line(stage.span.end)


def _put_stage(w: Writer, stage: ast.Stage, indent: int) -> None:
    _put_operation(w, stage.operation, indent)
    _put_suffixes(w, stage.trap, stage.policy, indent)


def _put_suffixes(
    w: Writer, trap: ast.Ident | None, policy: ast.Ident | ast.DictValue | None, indent: int
) -> None:
    if trap is not None:
        w.put(f" ? {trap.text}")
    match policy:
        case ast.Ident(text=text):
            w.put(f" ! {text}")
        case ast.DictValue():
            w.put(" ! ")
            put_dict(w, policy, indent, spaced=True)
        case None:
            pass


def _put_operation(w: Writer, operation: ast.Operation, indent: int) -> None:
    match operation:
        case ast.Query():
            put_query(w, operation, indent)
        case ast.Call():
            _put_call(w, operation, indent)
        case ast.TableLiteral():
            put_table(w, operation, indent)
        case ast.ErrorFrame():
            w.put("*")
        case ast.Expect(table=table):
            w.put("expect ")
            put_table(w, table, indent)
        case ast.Match():
            _put_match(w, operation, indent)
        case ast.Loop(max_turns=turns, until=until):
            w.put("loop " if turns is None else f"loop max {turns.text} ")
            w.put("until ")
            put_query(w, until, indent)
            w.put(" ")
            _put_stage_block(w, operation.stages, operation.body, indent)
        case ast.Atomic():
            w.put("atomic ")
            _put_stage_block(w, operation.stages, operation.body, indent)
        case _:
            assert_never(operation)


def _put_call(w: Writer, call: ast.Call, indent: int) -> None:
    if call.ref is not None:
        put_ref(w, call.ref)
        w.put(" ")
    w.put(call.callee)
    if call.config is not None:
        w.put(" ")
        put_dict(w, call.config, indent, spaced=True)


def _put_stage_block(w: Writer, stages: tuple[ast.Stage, ...], body: Span, indent: int) -> None:
    if not stages and not w.holds_comment(body):
        w.put("{}")
        return
    w.put("{")
    w.open_block(body.start + 1)
    _put_piped(w, stages, indent + 2)
    w.close_block(body.end - 1, " " * (indent + 2))
    w.put(" " * indent + "}")


def _put_match(w: Writer, match: ast.Match, indent: int) -> None:
    if not match.arms and not w.holds_comment(match.body):
        w.put("match {}")
        return
    inner = indent + 2
    w.put("match {")
    w.open_block(match.body.start + 1)
    for arm in match.arms:
        w.lead(arm.span.start, " " * inner)
        w.put(" " * inner)
        if arm.condition is None:
            w.put("_")
        else:
            put_query(w, arm.condition, inner)
        w.end_line(arm.span.start + 1 if arm.condition is None else arm.condition.span.end)
        _put_piped(w, arm.stages, inner + 2)
    w.close_block(match.body.end - 1, " " * inner)
    w.put(" " * indent + "}")

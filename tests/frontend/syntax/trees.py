"""Comparing syntax trees by what they mean: without spans, and without the space in queries' layout."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass

from heddle.diagnostics import Diagnostic, Source, Span
from heddle.frontend import ast
from heddle.frontend.parser import ParseResult, parse

_QUERY_PARTS = re.compile(
    r'("""(?:[^"\\]|\\.|"(?!""))*"""|r\'[^\']*\'|"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|#[^\n]*)|(\s+)',
    re.S,
)


def parse_text(text: str, *, strict_layout: bool = False) -> ParseResult:
    return parse(Source("program.he", text), strict_layout=strict_layout)


def errors(result: ParseResult) -> list[Diagnostic]:
    return [d for d in result.diagnostics if d.severity == "error"]


def items_of(text: str) -> tuple[ast.Item, ...]:
    """The items of a program that must have no errors."""
    result = parse_text(text)
    assert not errors(result), [(d.code, d.message) for d in errors(result)]
    return result.program.items


def statement_of(text: str) -> ast.Statement:
    """The one statement of a workflow's body."""
    (workflow,) = items_of(f"workflow W {{\n{text}\n}}")
    assert isinstance(workflow, ast.WorkflowItem)
    (statement,) = workflow.statements
    return statement


def without_spans(node: object) -> object:
    """A tree as nested tuples; queries as their lines, without indentation and blank lines."""
    match node:
        case Span():
            return None
        case ast.Query(text=text):
            return ("Query", _query_words(text))
        case str():
            return node.replace("\r\n", "\n")
        case tuple():
            return tuple(without_spans(part) for part in node)
        case _ if is_dataclass(node):
            values = (without_spans(getattr(node, field.name)) for field in fields(node))
            return (type(node).__name__, *values)
        case _:
            return node


def _query_words(text: str) -> str:
    def replace(found: re.Match[str]) -> str:
        if found[1]:
            return found[1].rstrip() if found[1].startswith("#") else found[1].replace("\r\n", "\n")
        return "\n" if "\n" in found[2] else found[2]

    return _QUERY_PARTS.sub(replace, text).strip()


def comment_texts(program: ast.Program) -> list[str]:
    return sorted(comment.text.replace("\r\n", "\n") for comment in program.comments)

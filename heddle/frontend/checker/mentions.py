"""Mentions: every name that a program writes down, found on the tree before anything is resolved.

They say which items are used, even where another mistake keeps a use from being resolved, and which
workflows read which others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import assert_never

from heddle.core.record import record
from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.prql.names import relation_names

NameAt = tuple[str, Span]


@record(slots=True, eq=False)
class Mentions:
    """`relations` are the names in each query's relation positions, by the query's span.

    `outputs` are a workflow's mentions of the form `Other.output`, at heads and in queries; the span is that
    of the whole name.
    """

    names: set[str] = field(default_factory=set)
    relations: dict[Span, tuple[NameAt, ...]] = field(default_factory=dict)
    outputs: dict[str, list[NameAt]] = field(default_factory=dict)


def read_mentions(program: ast.Program) -> Mentions:
    found = Mentions()
    for item in program.items:
        match item:
            case ast.Import() | ast.PolicyItem():
                continue
            case ast.ResourceItem():
                _call(item.call, found)
            case ast.StepItem():
                _stage(item.stage, found, [])
            case ast.HandlerItem() | ast.TestItem():
                _statements(item.statements, found, [])
            case ast.WorkflowItem():
                _workflow(item, found)
            case _:
                assert_never(item)
    return found


def _workflow(item: ast.WorkflowItem, found: Mentions) -> None:
    for trigger in item.triggers:
        _call(trigger, found)
    _suffixes(item.trap, item.policy, found)
    _statements(item.statements, found, found.outputs.setdefault(item.name.text, []))


def _statements(statements: tuple[ast.Statement, ...], found: Mentions, outputs: list[NameAt]) -> None:
    for statement in statements:
        for stage in (statement.head, *statement.stages):
            _stage(stage, found, outputs)


def _stage(stage: ast.Stage, found: Mentions, outputs: list[NameAt]) -> None:
    waiting = [stage]
    while waiting:
        current = waiting.pop()
        _suffixes(current.trap, current.policy, found)
        for query in _queries(current.operation):
            outputs += _query(query, found)
        match current.operation:
            case ast.Call() as call:
                _call(call, found)
                if call.module is not None:
                    outputs.append((call.callee, call.module.span.to(call.name.span)))
            case ast.Match(arms=arms):
                waiting += [s for arm in arms for s in arm.stages]
            case ast.Loop(stages=stages) | ast.Atomic(stages=stages):
                waiting += stages
            case _:
                continue


def _queries(operation: ast.Operation) -> Iterator[ast.Query]:
    match operation:
        case ast.Query():
            yield operation
        case ast.Match(arms=arms):
            yield from (arm.condition for arm in arms if arm.condition is not None)
        case ast.Loop(until=until):
            yield until
        case _:
            return


def _query(query: ast.Query, found: Mentions) -> Iterator[NameAt]:
    names = relation_names(query)
    found.relations[query.span] = names
    for name, span in names:
        found.names.add(name.partition(".")[0])
        if "." in name:
            yield name, span


def _call(call: ast.Call, found: Mentions) -> None:
    found.names.add(call.module.text if call.module is not None else call.name.text)
    for binding in call.ref.bindings if call.ref is not None else ():
        found.names.add(binding.resource.text)


def _suffixes(trap: ast.Ident | None, policy: ast.Ident | ast.DictValue | None, found: Mentions) -> None:
    found.names.update(name.text for name in (trap, policy) if isinstance(name, ast.Ident))


def reading_order(
    workflows: Mapping[str, ast.WorkflowItem], mentions: Mentions
) -> tuple[list[str], list[tuple[Span, list[str]]]]:
    """The workflows in an order in which each comes after those that it reads, and the circles found: the
    span of the mention that closes a circle, and the names along it."""
    order: list[str] = []
    circles: list[tuple[Span, list[str]]] = []
    done: set[str] = set()
    for start in workflows:
        path: dict[str, Iterator[NameAt]] = {}
        if start not in done:
            path[start] = iter(mentions.outputs[start])
        while path:
            current = next(reversed(path))
            for name, span in path[current]:
                other = name.partition(".")[0]
                if other == current or other not in workflows or other in done:
                    continue
                if other in path:
                    names = list(path)
                    circles.append((span, names[names.index(other) :]))
                    continue
                path[other] = iter(mentions.outputs[other])
                break
            else:
                order.append(current)
                done.add(current)
                del path[current]
    return order, circles

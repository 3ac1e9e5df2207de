"""What a program must mind when it reads streams in turns: each turn runs all of it over its own rows.

A file would be written over by the next turn, and what a query says of all rows it says of a turn's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from heddle.core.streams import TURN, takes_turns
from heddle.diagnostics import Label
from heddle.frontend.checker.report import Report
from heddle.frontend.typed import ConfigData, Node, NodeId, QueryNode, StepNode, TypedProgram, inputs_of

FILES: Final = ("csv", "json", "parquet", "arrow")
"""The writers of `std/io` that write files."""

_OVER_ROWS: Final = r"(?:^|[|\n(])\s*(aggregate|group|sort|take|window|loop)\b(?!\s*[=.:,}])"

Streams = frozenset[NodeId]


def check_turns(program: TypedProgram, report: Report) -> None:
    feeding = _feeding(program)
    nodes = program.nodes
    in_handlers = {i for handler in program.handlers.values() for i in handler.nodes}
    _check_twice([n for n in nodes if isinstance(n, StepNode) and n.call.signature.stream], report)
    for node in nodes:
        turning = frozenset(i for i in feeding[node.id] if _takes_turns(nodes[i]))
        if node.id in in_handlers:
            _check_handler(node, feeding, report)
        elif turning:
            _check_fed(node, turning, feeding, nodes, report)
    if any(isinstance(n, StepNode) and n.call.signature.stream and _takes_turns(n) for n in nodes):
        for node in nodes:
            if node.id in in_handlers:
                _check_file(node, report)


def overwrites(step: str, config: Mapping[str, ConfigData]) -> bool:
    """Whether a writer of `std/io` would write over in one turn what it wrote in another."""
    path = config.get("path")
    named = isinstance(path, str) and TURN in path
    return step in FILES and not named and config.get("mode") != "append"


def overwritten(step: str, config: Mapping[str, ConfigData]) -> tuple[str, str]:
    """What is wrong with such a writer, and the cure."""
    path = config.get("path")
    shown = path if isinstance(path, str) else "events.csv"
    stem, dot, ending = shown.rpartition(".")
    named = f"{stem}-{TURN}.{ending}" if dot else f"{shown}-{TURN}"
    append = ', or `mode: "append"` for one file' if step in ("csv", "json") else ""
    return (
        f"`io.{step}` writes in every turn, and each would write over the last",
        f'write a file for each turn, `path: "{named}"`{append}',
    )


def _feeding(program: TypedProgram) -> Mapping[NodeId, Streams]:
    """The streams on whose rows each node depends; a stream on itself."""
    found: dict[NodeId, Streams] = {}
    for node in program.nodes:
        streams = frozenset[NodeId]().union(*(found[i] for i in inputs_of(node)))
        if isinstance(node, StepNode) and node.call.signature.stream:
            streams |= {node.id}
        found[node.id] = streams
    return found


def _takes_turns(node: Node) -> bool:
    return isinstance(node, StepNode) and takes_turns(node.call.config)


def _check_twice(streams: Sequence[StepNode], report: Report) -> None:
    """Each would get some of the rows, and both would say how far the stream was read."""
    for number, stream in enumerate(streams):
        call = stream.call
        for before in streams[:number]:
            same = before.call.module.path == call.module.path and before.call.config == call.config
            if same and before.call.signature.name == call.signature.name and _same_resources(before, stream):
                report.error(
                    "HD0732",
                    call.span,
                    f"the stream `{call.callee}` is read twice with the same settings",
                    "name its rows (`> name`) and read that name in both places",
                    labels=(Label(before.call.span, "here too"),),
                )
                break


def _same_resources(one: StepNode, other: StepNode) -> bool:
    return dict(one.call.resources) == dict(other.call.resources)


def _check_fed(
    node: Node, turning: Streams, feeding: Mapping[NodeId, Streams], nodes: tuple[Node, ...], report: Report
) -> None:
    _check_file(node, report)
    if not isinstance(node, QueryNode):
        return
    stream = nodes[min(turning)]
    assert isinstance(stream, StepNode), "streams are steps"
    what = re.search(_OVER_ROWS, node.prql)
    of_inputs = {feeding[i] for i in inputs_of(node)} - {frozenset()}
    if what is None and len(of_inputs) < 2:
        return
    name = f"`{what[1]}`" if what is not None else "this join"
    report.warning(
        "HD0630",
        node.span,
        f"{name} is over the rows of one turn: `{stream.call.callee}` is read in turns",
        'read it to an end for the whole (such as `until: "latest"`), '
        "or let `commit_every` say how long a turn is",
    )


def _check_file(node: Node, report: Report) -> None:
    if not isinstance(node, StepNode) or node.input is None or node.call.module.path != "std/io":
        return
    step, config = node.call.signature.name, node.call.config
    if overwrites(step, config):
        report.error("HD0730", node.call.config_spans.get("path", node.span), *overwritten(step, config))


def _check_handler(node: Node, feeding: Mapping[NodeId, Streams], report: Report) -> None:
    if feeding[node.id] and not any(feeding[i] for i in inputs_of(node)):
        report.error(
            "HD0731",
            node.span,
            "a handler cannot read a stream",
            "read it in a workflow: a handler runs on the failures of one turn",
        )

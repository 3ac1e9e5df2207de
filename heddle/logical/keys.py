"""Content keys: what an operator computes, as a digest that only equal results have in common.

A key is made of what the operator says, of the code and the settings of its steps, and of the keys of what
it reads, down to the files. An operator without a key gives rows that belong to its own run alone: it has an
effect or does not declare that it is deterministic, reads the clock, can be caught by a handler, or reads
what cannot be told apart. Settings and files come from the caller, because this package does no IO.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from heddle.core.config import ConfigValue
from heddle.logical.plan import Fragment, LogicalPlan, Op, OpId, Scan, Step, Values
from heddle.logical.rules.merge_equal import queries_said

Settings: TypeAlias = Callable[[Scan | Step], Mapping[str, ConfigValue] | None]
"""The plain settings of an operator; None when no key may be made of them."""
Files: TypeAlias = Callable[[Scan], tuple[object, ...] | None]
"""The state of every file of a scan, as plain values; None when it cannot be told."""

_CALLED: Final = r'"?\s*(?:\(|/\*|--)'
"""What follows a function's name: its parenthesis, or a comment in front of that. Where the comment ends is
not looked for: that takes long in a text that has many beginnings of comments."""
_EACH_TIME_ANEW: Final = (
    r"(?i)\b(?:NOW|TODAY|CURRENT_\w+|LOCALTIME\w*|CLOCK\w*|RANDOM|RAND|SETSEED|UUID\w*|GEN_RANDOM_UUID"
    r"|NEXTVAL|CURRVAL|VERSION|PG_\w+|READ_\w+|GLOB|GETENV)"
    rf"{_CALLED}"
    r"|\bCURRENT_(?:DATE|TIME|TIMESTAMP)\b|\bTABLESAMPLE\b"
)
"""What gives another value in another run. A column of such a name costs a key, and does no other harm."""


def content_keys(
    plan: LogicalPlan, settings: Settings, files: Files, *, base: str, secret: bytes = b""
) -> dict[OpId, str]:
    """The keys of the operators that have one. Relative paths in settings start from `base`.

    With a `secret`, of at most 64 bytes, a key tells nothing of what it was made of.
    """
    keys: dict[OpId, str] = {}
    for op in plan.in_order():
        said = _said(op, plan, keys, settings, files, base)
        if said is not None:
            keys[op.id] = _digest(said, secret)
    return keys


def is_anew(sql: str) -> bool:
    """Whether something in a query, or in a plan's words, gives another value each time."""
    return re.search(_EACH_TIME_ANEW, sql) is not None


def _digest(said: object, secret: bytes) -> str:
    from hashlib import blake2b

    return blake2b(repr(said).encode(), digest_size=32, key=secret).hexdigest()


def _said(
    op: Op, plan: LogicalPlan, keys: Mapping[OpId, str], settings: Settings, files: Files, base: str
) -> object:
    """Plain values whose text is equal only for operators that compute the same; None without a key."""
    match op:
        case Scan():
            config, state = settings(op), files(op)
            if config is None or state is None:
                return None
            return ("scan", op.step, _plain(config), op.row, state)
        case Values():
            return ("values", tuple(_plain(row) for row in op.rows), op.row)
        case Fragment(trap=None, workflow=workflow) if workflow not in plan.trapped:
            if any(i not in keys for i in op.inputs.values()):
                return None
            if any(query.anew or is_anew(query.sql) for query in op.queries):
                return None
            inputs = {relation: keys[i] for relation, i in op.inputs.items()}
            return ("fragment", queries_said(op, inputs), op.row, op.columns, op.limit)
        case Step(trap=None, workflow=workflow, input=int(below)) if workflow not in plan.trapped:
            if any(step.path in plan.left_out for step in op.steps):
                return None  # without these rows it is not what another run would have
            calls = [_call_said(step, settings) for step in op.steps]
            if below not in keys or any(call is None for call in calls):
                return None
            links = tuple(repr(member.link.takes) + repr(member.link.gives) for member in op.members)
            return ("step", tuple(calls), links, keys[below], op.row, op.absent, base)
        case _:
            return None


def _call_said(step: Step, settings: Settings) -> object:
    call, signature = step.call, step.call.signature
    if signature.step_class != "pure" or not call.module.code_hash or step.trap is not None:
        return None
    if step.lookup is not None:
        return None
    if call.parameters or call.resources or (config := settings(step)) is None:
        return None
    declared = (signature.rows, signature.passthrough, signature.input, signature.output)
    code = (call.module.path, call.module.origin, call.module.code_hash, signature.name)
    return (code, _plain(config), declared, step.row, step.absent)


def _plain(value: object) -> object:
    """The value with mappings in the order of their keys, so that equal values have equal texts."""
    match value:
        case Mapping():
            return ("{}", tuple((key, _plain(value[key])) for key in sorted(value)))
        case list() | tuple():
            return ("[]", tuple(_plain(item) for item in value))
        case _:
            return value

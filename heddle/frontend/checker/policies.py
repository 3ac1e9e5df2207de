"""Policies: `! name` and `! {…}` become `Policy` values; durations, rates and back-off are read here.

A written policy says some things and leaves others to what it refines: a step's refines that of its
workflow, which refines the project's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias

from heddle.core.record import record
from heddle.core.signature import StepSignature
from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.checker.configs import last_pairs
from heddle.frontend.checker.declarations import Declarations
from heddle.frontend.checker.report import Report
from heddle.frontend.typed import NO_POLICY, Policy

Written: TypeAlias = ast.Ident | ast.DictValue | None

KEYS: Final = ("retry", "timeout", "key", "durability", "concurrency", "rate", "batch")
PLACEMENT_KEYS: Final = ("privacy", "zone", "deadline", "max_cost", "budget", "prefer")
_RATE = r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h)"
_BACKOFF = r"(?:(exp|fixed)\s+)?(\S+?)(?:\s*\.\.\s*(\S+))?"


class _Invalid(ValueError):
    """A value that does not say what its key wants; the text says how it is written."""


@record(frozen=True, slots=True)
class SaidPolicy:
    """`fields` are those of `policy` that were written; the others are left to what it is laid over."""

    policy: Policy
    fields: frozenset[str]

    def over(self, below: Policy) -> Policy:
        return replace(below, **{name: getattr(self.policy, name) for name in self.fields})


_NOTHING: Final = SaidPolicy(NO_POLICY, frozenset())


class Policies:
    """The named policies of a program, and those written in place. `defaults` are the project's."""

    def __init__(self, found: Declarations, report: Report, defaults: Policy = NO_POLICY) -> None:
        self.defaults = defaults
        self._found = found
        self._report = report
        reader = _Reader(report)
        self._named = {name: reader.read(item.config) for name, item in found.policies.items()}
        self._inline: dict[Span, SaidPolicy] = {}

    def over(self, written: Written, below: Policy) -> Policy:
        return self._said(written).over(below)

    def of_step(self, layers: Iterable[Written], below: Policy, signature: StepSignature) -> Policy:
        """The policy of a step: its own, in `layers` from the outermost, over that of its workflow.

        A step that writes is retried only when that is safe, or its own policy says `retry`.
        """
        merged, says_retry = below, False
        for written in layers:
            said = self._said(written)
            merged = said.over(merged)
            says_retry = says_retry or "attempts" in said.fields
        safe = signature.step_class in {"pure", "recorded", "wait"} or signature.idempotent or merged.key
        return merged if says_retry or safe else replace(merged, attempts=None)

    def check(self, written: Written) -> None:
        """Report the mistakes in a policy that nothing takes."""
        self._said(written)

    def says_key(self, written: Written) -> bool:
        return "key" in self._said(written).fields

    def _said(self, written: Written) -> SaidPolicy:
        match written:
            case None:
                return _NOTHING
            case ast.DictValue(span=span):
                if span not in self._inline:
                    self._inline[span] = _Reader(self._report).read(written)
                return self._inline[span]
            case ast.Ident(text=name):
                if name not in self._named:
                    from heddle.frontend.checker.unknown import unknown_policy

                    unknown_policy(written, self._found, self._report)
                    return _NOTHING
                return self._named[name]


def read_policy(config: ast.DictValue, report: Report) -> Policy:
    """One policy by itself, such as the defaults of a project."""
    return _Reader(report).read(config).policy


Fields: TypeAlias = dict[str, Any]
"""Fields of a `Policy`."""


class _Reader:
    def __init__(self, report: Report) -> None:
        self._report = report

    def read(self, config: ast.DictValue) -> SaidPolicy:
        fields: Fields = {}
        for pair in last_pairs(config, self._report):
            self._key(pair, fields)
        return SaidPolicy(replace(NO_POLICY, **fields), frozenset(fields))

    def _key(self, pair: ast.Pair, fields: Fields) -> None:
        match pair.key.text:
            case "retry":
                self._retry(pair, fields)
            case "batch":
                self._batch(pair, fields)
            case "timeout":
                self._set(pair, "timeout_s", _duration, fields)
            case "key":
                self._set(pair, "key", _text, fields)
            case "durability":
                self._set(pair, "durability", _durability, fields)
            case "concurrency":
                self._set(pair, "concurrency", _count, fields)
            case "rate":
                self._set(pair, "rate_per_s", _rate, fields)
            case key if key in PLACEMENT_KEYS:
                self._report.error(
                    "HD0707",
                    pair.key.span,
                    f"the policy key `{key}` is unsupported",
                    "leave it out: steps run on this machine",
                )
            case key:
                self._unknown(pair.key, f"a policy has no key `{key}`", (*KEYS, *PLACEMENT_KEYS))

    def _retry(self, pair: ast.Pair, fields: Fields) -> None:
        if not isinstance(pair.value, ast.DictValue):
            self._set(pair, "attempts", _attempts, fields)
            return
        for inner in last_pairs(pair.value, self._report):
            match inner.key.text:
                case "attempts":
                    self._set(inner, "attempts", _count, fields)
                case "backoff":
                    self._update(inner, _backoff, fields)
                case "on":
                    self._set(inner, "on", _texts, fields)
                case key:
                    self._unknown(inner.key, f"`retry` has no key `{key}`", ("attempts", "backoff", "on"))

    def _batch(self, pair: ast.Pair, fields: Fields) -> None:
        if not isinstance(pair.value, ast.DictValue):
            self._invalid(pair, _Invalid('it is written like {max_rows: 4096, max_wait: "5ms"}'))
            return
        for inner in last_pairs(pair.value, self._report):
            match inner.key.text:
                case "max_rows":
                    self._set(inner, "batch_max_rows", _count, fields)
                case "max_wait":
                    self._set(inner, "batch_max_wait_s", _duration, fields)
                case key:
                    self._unknown(inner.key, f"`batch` has no key `{key}`", ("max_rows", "max_wait"))

    def _set(self, pair: ast.Pair, name: str, read: Callable[[ast.Value], object], fields: Fields) -> None:
        self._update(pair, lambda value: {name: read(value)}, fields)

    def _update(self, pair: ast.Pair, read: Callable[[ast.Value], Fields], fields: Fields) -> None:
        try:
            fields.update(read(pair.value))
        except _Invalid as how:
            self._invalid(pair, how)

    def _invalid(self, pair: ast.Pair, how: _Invalid) -> None:
        shown = pair.value.text if isinstance(pair.value, ast.StringValue | ast.NumberValue) else "this"
        self._report.error("HD0706", pair.value.span, f"`{pair.key.text}` cannot be {shown}", str(how))

    def _unknown(self, key: ast.Ident, message: str, known: tuple[str, ...]) -> None:
        self._report.unknown("HD0705", key.span, message, known, "keys", name=key.text)


def _text(value: ast.Value) -> str:
    if not isinstance(value, ast.StringValue):
        raise _Invalid("it is a string")
    return value.value


def _texts(value: ast.Value) -> tuple[str, ...]:
    how = 'it is a list of error types, like ["Timeout"]'
    if not isinstance(value, ast.ListValue):
        raise _Invalid(how)
    texts = [item.value for item in value.items if isinstance(item, ast.StringValue)]
    if len(texts) < len(value.items):
        raise _Invalid(how)
    return tuple(texts)


def _count(value: ast.Value) -> int:
    if not isinstance(value, ast.NumberValue) or not isinstance(value.value, int) or value.value < 1:
        raise _Invalid("it is a whole number above 0")
    return value.value


def _attempts(value: ast.Value) -> int:
    try:
        return _count(value)
    except _Invalid:
        how = 'it is a number of attempts, or {attempts: 5, backoff: "exp 200ms..30s", on: ["Timeout"]}'
        raise _Invalid(how) from None


def _duration(value: ast.Value) -> float:
    return _seconds(value.value if isinstance(value, ast.StringValue) else "")


def _seconds(text: str) -> float:
    from heddle.core.durations import DURATION_HELP, duration_s

    found = duration_s(text)
    if found is None:
        raise _Invalid(DURATION_HELP)
    return found


def _durability(value: ast.Value) -> Literal["none", "barrier", "step"]:
    match value:
        case ast.StringValue(value=("none" | "barrier" | "step") as known):
            return known
        case _:
            raise _Invalid('it is "none", "barrier" or "step"')


def _rate(value: ast.Value) -> float:
    found = re.fullmatch(_RATE, value.value.strip()) if isinstance(value, ast.StringValue) else None
    if found is None or float(found[1]) == 0:
        raise _Invalid('a rate is written like "100/s" or "30/m"')
    from heddle.core.durations import UNITS_S

    return float(found[1]) / UNITS_S[found[2]]


def _backoff(value: ast.Value) -> Fields:
    """`"exp 200ms..30s"` -> the kind, the first and the longest wait."""
    found = re.fullmatch(_BACKOFF, _text(value).strip())
    try:
        if found is None:
            raise _Invalid
        first = _seconds(found[2])
        last = _seconds(found[3]) if found[3] else NO_POLICY.backoff_max_s
    except _Invalid:
        raise _Invalid('a back-off is written like "exp 200ms..30s" or "fixed 1s"') from None
    kind = "fixed" if found[1] == "fixed" else "exp"
    return {"backoff_kind": kind, "backoff_first_s": first, "backoff_max_s": max(first, last)}

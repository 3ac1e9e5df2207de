"""Policies: `! name` and `! {…}` become `Policy` values; durations, rates and back-off are read here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

from heddle.core.signature import StepSignature
from heddle.frontend import ast
from heddle.frontend.checker.report import Report, near_or_known, rename_fix
from heddle.frontend.typed import NO_POLICY, Policy

KEYS: Final = ("retry", "timeout", "key", "durability", "concurrency", "rate", "batch")
PLACEMENT_KEYS: Final = ("privacy", "zone", "deadline", "max_cost", "budget", "prefer")
_UNITS: Final[Mapping[str, float]] = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h)")
_BACKOFF = re.compile(r"(?:(exp|fixed)\s+)?(\S+?)(?:\s*\.\.\s*(\S+))?")


class _Invalid(ValueError):
    """A policy value that does not say what its key wants; the text is the message."""


def duration_s(text: str) -> float:
    """`"30s"` -> 30.0. Raises `ValueError`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise _Invalid('a duration is written like "200ms", "30s", "5m" or "1h"')
    return float(found[1]) * _UNITS[found[2]]


class Policies:
    """The named policies of a program. `defaults` holds for stages of which no policy says otherwise."""

    def __init__(
        self, items: Mapping[str, ast.PolicyItem], report: Report, defaults: Policy = NO_POLICY
    ) -> None:
        self.defaults = defaults
        self._report = report
        self._items = items
        self.used: set[str] = set()
        self._read = {name: self._of_dict(item.config, NO_POLICY) for name, item in items.items()}

    def over(self, written: ast.Ident | ast.DictValue | None, below: Policy) -> Policy:
        """The written policy laid over another (a workflow's)."""
        match written:
            case None:
                return below
            case ast.Ident(text=name, span=span):
                if name not in self._items:
                    hint = near_or_known(name, self._items, "policies")
                    self._report.error(
                        "HD0319",
                        span,
                        f"there is no policy `{name}`",
                        hint,
                        fix=rename_fix(name, self._items, span),
                    )
                    return below
                self.used.add(name)
                return self._of_dict(self._items[name].config, below, quiet=True)
            case ast.DictValue():
                return self._of_dict(written, below)

    def _of_dict(self, config: ast.DictValue, below: Policy, *, quiet: bool = False) -> Policy:
        policy = below
        for pair in config.pairs:
            try:
                policy = self._with(policy, pair, quiet)
            except _Invalid as problem:
                if not quiet:
                    self._report.error(
                        "HD0706", pair.value.span, f"`{pair.key.text}` cannot be this: {problem}"
                    )
        return policy

    def _with(self, policy: Policy, pair: ast.Pair, quiet: bool) -> Policy:
        value = pair.value
        match pair.key.text:
            case "retry":
                return self._retry(policy, value)
            case "timeout":
                return replace(policy, timeout_s=duration_s(_text(value)))
            case "key":
                return replace(policy, key=_text(value))
            case "durability":
                return replace(policy, durability=_durability(value))
            case "concurrency":
                return replace(policy, concurrency=_count(value))
            case "rate":
                return replace(policy, rate_per_s=_rate(value))
            case "batch":
                return self._batch(policy, value)
            case key if quiet:
                return policy
            case key if key in PLACEMENT_KEYS:
                self._report.error(
                    "HD0707",
                    pair.key.span,
                    f"the policy key `{key}` is unsupported",
                    "leave it out: steps run on this machine",
                )
            case key:
                known = (*KEYS, *PLACEMENT_KEYS)
                hint = near_or_known(key, known, "keys")
                self._report.error(
                    "HD0705",
                    pair.key.span,
                    f"a policy has no key `{key}`",
                    hint,
                    fix=rename_fix(key, known, pair.key.span),
                )
        return policy

    def _retry(self, policy: Policy, value: ast.Value) -> Policy:
        if not isinstance(value, ast.DictValue):
            return replace(policy, attempts=_count(value))
        for pair in value.pairs:
            match pair.key.text:
                case "attempts":
                    policy = replace(policy, attempts=_count(pair.value))
                case "backoff":
                    policy = _with_backoff(policy, _text(pair.value))
                case "on":
                    policy = replace(policy, on=_texts(pair.value))
                case key:
                    raise _Invalid(f"`retry` has no key `{key}`; it has attempts, backoff and on")
        return policy

    def _batch(self, policy: Policy, value: ast.Value) -> Policy:
        if not isinstance(value, ast.DictValue):
            raise _Invalid('it is written like {max_rows: 4096, max_wait: "5ms"}')
        for pair in value.pairs:
            match pair.key.text:
                case "max_rows":
                    policy = replace(policy, batch_max_rows=_count(pair.value))
                case "max_wait":
                    policy = replace(policy, batch_max_wait_s=duration_s(_text(pair.value)))
                case key:
                    raise _Invalid(f"`batch` has no key `{key}`; it has max_rows and max_wait")
        return policy


def read_policy(config: ast.DictValue, report: Report) -> Policy:
    """One policy by itself, such as the defaults of a project."""
    return Policies({}, report).over(config, NO_POLICY)


def for_step(merged: Policy, own: ast.Ident | ast.DictValue | None, signature: StepSignature) -> Policy:
    """A step that writes is retried only when that is safe, or its own policy says `retry`."""
    safe = signature.step_class in {"pure", "recorded", "wait"} or signature.idempotent or merged.key
    if own is not None or safe:
        return merged
    return replace(merged, attempts=None)


def _text(value: ast.Value) -> str:
    if not isinstance(value, ast.StringValue):
        raise _Invalid("a string is wanted")
    return value.value


def _texts(value: ast.Value) -> tuple[str, ...]:
    if not isinstance(value, ast.ListValue):
        raise _Invalid('a list of error types is wanted, like ["Timeout"]')
    return tuple(_text(item) for item in value.items)


def _count(value: ast.Value) -> int:
    if not isinstance(value, ast.NumberValue) or not isinstance(value.value, int) or value.value < 1:
        raise _Invalid("a whole number above 0 is wanted")
    return value.value


def _durability(value: ast.Value) -> Literal["none", "barrier", "step"]:
    match _text(value):
        case "none" | "barrier" | "step" as known:
            return known
        case _:
            raise _Invalid('it is "none", "barrier" or "step"')


def _rate(value: ast.Value) -> float:
    found = _RATE.fullmatch(_text(value).strip())
    if found is None:
        raise _Invalid('a rate is written like "100/s" or "30/m"')
    return float(found[1]) / _UNITS[found[2]]


def _with_backoff(policy: Policy, text: str) -> Policy:
    found = _BACKOFF.fullmatch(text.strip())
    if found is None:
        raise _Invalid('a back-off is written like "exp 200ms..30s" or "fixed 1s"')
    kind: Literal["exp", "fixed"] = "fixed" if found[1] == "fixed" else "exp"
    first = duration_s(found[2])
    last = duration_s(found[3]) if found[3] else policy.backoff_max_s
    return replace(policy, backoff_kind=kind, backoff_first_s=first, backoff_max_s=max(first, last))

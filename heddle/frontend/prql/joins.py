"""`join t (==k)` with the meaning of SQL's USING, written in terms that prqlc has.

    join t (==k)             ->  join t (this.k == that.k) | select !{t.k}
    join side:right t (==k)  ->  join side:right t (this.k == that.k) | derive {k = t.k}
    join side:full t (==k)   ->  derive {_heddle_left = this.k} | join side:full t (this.k == that.k)
                                 | derive {k = _heddle_left ?? t.k}

So the result has one column `k`, and a second `join u (==k)` means the same `k`. Where the query later
speaks of a key that is gone, a hidden column holds it: names that start with `HIDDEN` never leave a query.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any

from heddle.core.record import record
from heddle.frontend.prql.native import Doc
from heddle.frontend.prql.tree import HIDDEN, callee, nodes

if TYPE_CHECKING:
    from heddle.frontend.prql.lookup_joins import LookupJoins

LeftColumns = Callable[[list[Doc]], "tuple[str, ...] | None"]
RightColumns = Callable[[Doc], "tuple[str, ...] | None"]


@record(slots=True, eq=False)
class JoinRewriter:
    """Changes a tree in place. `merged` are the keys whose two columns became a new one, `dropped` the
    (relation, key) whose column is left out for another.

    `left` and `right` give the columns of a pipeline so far and of a joined relation, for natural joins;
    `unnatural` are joins without a condition for which there is none. `lookups` binds those of lookups.
    """

    left: LeftColumns
    right: RightColumns
    lookups: LookupJoins | None = None
    merged: set[str] = field(default_factory=set)
    unnatural: list[Doc] = field(default_factory=list)
    dropped: set[tuple[str, str]] = field(default_factory=set)
    _count: int = 0

    def rewrite(self, statements: list[Doc]) -> None:
        for node in list(nodes(statements)):
            if "Pipeline" in node:
                node["Pipeline"]["exprs"] = self._stages(node["Pipeline"]["exprs"])

    def _stages(self, exprs: list[Doc]) -> list[Doc]:
        done: list[Doc] = []
        holders = _Holders(exprs[0])
        for i, stage in enumerate(exprs):
            if callee(stage) == "join" and "FuncCall" in stage:
                done = self._join(done, stage, exprs[i + 1 :], holders)
            else:
                holders.pass_by(stage)
                done.append(stage)
        return done

    def _join(self, before: list[Doc], stage: Doc, after: list[Doc], holders: _Holders) -> list[Doc]:
        call = stage["FuncCall"]
        if len(call["args"]) == 1:
            self._make_natural(before, stage)
        if len(call["args"]) != 2:
            holders.join()
            return [*before, stage]
        relation, condition = call["args"]
        if "alias" not in relation and "Ident" not in relation and _self_keys(condition):
            self._count += 1
            relation["alias"] = f"{HIDDEN}join{self._count}"
        name = relation.get("alias") or relation.get("Ident", ["_"])[-1]
        side_node = call.get("named_args", {}).get("side", {})
        side = (side_node.get("Ident") or ["inner"])[-1]
        stages = [*before, stage]
        for key_node in _self_keys(condition):
            key = key_node["Unary"]["expr"]["Ident"][0]
            span = key_node.get("span")
            holder = holders.of(key, side)
            del key_node["Unary"]
            key_node["Binary"] = {
                "left": _ident([holder, key], span),
                "op": "Eq",
                "right": _ident(["that", key], span),
            }
            stages = self._merge_key(stages, stage, side, (holder, name), key, after, span)
        if self.lookups is not None:
            self.lookups.bind(stage, name, side, lambda: self.left(before), self.right(relation))
        holders.join()
        return stages

    def _merge_key(
        self,
        stages: list[Doc],
        join: Doc,
        side: str,
        names: tuple[str, str],
        key: str,
        after: list[Doc],
        span: Any,
    ) -> list[Doc]:
        """The stages with those that make one column of `key` put around the join; `names` are its sides."""
        holder, name = names
        own = [n for n in nodes(after) if n.get("Ident") == [name, key]]
        if side in ("inner", "left"):
            self.dropped.add((name, key))
            kept: Doc = {"Unary": {"op": "Not", "expr": {"Tuple": [_ident([name, key], span)]}}, "span": span}
            if side == "inner":
                for reference in own:
                    _refer(reference, after, [holder, key], key)
                return [*stages, _call("select", kept, span)]
            if own:
                hidden = self._hidden(key)
                stages = [*stages, _call("derive", _tuple(hidden, _ident([name, key], span)), span)]
                for reference in own:
                    _refer(reference, after, [hidden], key)
            return [*stages, _call("select", kept, span)]
        self.merged.add(key)
        at = next(i for i, s in enumerate(stages) if s is join)
        left, right = self._hidden(key), self._hidden(key)
        hold_left = _call("derive", _tuple(left, _ident(["this", key], span)), span)
        others = [n for n in nodes(after) if _is_left_key(n, name, key)]
        value = _ident([name, key], span)
        extra: list[Doc] = []
        if side == "full":
            value = {"Binary": {"left": _ident([left], span), "op": "Coalesce", "right": value}, "span": span}
            if own:
                extra = [_call("derive", _tuple(right, _ident([name, key], span)), span)]
        for reference in own:
            _refer(reference, after, [right] if side == "full" else ["this", key], key)
        for reference in others:
            _refer(reference, after, [left], key)
        before = [*stages[:at], hold_left] if side == "full" or others else stages[:at]
        return [*before, *stages[at:], *extra, _call("derive", _tuple(key, value), span)]

    def _hidden(self, key: str) -> str:
        self._count += 1
        return f"{HIDDEN}{self._count}_{key}"

    def _make_natural(self, before: list[Doc], stage: Doc) -> None:
        """The condition that all columns which both sides have are equal."""
        relation = stage["FuncCall"]["args"][0]
        left, right = self.left(before), self.right(relation)
        shared = [name for name in left or () if name in (right or ())]
        if not shared:
            self.unnatural.append(stage)
            return
        condition = _self_key(shared[0], stage.get("span"))
        for name in shared[1:]:
            key = _self_key(name, stage.get("span"))
            condition = {"Binary": {"left": condition, "op": "And", "right": key}, "span": stage.get("span")}
        stage["FuncCall"]["args"].append(condition)


class _Holders:
    """Which relation's column a key is after it was joined on; of open relations it could be any's."""

    def __init__(self, head: Doc) -> None:
        relation = head["FuncCall"]["args"][0] if callee(head) == "from" and "FuncCall" in head else {}
        self._only: str | None = relation.get("alias")
        self._of: dict[str, str] = {}

    def of(self, key: str, side: str) -> str:
        """The left relation of `==key` in a join of this side."""
        holder = self._of.get(key, self._only or "this")
        if side in ("inner", "left"):
            self._of[key] = holder
        else:
            self._of.pop(key, None)
        return holder

    def join(self) -> None:
        self._only = None

    def pass_by(self, stage: Doc) -> None:
        """A transform that may give a key's name to another column ends what is known."""
        if callee(stage) not in ("from", "filter", "sort", "take"):
            self._only = None
            self._of.clear()


def has_natural_join(statements: list[Doc]) -> bool:
    return any(
        "FuncCall" in n and callee(n) == "join" and len(n["FuncCall"]["args"]) == 1 for n in nodes(statements)
    )


def _self_keys(condition: Doc) -> list[Doc]:
    """The `==k` in a condition that is one of them or an `&&` of conditions."""
    if "Unary" in condition and condition["Unary"]["op"] == "EqSelf":
        return [condition] if len(condition["Unary"]["expr"].get("Ident", ())) == 1 else []
    if "Binary" in condition and condition["Binary"]["op"] == "And":
        return [*_self_keys(condition["Binary"]["left"]), *_self_keys(condition["Binary"]["right"])]
    if "Tuple" in condition and condition["Tuple"] and all("Unary" in item for item in condition["Tuple"]):
        return _unpack_tuple(condition)
    return []


def _unpack_tuple(condition: Doc) -> list[Doc]:
    """`{==a, ==b}` means that both hold."""
    items = condition.pop("Tuple")
    while len(items) > 1:
        left, right, *rest = items
        items = [
            {"Binary": {"left": left, "op": "And", "right": right}, "span": condition.get("span")},
            *rest,
        ]
    condition.update({k: v for k, v in items[0].items() if k != "span"})
    return _self_keys(condition)


def _is_left_key(node: Doc, name: str, key: str) -> bool:
    path: list[str] | None = node.get("Ident")
    return path is not None and len(path) == 2 and path[1] == key and path[0] not in (name, "this", "that")


def _refer(reference: Doc, tree: list[Doc], path: list[str], name: str) -> None:
    """Make a reference mean another column; as an item of a tuple it keeps its name."""
    reference["Ident"] = path
    if "alias" in reference or path[-1] == name:
        return
    in_tuple = any(any(item is reference for item in n["Tuple"]) for n in nodes(tree) if "Tuple" in n)
    if in_tuple:
        reference["alias"] = name


def _ident(path: list[str], span: Any) -> Doc:
    return {"Ident": path, "span": span}


def _self_key(name: str, span: Any) -> Doc:
    return {"Unary": {"op": "EqSelf", "expr": _ident([name], span)}, "span": span}


def _tuple(name: str, value: Doc) -> Doc:
    return {"Tuple": [{**value, "alias": name}], "span": value.get("span")}


def _call(function: str, argument: Doc, span: Any) -> Doc:
    call = {"name": {"Ident": [function], "span": span}, "args": [argument]}
    return {"FuncCall": call, "span": span}

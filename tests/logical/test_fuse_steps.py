"""Which steps are called at once, and why others are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.engine import Engine, RunOptions
from heddle.logical.rules.fuse_steps import MEMBERS_MAX

SHOP = """
from heddle.core import StepConfig, Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="shop")


class N(Table):
    n: int


class F(Table):
    n: float


@plugin.step(name="pure", rows="map", deterministic=True)
def pure(input: N) -> N:
    return input


@plugin.step(name="kept", rows="filter", passthrough=True, deterministic=True)
def kept(input: N) -> N:
    return input


@plugin.step(name="whole", rows="table", deterministic=True)
def whole(input: N) -> N:
    return input


@plugin.step(name="recorded", rows="map", effect=False)
def recorded(input: N) -> N:
    return input


@plugin.step(name="writes", rows="map", effect=True)
def writes(input: N) -> N:
    return input


@plugin.step(name="sink", effect=True)
def sink(input: N) -> None:
    pass


@plugin.step(name="any", rows="map", deterministic=True)
def any_columns(input: N) -> Table:
    return input


@plugin.step(name="floating", rows="map", deterministic=True)
def floating(input: F) -> F:
    return input
"""

Explained = Callable[..., list[tuple[str, bool, str]]]


@pytest.fixture
def explained(tmp_path: Path) -> Explained:
    """From calls to what was told of them: operator's path, whether it fired, the text."""
    (tmp_path / "heddle.toml").write_text('[plugins]\n"shop" = "shop.py"\n"market" = "market.py"\n')
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "market.py").write_text(SHOP.replace('"shop"', '"market"'))
    pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "n.parquet")

    def explain(calls: str, header: str = "", more: str = "") -> list[tuple[str, bool, str]]:
        stages = "\n".join(f"    | {call.strip()}" for call in calls.split(" | "))
        imports = "".join(f'import "{m}" {m}\n' for m in ("shop", "market") if f"{m}." in calls + more)
        source = f'  io.parquet {{ path: "n.parquet" }}\n{stages}'
        program = tmp_path / "program.he"
        program.write_text(f"{imports}\nworkflow W {header} {{\n{source}\n{more}}}\n{HANDLER}")
        with Engine.open(program, environ={}) as engine:
            checked = engine.check()
            assert checked.program is not None, [d.message for d in checked.diagnostics]
            explanation = engine.explain(checked.program, RunOptions())
        found: list[tuple[str, bool, str]] = []
        waiting = list(explanation.roots)
        while waiting:
            node = waiting.pop()
            found += [(node.path, n.fired, n.text) for n in node.notes if n.rule == "fuse_steps"]
            waiting += node.children
        return list(dict.fromkeys(found))

    return explain


HANDLER = """
handler first {
  * | io.stderr
}

handler second {
  * | io.stderr
}
"""


def test_row_wise_pure_steps_are_called_at_once(explained: Explained) -> None:
    ((path, fired, text),) = explained("shop.pure | shop.kept | shop.pure | io.print")
    assert fired
    assert path == "W/1.1:shop.pure … W/1.3:shop.pure"
    assert text == "one call for W/1.1:shop.pure, W/1.2:shop.kept, W/1.3:shop.pure"


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ("shop.pure | shop.whole", '`shop.whole` has rows="table", and takes all rows at once'),
        (
            "shop.recorded | shop.pure",
            "`shop.recorded` is not declared as deterministic, so it may not run twice",
        ),
        (
            "shop.pure | shop.writes",
            "`shop.writes` is not declared as deterministic, so it may not run twice",
        ),
        ("shop.pure | shop.sink", '`shop.sink` has rows="table", and takes all rows at once'),
        ("shop.pure | shop.any", "the columns of `shop.any` are known only in a run"),
        ("shop.pure | shop.floating", "`shop.floating` takes `n` as float, and is given int"),
        ("shop.pure ? first | shop.pure ? second", "they have different handlers"),
        ("shop.pure | shop.pure ! { retry: 2 }", "they have different policies"),
        (
            'shop.pure ! { timeout: "1s" } | shop.pure ! { timeout: "1s" }',
            "the `timeout` of `shop.pure` is for one step",
        ),
        (
            "shop.pure ! { batch: { max_rows: 10 } } | shop.pure ! { batch: { max_rows: 10 } }",
            "the `batch` of `shop.pure` is for calls that are merged with those of other runs",
        ),
    ],
)
def test_why_a_step_stays_apart(explained: Explained, calls: str, reason: str) -> None:
    end = "" if "sink" in calls else " | io.print"
    ((_, fired, text),) = explained(calls + end)
    assert not fired
    assert text == f"W/1.1:shop.pure is called by itself: {reason}".replace(
        "shop.pure is", "shop.recorded is" if calls.startswith("shop.recorded") else "shop.pure is"
    )


def test_steps_of_different_plugins_are_no_neighbours(explained: Explained) -> None:
    assert explained("shop.pure | market.pure | io.print") == []


def test_equal_handlers_and_policies_stay_together(explained: Explained) -> None:
    told = explained("shop.pure ? first ! { retry: 2 } | shop.pure ? first ! { retry: 2 } | io.print")
    assert [fired for _, fired, _ in told] == [True]


def test_a_result_with_several_readers_is_kept(explained: Explained) -> None:
    more = "  (from mine)\n    | shop.pure\n    | io.print\n  (from mine)\n    | shop.kept\n    | io.print\n"
    told = explained("shop.pure | shop.pure\n    > mine", more=more)
    assert (
        sorted(text for _, fired, text in told if not fired)
        == ["W/1.2:shop.pure is called by itself: its result is kept"] * 2
    )
    assert [path for path, fired, _ in told if fired] == ["W/1.1:shop.pure … W/1.2:shop.pure"]


def test_a_name_between_them_does_not_matter(explained: Explained) -> None:
    more = "  (from mine)\n    | shop.pure\n    | io.print\n"
    told = explained("shop.pure | shop.pure\n    > mine", more=more)
    assert [(path, fired) for path, fired, _ in told] == [("W/1.1:shop.pure … W/2.1:shop.pure", True)]


def test_a_query_between_them_does(explained: Explained) -> None:
    assert explained("shop.pure | (from input |filter n > 0) | shop.pure | io.print") == []


def test_a_call_has_a_bound(explained: Explained) -> None:
    told = explained(" | ".join(["shop.pure"] * (MEMBERS_MAX + 2)) + " | io.print")
    assert sorted(fired for _, fired, _ in told) == [False, True, True]
    assert f"one call takes at most {MEMBERS_MAX} steps" in "".join(text for _, _, text in told)
